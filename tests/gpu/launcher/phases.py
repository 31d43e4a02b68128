"""The kinds of phases: facts that a program prints, cases of a test program, scores, the demo's answers, figures."""

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

JOBS = 4  # processes that use the device at a time, where nothing is timed


class Machine:
    """The unpacked archive, and how its programs are run."""

    def __init__(self, root: Path, source: Path, quick: bool):
        self.root, self.source, self.quick = root, source, quick
        self.environment = dict(os.environ,
                                LD_LIBRARY_PATH=f"{root / 'lib'}:{os.environ.get('LD_LIBRARY_PATH', '')}".rstrip(":"))
        self.cublas = dict(os.environ)  # PyTorch has libraries of its own
        # Of test programs alone: the server knows all that begins with its name.
        self.tests = dict(self.environment, GUILDHALL_TEST_DEVICE="cuda", GUILDHALL_TEST_SOURCE=str(source))

    def program(self, name: str) -> str:
        return str(self.root / "bin" / name)

    def words(self, command: list) -> list:
        """A plan's command: its program from the archive, "{root}" the archive, "{source}" the checkout."""
        places = {"{root}": str(self.root), "{source}": str(self.source)}
        words = [self.program(command[0])]
        for word in command[1:]:
            for name, place in places.items():
                word = word.replace(name, place)
            words.append(word)
        return words


class Result:
    def __init__(self, code, output: str, errors: str, seconds: float):
        self.code, self.output, self.errors, self.seconds = code, output, errors, seconds

    @property
    def why(self) -> str:
        if self.code is None:
            return f"no end within {self.seconds:.0f} s"
        lines = [line for line in self.errors.splitlines() if line.strip()]
        return f"exit code {self.code}" + (f": {lines[-1].strip()}" if lines else "")


def run(command: list, environment: dict, seconds: float) -> Result:
    """A process group of its own, which ends with its limit; what it printed until then counts."""
    begin = time.monotonic()
    with tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        process = subprocess.Popen(command, stdout=out, stderr=err, env=environment, start_new_session=True)
        try:
            code = process.wait(timeout=max(seconds, 1))
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            code = None
        out.seek(0)
        err.seek(0)
        return Result(code, out.read(), err.read(), time.monotonic() - begin)


def facts(phase: dict, machine: Machine, seconds: float, log) -> dict:
    """Lines of JSON, one for each fact."""
    result = run(machine.words(phase["command"]), machine.environment, seconds)
    log(phase["command"], result)
    found = [json.loads(line) for line in result.output.splitlines() if line.startswith("{") and line.endswith("}")]
    return {"status": "passed" if result.code == 0 else "failed", "why": "" if result.code == 0 else result.why, "facts": found}


def chosen(phase: dict, machine: Machine, seconds: float) -> list:
    names = run([machine.program(phase["program"]), "--list-test-names-only"], machine.tests, seconds).output.splitlines()
    names = [name for name in names if name.strip()]
    part = phase["quick"] if machine.quick else phase.get("only")
    names = names if part is None else [name for name in names if any(word in name for word in part)]
    return [name for name in names if not any(word in name for word in phase.get("without", []))]


def cases(phase: dict, machine: Machine, seconds: float, log) -> dict:
    """Each case of a test program in a process of its own: what one breaks on the device does not reach the next."""
    wrapper = list(phase.get("wrapper", []))
    if wrapper and not shutil.which(wrapper[0]):
        return {"status": "skipped", "why": f"no {wrapper[0]} on this machine"}
    end = time.monotonic() + seconds
    names = chosen(phase, machine, seconds)
    outcome = {"passed": 0, "failed": [], "not reached": []}

    def one(name: str) -> None:
        left = end - time.monotonic()
        if left < 1:
            outcome["not reached"].append(name)
            return
        with tempfile.NamedTemporaryFile("w", suffix=".txt") as file:
            file.write(name + "\n")
            file.flush()
            # A file of names, because names have commas and brackets.
            command = wrapper + [machine.program(phase["program"]), "--input-file", file.name, "--warn", "NoTests"]
            result = run(command, machine.tests, min(left, phase["case_seconds"]))
        if result.code == 0:
            outcome["passed"] += 1
        elif result.code is None and time.monotonic() > end - 1:
            outcome["not reached"].append(name)
        else:
            outcome["failed"].append({"name": name, "why": result.why})
            log([*wrapper, phase["program"], name], result)

    with ThreadPoolExecutor(JOBS) as pool:
        list(pool.map(one, names))
    if outcome["failed"] or not names:
        return {"status": "failed", "why": "" if names else "no case of that name", **outcome}
    return {"status": "partial" if outcome["not reached"] else "passed", "why": "", **outcome}


