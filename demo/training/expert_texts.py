"""Rendered training chats of one task for `guildhall experts stats --tokens-file`:
expert_texts.py --model ../model --task sql --out sql_tokens.json"""

import argparse
import json
import random
from pathlib import Path

from tokenizers import Tokenizer

import tasks
from chat_format import END, render_prompt


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--task", required=True, choices=[t.id for t in tasks.KEPT_OUT])
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--count", type=int, default=256)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    task = next(t for t in tasks.KEPT_OUT if t.id == args.task)
    tokenizer, rng = Tokenizer.from_file(str(args.model / "tokenizer.json")), random.Random(args.seed)
    pairs = [tasks.sample_split(task, rng, held_out=False) for _ in range(args.count)]
    texts = [render_prompt(task.system_prompt, prompt) + answer + END for prompt, answer in pairs]
    ids = [e.ids for e in tokenizer.encode_batch(texts, add_special_tokens=False)]
    args.out.write_text(json.dumps(ids) + "\n")
    print(f"wrote {args.out}: {len(ids)} conversations, {sum(map(len, ids))} tokens")


if __name__ == "__main__":
    main()
