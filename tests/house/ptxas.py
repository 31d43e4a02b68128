"""What ptxas says of each kernel: registers; and nothing in local memory, neither spills nor a stack frame.

usage: ptxas.py BUILD_FOLDER [--table]
Reads the OBJECT.ptxas files that cmake/nvcc_with_report keeps. A register array with an index that is only known at run time
goes to local memory, and costs more than the arithmetic around it.
"""

import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

# What may use local memory: (part of the kernel's name, reason).
ALLOWED: list[tuple[str, str]] = []

_ENTRY = re.compile(r"Compiling entry function '(?P<name>\w+)' for '(?P<target>\w+)'")
_FRAME = re.compile(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads")
_USED = re.compile(r"Used (\d+) registers")
_LOCAL = re.compile(r"(\d+) bytes lmem")


class Kernel(NamedTuple):
    source: str
    name: str
    target: str
    registers: int
    local_bytes: int  # stack frame, spills and local memory together

    def __str__(self) -> str:
        return f"{self.source}: {self.name} for {self.target}"


def kernels_of(source: str, report: str) -> list[Kernel]:
    """The kernels of one report; functions that were not inlined count for the kernel before them."""
    found: list[Kernel] = []
    for line in report.splitlines():
        if entry := _ENTRY.search(line):
            found.append(Kernel(source, entry["name"], entry["target"], 0, 0))
        elif found:
            local = sum(int(size) for match in (_FRAME.search(line),) if match for size in match.groups())
            local += sum(int(size) for size in _LOCAL.findall(line))
            used = _USED.search(line)
            found[-1] = found[-1]._replace(local_bytes=found[-1].local_bytes + local,
                                           registers=int(used[1]) if used else found[-1].registers)
    return found


def demangled(kernels: list[Kernel]) -> list[Kernel]:
    names = "\n".join(kernel.name for kernel in kernels)
    text = subprocess.run(["c++filt"], input=names, capture_output=True, text=True, check=True).stdout
    return [kernel._replace(name=re.sub(r"^void |\((?!anonymous).*", "", name.replace("(anonymous namespace)::", "")))
            for kernel, name in zip(kernels, text.splitlines())]


def problems_of(kernels: list[Kernel], allowed: list[tuple[str, str]]) -> list[str]:
    problems = [
        f"{kernel}: {kernel.local_bytes} bytes of local memory (stack frame, spills); keep the indices of register arrays "
        "constant, or the arrays smaller"
        for kernel in kernels
        if kernel.local_bytes > 0 and not any(part in kernel.name for part, _ in allowed)
    ]
    unused = [part for part, _ in allowed if not any(part in k.name and k.local_bytes > 0 for k in kernels)]
    return problems + [f"ALLOWED: no kernel needs the line for {part}" for part in unused]


def main() -> int:
    build = Path(sys.argv[1]).resolve()
    reports = sorted(build.glob("kernels/cuda/CMakeFiles/gh_cuda.dir/*.cu.o.ptxas"))
    found = [k for file in reports for k in kernels_of(file.name.removesuffix(".o.ptxas"), file.read_text())]
    kernels = demangled(found) if found else []
    problems = problems_of(kernels, ALLOWED)
    if "--table" in sys.argv:
        for kernel in sorted(kernels, key=lambda k: -k.registers):
            print(f"{kernel.registers:4} registers  {kernel}")
    print("\n".join(problems))
    most = max(kernels, key=lambda k: k.registers, default=None)
    print(f"ptxas: {len(reports)} sources, {len(kernels)} kernels, {len(problems)} problems; most registers: "
          + (f"{most.registers} ({most})" if most else "none"))
    return 1 if problems or not kernels else 0


if __name__ == "__main__":
    sys.exit(main())