def scores(phase: dict, machine: Machine, seconds: float, log) -> dict:
    """Logits of small models: are they the emulation's to the bit, or how far from them?"""
    end = time.monotonic() + seconds
    outcome = {"equal": [], "different": [], "failed": [], "not reached": []}
    models = phase["models"][:2] if machine.quick else phase["models"]
    for model in models:
        left = end - time.monotonic()
        if left < 1:
            outcome["not reached"].append(model["name"])
            continue
        with tempfile.TemporaryDirectory() as folder:
            command = machine.words(model["command"]) + ["--logits-dir", folder]
            result = run(command, machine.environment, left)
            files = sorted(Path(folder).glob("*.npy"))
            found = {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in files}
        if result.code != 0:
            outcome["failed"].append({"name": model["name"], "why": result.why})
            log(command, result)
        else:
            outcome["equal" if found == model["sha256"] else "different"].append(model["name"])
    # Sums of matrix units differ from the emulation's; those of f32 weights are written out, and may not.
    wrong = [name for name in outcome["different"] if name.endswith("_f32")]
    if outcome["failed"] or wrong:
        return {"status": "failed", "why": f"other bits than the emulation's: {', '.join(wrong)}" if wrong else "", **outcome}
    return {"status": "partial" if outcome["not reached"] else "passed", "why": "", **outcome}


def figures(phase: dict, machine: Machine, seconds: float, log) -> dict:
    """Benches one after another, each with JSON; nothing else runs meanwhile."""
    end = time.monotonic() + seconds
    outcome = {"figures": {}, "failed": []}
    for bench in phase["benches"][:1] if machine.quick else phase["benches"]:
        left = end - time.monotonic()
        result = run(machine.words(bench["quick"] if machine.quick else bench["command"]), machine.environment, left)
        log(bench["command"], result)
        try:
            outcome["figures"][bench["name"]] = json.loads(result.output)
        except ValueError:
            outcome["failed"].append({"name": bench["name"], "why": result.why})
    return {"status": "failed" if outcome["failed"] else "passed", "why": "", **outcome}


def torch(phase: dict, machine: Machine, seconds: float, log) -> dict:
    """What cuBLAS reaches, where PyTorch brings it."""
    result = run([sys.executable, "-B", str(machine.root / "launcher/cublas_peak.py")], machine.cublas, seconds)
    log(["cublas_peak"], result)
    if result.code == 77:
        return {"status": "skipped", "why": result.errors.strip() or "no PyTorch with a device on this machine"}
    found = [json.loads(line) for line in result.output.splitlines() if line.startswith("{")]
    return {"status": "passed" if result.code == 0 else "failed", "why": "" if result.code == 0 else result.why, "facts": found}


def run_phase(phase: dict, machine: Machine, seconds: float, log) -> dict:
    from demo import demo

    kinds = {"facts": facts, "cases": cases, "scores": scores, "demo": demo, "figures": figures, "torch": torch}
    begin = time.monotonic()
    try:
        result = kinds[phase["kind"]](phase, machine, seconds, log)
    except (OSError, ValueError, KeyError) as failure:
        result = {"status": "failed", "why": f"{type(failure).__name__}: {failure}"}
    return {**result, "seconds": round(time.monotonic() - begin, 1)}
