"""No source file grows beyond what one reads in a sitting."""

import sys
from pathlib import Path

from sources import CPP_SUFFIXES, own_files

LIMIT = 500
SUFFIXES = CPP_SUFFIXES + (".py", ".rs", ".sh", ".cmake", ".proto", "CMakeLists.txt")


def too_long(root: Path) -> list[str]:
    problems = []
    for file in own_files(root, SUFFIXES) + scripts(root):
        lines = (root / file).read_text(encoding="utf-8").count("\n")
        if lines > LIMIT:
            problems.append(f"{file}: {lines} lines, the limit is {LIMIT}: split it where its subject splits")
    return problems


def scripts(root: Path) -> list[str]:
    folder = root / "scripts"
    return sorted(f"scripts/{entry.name}" for entry in folder.iterdir() if entry.is_file()) if folder.is_dir() else []


def main() -> int:
    root = Path(sys.argv[1]).resolve()
    problems = too_long(root)
    print("\n".join(problems))
    files = len(own_files(root, SUFFIXES))
    print(f"file_sizes: {files} files, {len(problems)} above {LIMIT} lines")
    return 1 if problems or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
