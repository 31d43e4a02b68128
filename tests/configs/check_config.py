"""A shipped configuration passes `guildhall serve --check-config`, and what it sets is what the server would use.

usage: check_config.py BINARY CONFIG
"""

import json
import os
import re
import subprocess
import sys
import tempfile
from pathlib import Path


def check_config(binary: str, config: Path) -> subprocess.CompletedProcess:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("GUILDHALL_")}
    command = [binary, "serve", "--config", str(config), "--check-config"]
    return subprocess.run(command, capture_output=True, text=True, env=environment, timeout=60)


def read_with_comments(text: str) -> dict:
    """Our files have // comments, none of them inside a string."""
    return json.loads(re.sub(r'("(?:\\.|[^"\\])*")|//[^\n]*', lambda match: match[1] or "", text))


def leaves(value, path=""):
    """("engine.max_running", 32), ... of the whole file."""
    if isinstance(value, dict):
        for name, member in value.items():
            yield from leaves(member, f"{path}.{name}" if path else name)
    elif path != "$schema":
        yield path, value


def main() -> int:
    binary, config = sys.argv[1], Path(sys.argv[2])
    text = config.read_text(encoding="utf-8")
    result = check_config(binary, config)
    print(result.stdout, result.stderr)
    problems = [] if result.returncode == 0 else [f"exit code {result.returncode}, expected 0"]
    lines = dict(re.findall(r"^(\S+) = (.*)$", result.stdout, re.MULTILINE))
    for path, value in leaves(read_with_comments(text)):
        line = lines.get(path, "")
        if not re.search(rf"# file .*{re.escape(config.name)}$", line):
            problems.append(f"{path}: expected a line whose origin is this file, found {line!r}")
        # Strings may be written with escapes and model.path is resolved: numbers are compared.
        if type(value) in (int, float) and float(line.split()[0] if line else "nan") != float(value):
            problems.append(f"{path}: expected {value}, found {line!r}")

    # The check notices a mistake: the same file with a key that no server knows.
    with tempfile.TemporaryDirectory() as folder:
        wrong = Path(folder) / config.name
        wrong.write_text(text.replace('"memory"', '"memmory"', 1), encoding="utf-8")
        result = check_config(binary, wrong)
        if result.returncode == 0 or "memmory" not in result.stdout + result.stderr:
            problems.append(f"a wrong key: expected a refusal that names it, found exit code {result.returncode}")
    print("\n".join(problems) or f"{config.name}: good")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
