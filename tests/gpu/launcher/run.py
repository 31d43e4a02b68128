#!/usr/bin/env python3
"""What a machine with a CUDA device says to this build, in minutes: needs Python, the driver, and a checkout.

usage: run [--minutes 8] [--out OUT] [--source CHECKOUT] [--quick] [--only PHASE ...]

Phases run one after another, each in processes of their own with a limit in time; what one found is written before the next
begins. OUT gets report.json, report.md and log.txt. Exit code 0: no phase failed; 1: one did; 2: no device.
Clocks, power and modes of the device stay as they are.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE / "launcher"))

from phases import Machine, run_phase  # noqa: E402
from report import Report  # noqa: E402


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def wrong_files(root: Path, files: dict) -> list:
    """Those that are gone, or are not what the plan says."""
    return [name for name, expected in files.items() if not (root / name).is_file() or digest(root / name) != expected]


def find_source(named: str, files: dict) -> Path:
    """The checkout whose test data the plan was made with."""
    places = [Path(named)] if named else [Path.cwd(), *HERE.parents]
    for place in places:
        if all((place / name).is_file() for name in files):
            wrong = wrong_files(place, files)
            if wrong:
                raise SystemExit(f"run: {place}: {len(wrong)} files are another commit's, {wrong[0]} for one; "
                                 "check out the plan's commit")
            return place.resolve()
    raise SystemExit(f"run: no checkout with {next(iter(files))} at {' or '.join(map(str, places))}; name it by --source")


def device_or_exit(machine: Machine) -> str:
    result = subprocess.run([str(HERE / "bin/gpu_probe"), "device"], env=machine.environment, capture_output=True, text=True,
                            timeout=120)
    if result.returncode == 2:
        print(result.stderr.strip())
        raise SystemExit(2)
    if result.returncode != 0:
        raise SystemExit(f"run: gpu_probe ends with {result.returncode}: {result.stderr.strip()}")
    return json.loads(result.stdout.splitlines()[0])["text"]


def main() -> int:
    parser = argparse.ArgumentParser(prog="run", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=8)
    parser.add_argument("--out", type=Path, default=Path("gpu-report"))
    parser.add_argument("--source", default="")
    parser.add_argument("--quick", action="store_true", help="a few cases of each phase")
    parser.add_argument("--only", nargs="+", default=[], metavar="PHASE")
    options = parser.parse_args()

    plan = json.loads((HERE / "plan.json").read_text())
    wrong = wrong_files(HERE, plan["files"])
    if wrong:
        raise SystemExit(f"run: {', '.join(wrong[:3])}: not what was packed; copy the archive again")
    machine = Machine(HERE, find_source(options.source, plan["data"]), options.quick)
    device = device_or_exit(machine)
    options.out.mkdir(parents=True, exist_ok=True)
    report = Report(options.out, plan, device, options.quick)
    end = time.monotonic() + 60 * options.minutes
    for phase in plan["phases"]:
        if options.only and phase["name"] not in options.only:
            continue
        left = end - time.monotonic()
        if left < 2:
            report.add(phase["name"], {"status": "not reached"})
            continue
        print(f"{phase['name']}: {phase['about']}", flush=True)
        # A quick run is one on an emulated device: less to do, and slower.
        limit = phase["seconds"] * max(1.0, options.minutes / 8) * (4 if options.quick else 1)
        report.add(phase["name"], run_phase(phase, machine, min(left, limit), report.log))
    print(report.table())
    return 0 if report.good() else 1


if __name__ == "__main__":
    sys.exit(main())
