"""configs/demo.json serves the trained tasks of the demo model, each with the system prompt that it was trained with.

usage: demo_tasks.py ROOT
"""

import json
import sys
from pathlib import Path

from check_config import read_with_comments


def differences(served: dict, known: dict) -> list[str]:
    """`served`: "tasks" of the configuration; `known`: demo/tasks.json."""
    problems = []
    served = {task: about for task, about in served.items() if task}  # the base has no prompt of its own
    trained = {task: about for task, about in known.items() if task and about["trained"]}
    taught = {task: about for task, about in served.items() if about.get("adapters")}  # what the base was not trained for
    for task in sorted(trained.keys() - served.keys()):
        problems.append(f"tasks.{task}: missing; the model was trained for it")
    for task in sorted(served.keys() - trained.keys() - taught.keys()):
        problems.append(f"tasks.{task}: the model was not trained for it, and no adapter serves it")
    for task in sorted(served.keys() & known.keys()):
        for key in ("system_prompt", "description"):
            if served[task].get(key) != known[task][key]:
                problems.append(f"tasks.{task}.{key}: expected {known[task][key]!r}, found {served[task].get(key)!r}")
    return problems


def main() -> int:
    root = Path(sys.argv[1])
    served = read_with_comments((root / "configs/demo.json").read_text(encoding="utf-8"))["tasks"]
    known = json.loads((root / "demo/tasks.json").read_text(encoding="utf-8"))
    problems = differences(served, known)

    # The comparison notices a missing task, one too many, and another prompt.
    planted = {"a": {"system_prompt": "x", "description": "d", "trained": True},
               "b": {"system_prompt": "y", "description": "d", "trained": True}, "": {"trained": True}}
    found = differences({"a": {"system_prompt": "z", "description": "d"}, "c": {}, "": {}}, planted)
    if [problem.split(":")[0] for problem in found] != ["tasks.b", "tasks.c", "tasks.a.system_prompt"]:
        problems.append(f"the test itself is wrong: {found}")
    print("\n".join(problems) or f"demo_tasks: {len(served)} tasks agree with demo/tasks.json")
    return 1 if problems or not served else 0


if __name__ == "__main__":
    sys.exit(main())
