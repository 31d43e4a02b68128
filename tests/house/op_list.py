"""An op is a line of kernels/op_list.h, and what docs/development.md says under "Add an op" is all that it takes.

Each op of the list has its arguments in ops.h, its cost in op_cost.cc, one source in each back end, and a test; and no
other file beside those of the interface names it.
"""

import re
import sys
from pathlib import Path

OPS = re.compile(r"^ +OP\((\w+), (\w+)\)", re.MULTILINE)
BACK_ENDS = {"kernels/cpu": r"\bvoid {op}Op\(const {op}Args& "}
# What may name one op: its arguments, its cost. All else of the interface is drawn from the list.
INTERFACE = {"kernels/ops.h", "kernels/op_cost.cc", "kernels/op_list.h"}


def read(root: Path, pattern: str) -> dict[str, str]:
    return {str(file.relative_to(root)): file.read_text() for file in sorted(root.glob(pattern)) if file.is_file()}


def check_op(op: str, root: Path, interface: dict[str, str], tests: dict[str, str]) -> list[str]:
    problems = []
    if f"struct {op}Args {{" not in interface.get("kernels/ops.h", ""):
        problems.append(f"kernels/ops.h: no struct {op}Args")
    if f"OpCost CostOf(const {op}Args& " not in interface.get("kernels/op_cost.cc", ""):
        problems.append(f"kernels/op_cost.cc: no cost of {op}")
    for folder, definition in BACK_ENDS.items():
        sources = read(root, f"{folder}/*.cc")
        at = [file for file, text in sources.items() if re.search(definition.format(op=op) + r"[^;]*\{", text)]
        if len(at) != 1:
            problems.append(f"{folder}: {op} is defined in {len(at)} sources, expected one: {', '.join(at)}")
    if not any(re.search(rf"(->|\.){op}\(", text) for text in tests.values()):
        problems.append(f"tests/kernels: no test calls {op}")
    for file, text in interface.items():
        if file not in INTERFACE and re.search(rf"\b{op}(Args|Op)\b", text):
            problems.append(f"{file}: names {op}; the list is there so that it need not")
    return problems


def check(root: Path) -> tuple[list[str], int]:
    """The problems, and how many ops there are."""
    interface = read(root, "kernels/*.h") | read(root, "kernels/*.cc")
    ops = OPS.findall(interface.get("kernels/op_list.h", ""))
    tests = read(root, "tests/kernels/*.cc") | read(root, "tests/kernels/*.h")
    problems = [problem for op, _ in ops for problem in check_op(op, root, interface, tests)]
    if not ops:
        problems.append("kernels/op_list.h: no OP(Name, name) was found")
    return problems, len(ops)


if __name__ == "__main__":
    found, count = check(Path(sys.argv[1]))
    for line in found:
        print(line)
    print(f"{count} ops, {len(found)} problems")
    sys.exit(1 if found else 0)
