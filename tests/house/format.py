"""All own C++ sources are as .clang-format says.

usage: format.py ROOT [--fix]
Versions of clang-format differ in taste: only the one below counts, and nothing passes without it.
"""

import concurrent.futures
import re
import shutil
import subprocess
import sys
from pathlib import Path

from sources import own_files

VERSION = 14  # of Debian 12
COLUMNS = 110  # as .clang-format says, which leaves comments as they are


def find_clang_format() -> str | None:
    for name in (f"clang-format-{VERSION}", "clang-format"):
        program = shutil.which(name)
        if program is None:
            continue
        text = subprocess.run([program, "--version"], capture_output=True, text=True).stdout
        found = re.search(r"version (\d+)", text)
        if found and int(found[1]) == VERSION:
            return program
    return None


def unformatted(root: Path, files: list[str], program: str) -> list[str]:
    """Those of `files` that clang-format would change."""

    def check(batch: list[str]) -> list[str]:
        result = subprocess.run([program, "--dry-run", "-Werror", *batch], cwd=root, capture_output=True, text=True)
        complaints = re.findall(r"^(.+?):\d+:\d+: error:", result.stderr, re.MULTILINE)
        if result.returncode != 0 and not complaints:
            return [f"{' '.join(batch)}: {result.stderr.strip()}"]
        return sorted(set(complaints))

    batches = [files[i : i + 20] for i in range(0, len(files), 20)]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        return [file for found in pool.map(check, batches) for file in found]


def long_comments(root: Path, files: list[str]) -> list[str]:
    """Comments beyond the last column. (What stands in quotes may be as long as it must.)"""
    return [
        f"{file}:{number}: a comment ends in column {len(line)}, the limit is {COLUMNS}"
        for file in files
        for number, line in enumerate((root / file).read_text(encoding="utf-8").splitlines(), start=1)
        if len(line) > COLUMNS and re.match(r'[^"]*//', line)
    ]


def check_tree(root: Path, fix: bool) -> int:
    """The exit code: 0 if every source is formatted, at the end."""
    program = find_clang_format()
    if program is None:
        print(f"format: expected clang-format {VERSION}, found none of that version (scripts/setup installs it)")
        return 1
    files = own_files(root)
    if fix:
        subprocess.run([program, "-i", *files], cwd=root, check=True)
    found, comments = unformatted(root, files, program), long_comments(root, files)
    print("\n".join(found + comments))
    print(f"format: {len(files)} files, {len(found)} to be formatted" + (" (scripts/format does it)" if found else ""))
    return 1 if found or comments or not files else 0


if __name__ == "__main__":
    sys.exit(check_tree(Path(sys.argv[1]).resolve(), fix="--fix" in sys.argv))
