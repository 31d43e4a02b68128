"""The demo model, served on the device: its answers token for token, adapters among them, in mixed batches."""

import json
import socket
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor

CLIENTS = 8  # requests of all tasks at once


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def ready(machine, address: str, server, seconds: float) -> bool:
    end = time.monotonic() + seconds
    probe = [machine.program("guildhall"), "healthcheck", "--server", address, "--service", "readiness"]
    while time.monotonic() < end and server.poll() is None:
        if subprocess.run(probe, env=machine.environment, capture_output=True).returncode == 0:
            return True
        time.sleep(0.2)
    return False


def answers(machine, address: str, wanted: list, end: float) -> list:
    """The requests whose answer is another than the golden's."""

    def one(golden: dict) -> str:
        command = [machine.program("guildhall"), "generate", "--server", address, "--task", golden["task"], golden["prompt"]]
        left = end - time.monotonic()
        if left < 1:
            return "not reached"
        result = subprocess.run(command, env=machine.environment, capture_output=True, text=True, timeout=left)
        found = result.stdout.rstrip("\n")
        if result.returncode == 0 and found == golden["output_text"].rstrip("\n"):
            return ""
        return f"{golden['task']}: {golden['prompt'][:40]}: {found or result.stderr.strip()}"

    with ThreadPoolExecutor(CLIENTS) as pool:
        return [wrong for wrong in pool.map(one, wanted) if wrong]


def demo(phase: dict, machine, seconds: float, log) -> dict:
    end = time.monotonic() + seconds
    goldens = json.loads((machine.source / "demo/golden.json").read_text())
    wanted = goldens[::12] if machine.quick else goldens
    address = f"127.0.0.1:{free_port()}"
    command = machine.words(phase["command"]) + ["--set", f"server.listen={address}"]
    server = subprocess.Popen(command, env=machine.environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
                              start_new_session=True)
    try:
        if not ready(machine, address, server, end - time.monotonic()):
            server.kill()
            _, errors = server.communicate()
            return {"status": "failed", "why": (errors.strip().splitlines() or ["the server was not ready"])[-1]}
        wrong = answers(machine, address, wanted, end)
        server.terminate()
        _, errors = server.communicate(timeout=max(5.0, end - time.monotonic()))
    except subprocess.TimeoutExpired:
        return {"status": "failed", "why": f"no end within {seconds:.0f} s"}
    finally:
        server.kill()
    good = not wrong and server.returncode == 0
    return {"status": "passed" if good else "failed", "answers": len(wanted), "wrong": wrong,
            "why": "" if server.returncode == 0 else f"the server ended with {server.returncode}: {errors.strip()[-200:]}"}
