"""The repository's own sources and what they include. Nothing here knows a rule."""

import re
from pathlib import Path
from typing import NamedTuple

CPP_SUFFIXES = (".cc", ".h", ".cu", ".cuh")
# Not written by us, or not in the repository.
SKIPPED_FOLDERS = {"build", "target", "node_modules", "third_party", "__pycache__", "venv"}

_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*(?:"(?P<quoted>[^"\n]+)"|<(?P<angled>[^>\n]+)>)', re.MULTILINE)
# Strings come first, so that "//" inside one does not begin a comment; include lines keep their quotes.
_COMMENT_OR_STRING = re.compile(
    r'(?P<include>^[ \t]*#[ \t]*include[^\n]*)|(?P<raw>R"(?P<d>[^(\s]*)\(.*?\)(?P=d)")|(?P<string>"(?:\\.|[^"\\\n])*")'
    r"|(?P<comment>//[^\n]*|/\*.*?\*/)",
    re.DOTALL | re.MULTILINE,
)


class Include(NamedTuple):
    file: str  # the including file, from the root, with slashes
    line: int
    target: str  # as written between the quotes or brackets
    quoted: bool

    def at(self) -> str:
        return f"{self.file}:{self.line}"


def own_files(root: Path, suffixes: tuple[str, ...] = CPP_SUFFIXES) -> list[str]:
    """Paths from the root of all own files with one of the suffixes, sorted."""
    found = []
    folders = [root]
    while folders:
        for entry in folders.pop().iterdir():
            if entry.is_dir():
                hidden = entry.name.startswith(".") and entry.name != ".ci"
                if not hidden and entry.name not in SKIPPED_FOLDERS and not entry.is_symlink():
                    folders.append(entry)
            elif entry.suffix in suffixes or entry.name in suffixes:
                found.append(entry.relative_to(root).as_posix())
    return sorted(found)


def without_comments(text: str) -> str:
    """Comments and raw strings become blanks; lines keep their numbers."""

    def blank(match: re.Match) -> str:
        if match["include"] is not None or match["string"] is not None:
            return match[0]
        return "\n" * match[0].count("\n")

    return _COMMENT_OR_STRING.sub(blank, text)


def read_includes(root: Path, file: str) -> list[Include]:
    text = without_comments((root / file).read_text(encoding="utf-8"))
    includes = []
    for match in _INCLUDE.finditer(text):
        line = text.count("\n", 0, match.start()) + 1
        quoted = match["quoted"] is not None
        includes.append(Include(file, line, match["quoted"] if quoted else match["angled"], quoted))
    return includes


def folder_of(file: str) -> str:
    """The top-level folder of a file; a file of the root is its own folder ("main.cc")."""
    return file.split("/", 1)[0]
