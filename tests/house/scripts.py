"""The scripts can be run: mode, first line, syntax, and the strict settings."""

import os
import subprocess
import sys
from pathlib import Path

from file_sizes import scripts


def check_script(root: Path, script: str) -> list[str]:
    path = root / script
    text = path.read_text(encoding="utf-8")
    problems = []
    if path.suffix != ".sh":  # those are sourced
        if not os.access(path, os.X_OK):
            problems.append(f"{script}: not executable")
        if not text.startswith("#!/usr/bin/env bash\n"):
            problems.append(f"{script}: the first line is not #!/usr/bin/env bash")
        if "\nset -euo pipefail\n" not in text:
            problems.append(f"{script}: no line 'set -euo pipefail'")
    result = subprocess.run(["bash", "-n", str(path)], capture_output=True, text=True)
    if result.returncode != 0:
        problems.append(f"{script}: {result.stderr.strip()}")
    return problems


def main() -> int:
    root = Path(sys.argv[1]).resolve()
    names = scripts(root) + [".ci/run"]
    problems = [problem for name in names for problem in check_script(root, name)]
    print("\n".join(problems))
    print(f"scripts: {len(names)} scripts, {len(problems)} problems")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
