"""Writes the held-out examples of the demo as `guildhall quality` reads them and prints its --adapter flags.

    python3 demo/quality_examples.py EXAMPLES.json

Tasks that the base was trained for use the base; the others each of the adapters that teach them, by the adapter's name.
"""

import json
import sys
from pathlib import Path

DEMO = Path(__file__).parent


def read(path: Path):
    return json.loads(path.read_text(encoding="utf-8"))


def example(tasks: dict, item: dict, group: str, adapters: list[str]) -> dict:
    system_prompt = tasks[item["task"]]["system_prompt"]
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return {
        "messages": system + [{"role": "user", "content": item["prompt"]}],
        "expected": item["expected"],
        "group": group,
        "adapters": adapters,
    }


def main() -> None:
    tasks = read(DEMO / "tasks.json")
    base = [
        example(tasks, item, item["task"] or "base", [])
        for item in read(DEMO / "evaluation.json")
        if tasks[item["task"]]["trained"]
    ]
    taught = [
        example(tasks, item, item["adapter"], [item["adapter"]])
        for item in read(DEMO / "adapters" / "evaluation.json")
    ]
    Path(sys.argv[1]).write_text(json.dumps(base + taught, ensure_ascii=False), encoding="utf-8")
    for name in sorted({group for item in taught for group in item["adapters"]}):
        print(f"--adapter={name}={DEMO / 'adapters' / name}")


if __name__ == "__main__":
    main()
