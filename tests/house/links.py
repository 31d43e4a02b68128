"""Links between our pages lead to files and headings that exist; what the pages name in backticks as a script exists."""

import re
import sys
from pathlib import Path
from urllib.parse import unquote

from sources import own_files

_LINK = re.compile(r"(?<!!)\[[^\]\n]+\]\(([^)\s]+)\)")
_SCRIPT = re.compile(r"`(scripts/[\w.-]+)")
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)


def anchors(text: str) -> set[str]:
    """The anchors that the headings of a page get."""
    headings = re.findall(r"^#+ +(.+?) *$", _FENCE.sub("", text), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def check_page(root: Path, page: str) -> list[str]:
    text = _FENCE.sub(lambda match: "\n" * match[0].count("\n"), (root / page).read_text(encoding="utf-8"))
    problems = []
    for match in _LINK.finditer(text):
        target = unquote(match[1])
        if re.match(r"[a-z]+:", target):
            continue
        path, _, anchor = target.partition("#")
        file = ((root / page).parent / path).resolve() if path else root / page
        at = f"{page}:{text.count(chr(10), 0, match.start()) + 1}"
        if not file.exists():
            problems.append(f"{at}: links to {target}: no such file")
        elif anchor and anchor not in anchors(file.read_text(encoding="utf-8")):
            problems.append(f"{at}: links to {target}: no such heading")
    for match in _SCRIPT.finditer(text):
        if not (root / match[1]).is_file():
            problems.append(f"{page}:{text.count(chr(10), 0, match.start()) + 1}: names {match[1]}: no such script")
    return problems


def main() -> int:
    root = Path(sys.argv[1]).resolve()
    pages = own_files(root, (".md",))
    problems = [problem for page in pages for problem in check_page(root, page)]
    print("\n".join(problems))
    print(f"links: {len(pages)} pages, {len(problems)} problems")
    return 1 if problems or not pages else 0


if __name__ == "__main__":
    sys.exit(main())
