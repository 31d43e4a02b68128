"""No source file grows beyond what one reads in a sitting, and most stay far below that."""

import statistics
import sys
from pathlib import Path

from sources import CPP_SUFFIXES, own_files

LIMIT = 400
MEDIAN = 90  # of the C++ sources
SUFFIXES = CPP_SUFFIXES + (".py", ".rs", ".sh", ".cmake", ".proto", "CMakeLists.txt")


def lines_of(root: Path, files: list[str]) -> dict[str, int]:
    return {file: (root / file).read_text(encoding="utf-8").count("\n") for file in files}


def too_long(root: Path) -> list[str]:
    return [
        f"{file}: {lines} lines, the limit is {LIMIT}: split it where its subject splits"
        for file, lines in lines_of(root, own_files(root, SUFFIXES) + scripts(root)).items()
        if lines > LIMIT
    ]


def median_too_long(root: Path) -> list[str]:
    lines = lines_of(root, own_files(root))
    median = statistics.median(lines.values()) if lines else 0
    if median <= MEDIAN:
        return []
    return [f"half of the {len(lines)} C++ sources have more than {median:.0f} lines, the limit of the median is {MEDIAN}"]


def scripts(root: Path) -> list[str]:
    folder = root / "scripts"
    return sorted(f"scripts/{entry.name}" for entry in folder.iterdir() if entry.is_file()) if folder.is_dir() else []


def main() -> int:
    root = Path(sys.argv[1]).resolve()
    problems = too_long(root) + median_too_long(root)
    print("\n".join(problems))
    files = len(own_files(root, SUFFIXES))
    print(f"file_sizes: {files} files, {len(problems)} problems")
    return 1 if problems or files == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
