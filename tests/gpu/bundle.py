"""Packs what scripts/gpu-check takes to a machine with a device, and stages it for a run on an emulated one.

usage: bundle.py make BUILD OUT      OUT/guildhall-gpu-check.tar.xz, of the programs that BUILD has for CUDA
       bundle.py emulate BUILD DIR   an unpacked archive's programs become the emulation's, with its checksums
"""

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import plan

ROOT = Path(__file__).resolve().parents[2]
NAME = "guildhall-gpu-check"
LIMIT_BYTES = 20_000_000
# In the archive: the build's for a device, the build's for an emulated one.
PROGRAMS = {
    "guildhall": ("guildhall_cuda", "guildhall_emulated"),
    "gpu_probe": ("gpu_probe", "gpu_probe_emulated"),
    "kernels_test": ("kernels_test_cuda", "kernels_test"),
    "model_test": ("model_test_cuda", "model_test"),
}
# The machine's own: glibc, and the driver.
_HOST = re.compile(r"^(?:ld-linux.*|linux-vdso|lib(?:c|m|dl|rt|pthread|resolv|util|cuda|anl|nsl|nss_\w+))\.so")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def program_of(build: Path, name: str) -> Path:
    path = build / "bin" / name
    if not path.is_file():
        raise SystemExit(f"bundle: {path} is not built")
    return path


def libraries_of(program: Path) -> dict[str, Path]:
    """By the name that is loaded: all but the machine's own."""
    text = subprocess.run(["ldd", str(program)], capture_output=True, text=True, check=True).stdout
    if "not found" in text:
        raise SystemExit(f"bundle: {program}: a library is missing here:\n{text}")
    found = re.findall(r"^\s*(\S+) => (/\S+)", text, re.MULTILINE)
    return {name: Path(path) for name, path in found if not _HOST.match(name)}


def put_programs(build: Path, folder: Path, which: int) -> None:
    """Stripped programs, and their libraries beside them."""
    for part in ("bin", "lib"):
        (folder / part).mkdir(parents=True, exist_ok=True)
    for name, builds in PROGRAMS.items():
        program = program_of(build, builds[which])
        subprocess.run(["strip", "-o", str(folder / "bin" / name), str(program)], check=True)
        for library, path in libraries_of(program).items():
            shutil.copyfile(path, folder / "lib" / library)
            (folder / "lib" / library).chmod(0o755)


def files_below(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file() and path.name != "plan.json")


def data_files() -> dict[str, str]:
    tracked = subprocess.run(["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.split("\0")
    named = {path.relative_to(ROOT).as_posix() for pattern in plan.DATA for path in ROOT.glob(pattern) if path.is_file()}
    return {name: digest(ROOT / name) for name in sorted(named & set(tracked))}


def emulated_score(build: Path, folder: Path, model: str, dtype: str) -> dict:
    """What the emulation computes for a golden's sequences: the device's logits are held against it."""
    golden = json.loads((ROOT / "tests/goldens" / model / "golden.json").read_text())
    tokens = folder / "scores" / f"{model}.json"
    tokens.parent.mkdir(exist_ok=True)
    tokens.write_text(json.dumps([sequence["tokens"] for sequence in golden["sequences"]]) + "\n")
    command = plan.score_command(model, dtype)
    words = [word.replace("{source}", str(ROOT)).replace("{root}", str(folder)) for word in command[1:]]
    with tempfile.TemporaryDirectory() as logits:
        subprocess.run([str(program_of(build, "guildhall_emulated")), *words, "--logits-dir", logits], check=True,
                       stdout=subprocess.DEVNULL)
        hashes = {file.name: digest(file) for file in sorted(Path(logits).glob("*.npy"))}
    return {"name": model, "command": command, "sha256": hashes}


def emulated_scores(build: Path, folder: Path) -> list[dict]:
    models = sorted(path.parent.name for path in (ROOT / "tests/goldens").glob("*/golden.json"))
    return [emulated_score(build, folder, model, "f32" if model.endswith("_f32") else "bf16") for model in models]


def write_plan(folder: Path, made: dict) -> None:
    made["files"] = {name: digest(folder / name) for name in files_below(folder)}
    (folder / "plan.json").write_text(json.dumps(made, indent=1) + "\n")


def make(build: Path, out: Path) -> None:
    folder = out / NAME
    shutil.rmtree(folder, ignore_errors=True)
    put_programs(build, folder, 0)
    shutil.copytree(ROOT / "tests/gpu/launcher", folder / "launcher", ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "launcher/run.py").rename(folder / "run")
    (folder / "run").chmod(0o755)
    commit = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True).stdout.strip()
    changed = subprocess.run(["git", "status", "--porcelain"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    scores = emulated_scores(build, folder)
    write_plan(folder, {"commit": commit + ("+" if changed.strip() else ""), "data": data_files(), "phases": plan.phases(scores)})
    archive = out / f"{NAME}.tar.xz"
    # The window holds all of it: the back end's machine code is in every program, and is packed once.
    subprocess.run(["tar", "--sort=name", "--owner=0", "--group=0", "-C", str(out), "-cJf", str(archive), NAME], check=True,
                   env=os.environ | {"XZ_OPT": "--lzma2=preset=6,dict=64MiB"})
    size = archive.stat().st_size
    print(f"{archive}: {size / 1e6:.1f} MB, {len(files_below(folder))} files, {len(scores)} models scored by the emulation")
    if size > LIMIT_BYTES:
        raise SystemExit(f"bundle: the limit is {LIMIT_BYTES / 1e6:.0f} MB")


def emulate(build: Path, folder: Path) -> None:
    made = json.loads((folder / "plan.json").read_text())
    put_programs(build, folder, 1)
    write_plan(folder, made)


if __name__ == "__main__":
    what, *paths = sys.argv[1:]
    {"make": make, "emulate": emulate}[what](*(Path(path).resolve() for path in paths))
