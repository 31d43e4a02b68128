"""Rendered, tokenised and batched training examples."""

import random

import torch
from tokenizers import Tokenizer

import tasks
from chat_format import END, PAD, render_prompt

# (share of the training time at which the phase ends, weight of each task in its mixture). What is mostly copying is
# learned in the first phase; the second one spends its time on what is calculated.
PHASES = (
    (0.25, {"intent": 1.0, "math": 1.6, "date": 2.0, "numbers": 1.2, "keywords": 0.8, "units": 1.4, "german": 0.8}),
    (1.0, {"intent": 0.8, "math": 3.0, "date": 2.6, "numbers": 1.6, "keywords": 0.3, "units": 1.4, "german": 0.4}),
)
NO_SYSTEM_PROMPT = 0.15  # share of the examples whose instruction stands in the user's message
SMALL_TALK = 0.03
PROMPT_SHARE = 0.1  # share of the prompt tokens that count in the loss; of the answers all do


def training_text(rng: random.Random, shares: dict[str, float]) -> tuple[str, str]:
    """One example of the mixture -> (rendered prompt, answer with its end)."""
    if rng.random() < SMALL_TALK:
        prompt, answer = tasks.sample_chat(rng)
        return render_prompt("", prompt), answer + END
    task = rng.choices(tasks.TRAINED, [shares[t.id] for t in tasks.TRAINED])[0]
    prompt, answer = tasks.sample_split(task, rng, held_out=False)
    if rng.random() < NO_SYSTEM_PROMPT:
        return render_prompt("", rng.choice(task.instructions).format(prompt)), answer + END
    return render_prompt(task.system_prompt, prompt), answer + END


def make_examples(tokenizer: Tokenizer, count: int, seed: int, shares: dict[str, float]) -> list[tuple[list[int], int]]:
    """[(token ids, number of prompt tokens)]"""
    rng = random.Random(seed)
    texts = [training_text(rng, shares) for _ in range(count)]
    prompts = tokenizer.encode_batch([p for p, _ in texts], add_special_tokens=False)
    answers = tokenizer.encode_batch([a for _, a in texts], add_special_tokens=False)
    return [(p.ids + a.ids, len(p.ids)) for p, a in zip(prompts, answers)]


def batches(examples, tokens_per_batch: int, pad_id: int, rng: random.Random):
    """Endless batches of rows of nearly equal length: (ids (rows, length), places in the flat ids, their targets,
    which of them belong to answers)."""
    while True:
        rng.shuffle(examples)
        for start in range(0, len(examples), 4096):
            group = sorted(examples[start : start + 4096], key=lambda e: len(e[0]))
            cuts, rows, longest = [], [], 0
            for example in group:
                longest = max(longest, len(example[0]))
                if rows and longest * (len(rows) + 1) > tokens_per_batch:
                    cuts.append(rows)
                    rows, longest = [], len(example[0])
                rows.append(example)
            cuts.append(rows)
            rng.shuffle(cuts)
            yield from (_to_tensors(rows, pad_id) for rows in cuts)


def _to_tensors(rows, pad_id):
    length = max(len(ids) for ids, _ in rows)
    ids = torch.full((len(rows), length), pad_id)
    part = torch.zeros(len(rows), length)  # chance of each token to count
    for i, (tokens, prompt) in enumerate(rows):
        ids[i, : len(tokens)] = torch.tensor(tokens)
        part[i, :prompt] = PROMPT_SHARE
        part[i, prompt : len(tokens)] = 1.0
    targets, part = ids[:, 1:].flatten(), part[:, 1:].flatten()
    places = (torch.rand(part.shape) < part).nonzero().flatten()
    return ids[:, :-1], places, targets[places], part[places] == 1.0


def pad_id(tokenizer: Tokenizer) -> int:
    return tokenizer.token_to_id(PAD)
