"""The image is built from every folder that the build adds, but the tests.

usage: image_context.py ROOT
"""

import re
import sys
from pathlib import Path


def check(root: Path) -> list[str]:
    build = (root / "CMakeLists.txt").read_text(encoding="utf-8")
    allowed = (root / ".dockerignore").read_text(encoding="utf-8").splitlines()
    folders = re.findall(r"^\s*add_subdirectory\((\w+)\)", build, re.MULTILINE)
    return [
        f".dockerignore: no line !{folder}, and CMakeLists.txt adds {folder}/"
        for folder in folders
        if folder != "tests" and f"!{folder}" not in allowed
    ]


def main() -> int:
    problems = check(Path(sys.argv[1]).resolve())
    print("\n".join(problems))
    print(f"image_context: {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
