"""Writes golden.json, what transformers says to a few held-out prompts: golden.py --model ../model --out ../golden.json"""

import argparse
from pathlib import Path

import torch

from evaluate import describe, held_out_sets
from export import write_json
from generate import Reference

TASKS = ("intent", "math", "date", "numbers", "german", "")
PROMPTS_PER_TASK = 4


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)
    reference = Reference(args.model)
    sets = held_out_sets(50)
    entries = []
    for task_id in TASKS:
        system_prompt = describe(task_id)["system_prompt"]
        for prompt, expected in sets[task_id][:PROMPTS_PER_TASK]:
            text = reference.render(system_prompt, prompt)
            ids = reference.encode(text)
            output = reference.continuations([ids])[0]
            entries.append(
                {
                    "task": task_id,
                    "system_prompt": system_prompt,
                    "prompt": prompt,
                    "expected": expected,
                    "rendered": text,
                    "prompt_ids": ids,
                    "output_ids": output,  # the last one is the end token where the answer ended by itself
                    "output_text": reference.text(output),
                }
            )
    write_json(args.out, entries)


if __name__ == "__main__":
    main()
