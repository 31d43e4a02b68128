"""The machine code of the kernels has the instructions that their speed rests on.

usage: disassembly.py BUILD_FOLDER CUDA_ROOT
Of each source below and each target: products by the matrix units (HMMA), their operands from shared memory by ldmatrix (LDSM)
where the source reads them so, and global memory in 16-byte pieces (LDG.E.128, or LDGSTS of cp.async).
"""

import concurrent.futures
import os
import re
import subprocess
import sys
from pathlib import Path

TARGETS = ("sm_80", "sm_90a")
INSTRUCTIONS = {
    "HMMA": re.compile(r"\bHMMA\."),
    "LDSM": re.compile(r"\bLDSM\."),
    "16-byte loads": re.compile(r"\b(?:LDG\.E\.(?:\w+\.)*128|LDGSTS\.E\.(?:\w+\.)*128)\b"),
}
EXPECTED = {
    "attention.cu": ("HMMA", "LDSM", "16-byte loads"),
    "expert_ffn.cu": ("HMMA", "LDSM", "16-byte loads"),
    "matmul.cu": ("HMMA", "LDSM", "16-byte loads"),
}


def missing_in(code: str, names: tuple[str, ...]) -> list[str]:
    return [name for name in names if not INSTRUCTIONS[name].search(code)]


def disassemble(cuda: Path, target: str, file: Path) -> str:
    environment = os.environ | {"PATH": f"{cuda / 'bin'}:{os.environ['PATH']}"}  # cuobjdump calls nvdisasm
    command = [str(cuda / "bin/cuobjdump"), "--dump-sass", "--gpu-architecture", target, str(file)]
    return subprocess.run(command, capture_output=True, text=True, check=True, env=environment).stdout


def check_source(objects: Path, cuda: Path, source: str, names: tuple[str, ...]) -> list[str]:
    file = objects / f"{source}.o"
    if not file.is_file():
        return [f"{source}: {file} is not built"]
    return [
        f"{source}: no {name} in its machine code for {target}"
        for target in TARGETS
        for name in missing_in(disassemble(cuda, target, file), names)
    ]


def main() -> int:
    build, cuda = Path(sys.argv[1]).resolve(), Path(sys.argv[2])
    objects = build / "kernels/cuda/CMakeFiles/gh_cuda.dir"
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(check_source, objects, cuda, source, names) for source, names in EXPECTED.items()]
        problems = [problem for job in jobs for problem in job.result()]
    print("\n".join(problems))
    print(f"disassembly: {len(EXPECTED)} sources for {' and '.join(TARGETS)}, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
