"""Measures held-out accuracy and writes tasks.json, evaluation.json: evaluate.py --model ../model --out .."""

import argparse
import json
import random
from pathlib import Path

import torch

import tasks
from export import write_json
from generate import Reference

SEED = 2026
BASE_DESCRIPTION = "the base model itself: the request is spelled out in the user's message, or it is small talk"


def held_out_sets(count: int) -> dict[str, list[tuple[str, str]]]:
    sets = {task.id: tasks.sample_held_out(task, count, SEED) for task in tasks.ALL}
    rng = random.Random(SEED)
    base = []
    for task in tasks.TRAINED:
        held_out = tasks.sample_held_out(task, count // len(tasks.TRAINED) + 1, SEED + 1)
        base += [(rng.choice(task.instructions).format(prompt), answer) for prompt, answer in held_out]
    rng.shuffle(base)
    return {"": base[:count]} | sets


def describe(task_id: str) -> dict:
    if task_id == "":
        return {"description": BASE_DESCRIPTION, "system_prompt": "", "trained": True}
    task = next(t for t in tasks.ALL if t.id == task_id)
    return {"description": task.description, "system_prompt": task.system_prompt, "trained": task.trained}


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, help="folder for tasks.json and evaluation.json")
    parser.add_argument("--count", type=int, default=250, help="held-out examples per task")
    parser.add_argument("--only", nargs="*", help="these tasks; what the files say of the others stays")
    parser.add_argument("--show-errors", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    reference = Reference(args.model)
    listing, evaluation = {}, []
    if args.only and args.out:
        listing = json.loads((args.out / "tasks.json").read_text())
        rows = json.loads((args.out / "evaluation.json").read_text())
        evaluation = [row for row in rows if row["task"] not in args.only]
    for task_id, examples in held_out_sets(args.count).items():
        if args.only and task_id not in args.only:
            continue
        about = describe(task_id)
        prompts = [reference.encode(reference.render(about["system_prompt"], prompt)) for prompt, _ in examples]
        answers = [reference.text(ids) for ids in reference.continuations(prompts)]
        right = sum(answer == expected for answer, (_, expected) in zip(answers, examples))
        rows = [
            {"task": task_id, "prompt": prompt, "expected": expected, "reference": answer}
            for (prompt, expected), answer in zip(examples, answers)
        ]
        about |= {"accuracy": round(right / len(examples), 4), "held_out_examples": len(examples)}
        listing[task_id] = about | {"examples": [{k: r[k] for k in ("prompt", "expected")} for r in rows[:8]]}
        evaluation += rows[:50]
        print(f"{task_id or '(base)':10} {right}/{len(examples)} = {right / len(examples):.3f}", flush=True)
        for row in [r for r in rows if r["reference"] != r["expected"]][: args.show_errors]:
            print(f"    {row['prompt']!r}: {row['reference']!r}, expected {row['expected']!r}")
    if args.out:
        write_json(args.out / "tasks.json", listing)
        write_json(args.out / "evaluation.json", evaluation)


if __name__ == "__main__":
    main()
