"""Nothing is left over: no notes for later, no paths of one machine, no marks of a merge, no stray white space."""

import re
import sys
from pathlib import Path

from file_sizes import scripts
from sources import CPP_SUFFIXES, own_files

TEXT = CPP_SUFFIXES + (".py", ".rs", ".sh", ".cmake", ".proto", ".md", ".toml", ".yaml", ".yml", "CMakeLists.txt",
                       "CMakePresets.json", "Dockerfile", "run")
# (what is found, pattern, folders that may contain it). The patterns are written so that this file does not match.
RULES = [
    ("a note for later", re.compile(r"\b(?:TO[D]O|FIX[M]E|X[X]X|HAC[K])\b"), ()),
    ("a path of one machine", re.compile(r"(?<![\w.:~}>])/(?:home|root|work|mnt|Users)(?:/|\b(?=[\s\"'`]))"),
     ("docker/", "docs/docker.md")),
    ("a mark of a merge", re.compile(r"^(?:<{7}|>{7}|={7})(?:\s|$)"), ()),
    ("white space at the end", re.compile(r"[ \t]+$"), ()),
    ("a tab", re.compile(r"\t"), ()),
    ("a carriage return", re.compile(r"\r"), ()),
]


def check_line(file: str, number: int, line: str) -> list[str]:
    return [
        f"{file}:{number}: {what}: {line.strip()[:80]}"
        for what, pattern, allowed in RULES
        if pattern.search(line) and not (allowed and file.startswith(allowed))
    ]


def check_file(root: Path, file: str) -> list[str]:
    text = (root / file).read_bytes().decode("utf-8")
    problems = []
    for number, line in enumerate(text.split("\n"), start=1):
        problems += check_line(file, number, line)
    if text and not text.endswith("\n"):
        problems.append(f"{file}: no line end at the end")
    return problems


def main() -> int:
    root = Path(sys.argv[1]).resolve()
    files = sorted(set(own_files(root, TEXT) + scripts(root)))
    problems = [problem for file in files for problem in check_file(root, file)]
    print("\n".join(problems))
    print(f"leftovers: {len(files)} files, {len(problems)} problems")
    return 1 if problems or not files else 0


if __name__ == "__main__":
    sys.exit(main())
