"""No function of the serving code is longer than a screen.

Counted are the lines from a function's head to its closing brace. A function is what stands in braces in a file, a
namespace or a class if its head has parentheses (in Rust: fn) and is not a variable that gets its value. What stands
inside a function (a lambda, a local class) belongs to it.
"""

import re
import sys
from pathlib import Path
from typing import NamedTuple

from sources import CPP_SUFFIXES, own_files

LIMIT = 60
SUFFIXES = CPP_SUFFIXES + (".rs",)
OTHER_FOLDERS = ("tests/", "bench/", "demo/")  # they test, measure and train; they do not serve

# Comments, strings, characters and directives: braces in them are none. An apostrophe may group digits.
_NO_CODE = re.compile(
    r'//[^\n]*|/\*.*?\*/|R"(?P<d>[^(\s]*)\(.*?\)(?P=d)"|\br(?P<h>#*)".*?"(?P=h)|"(?:\\.|[^"\\])*"'
    r"|(?<![0-9a-fA-F])'(?:\\[^\n']+|\\'|[^'\\\n])'|^[ \t]*#[ \t]*\w(?:[^\n]*\\\n)*[^\n]*",
    re.DOTALL | re.MULTILINE,
)
_ACCESS = re.compile(r"\s*(?:(?:public|private|protected)\s*:)?\s*")
_SCOPE = re.compile(r"\b(?:namespace|class|struct|union|enum|extern|impl|mod|trait)\b")
_NAME = re.compile(r"((?:\w+::)*(?:operator\s*[^\s\w]+|operator\s+\w+|~?\w+))\s*(?:<[^<>()]*>)?\s*\(")
_NO_NAME = {"__attribute__", "alignas", "decltype", "explicit", "noexcept", "requires", "void"}


class Function(NamedTuple):
    file: str
    line: int
    name: str
    lines: int


def only_code(text: str) -> str:
    """What is not code becomes blanks; lines keep their numbers."""
    return _NO_CODE.sub(lambda match: "\n" * match[0].count("\n") or " ", text)


def kind_of(head: str, rust: bool) -> str:
    """What the brace after `head` opens: a function, a scope that may hold functions, or something else."""
    head = re.sub(r"\balignas\s*\([^)]*\)", "", head)
    if rust:
        return "function" if re.search(r"\bfn\b", head) else "scope" if _SCOPE.search(head) else "other"
    if "(" not in head:
        return "scope" if _SCOPE.search(head) else "other"
    value = head.rstrip().endswith("=") or head.count("(") != head.count(")")
    return "other" if value else "function"


def name_of(head: str) -> str:
    return next((name for name in _NAME.findall(head) if name not in _NO_NAME), "a function")


def read_functions(file: str, text: str) -> tuple[list[Function], bool]:
    """The functions of a file, and whether all its braces found each other."""
    code, rust = only_code(text), file.endswith(".rs")
    found: list[Function] = []
    head, scopes, depth, kind = 0, 0, 0, "other"  # depth: of braces from a function's or a value's own inward
    for match in re.finditer(r"[{};]", code):
        mark, at = match[0], match.start()
        if depth > 0:
            depth += {"{": 1, "}": -1, ";": 0}[mark]
            # After a member's value the head of a constructor goes on: S() : a{1}, b{2} {}
            if depth == 0 and kind == "function" and not re.match(r"\s*[,{]", code[at + 1 :]):
                begin = _ACCESS.match(code, head).end()
                lines = code.count("\n", begin, at) + 1
                found.append(Function(file, code.count("\n", 0, begin) + 1, name_of(code[begin:at]), lines))
                head = at + 1
        elif mark == "{" and (kind := kind_of(code[head:at], rust)) != "scope":
            depth = 1
        else:
            scopes += {"{": 1, "}": -1, ";": 0}[mark]
            head = at + 1
    return found, scopes == 0 and depth == 0


def too_long(root: Path) -> tuple[list[str], int]:
    """Problems, and the functions that were counted."""
    problems, count = [], 0
    for file in own_files(root, SUFFIXES):
        if file.startswith(OTHER_FOLDERS):
            continue
        functions, whole = read_functions(file, (root / file).read_text(encoding="utf-8"))
        count += len(functions)
        problems += [
            f"{f.file}:{f.line}: {f.name} has {f.lines} lines, the limit is {LIMIT}: give its steps names"
            for f in functions
            if f.lines > LIMIT
        ]
        if not whole:
            problems.append(f"{file}: its braces do not find each other, so its functions cannot be counted")
    return problems, count


def main() -> int:
    problems, count = too_long(Path(sys.argv[1]).resolve())
    print("\n".join(problems))
    print(f"function_sizes: {count} functions, {len(problems)} problems")
    return 1 if problems or count == 0 else 0


if __name__ == "__main__":
    sys.exit(main())
