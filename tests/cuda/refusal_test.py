"""Asked for a device that is not there, the server says so in one line and ends with 1.

usage: refusal_test.py GUILDHALL REPOSITORY
Exit code 77, which is "skipped", where there is a device.
"""

import subprocess
import sys
from pathlib import Path

SKIPPED = 77


def main() -> int:
    program, root = sys.argv[1], Path(sys.argv[2])
    if any(Path("/dev").glob("nvidia[0-9]*")):
        print("refusal: this machine has a device")
        return SKIPPED
    command = [program, "serve", "--device", "cuda", "--config", str(root / "configs/demo.json"),
               "--set", "server.listen=127.0.0.1:0", "--set", "http.listen=", "--set", "admin.enabled=false", "--set", "log.level=error"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    print(f"exit code {result.returncode}\n{result.stdout}{result.stderr}")
    lines = [line for line in result.stderr.splitlines() if line]
    problems = []
    if result.returncode != 1:
        problems.append(f"exit code {result.returncode}, expected 1")
    if len(lines) != 1:
        problems.append(f"{len(lines)} lines, expected one")
    if not any("cuda" in line and "driver" in line for line in lines):
        problems.append("no line names cuda and the driver that is missing")
    print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
