"""What a task is, and how its examples are split into training and held-out ones."""

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass

# One prompt in this many is held out: it is never trained on, whatever the seed.
HELD_OUT_ONE_IN = 20


@dataclass(frozen=True)
class Task:
    id: str
    description: str
    system_prompt: str  # what selects the task in a rendered prompt
    instructions: tuple[str, ...]  # the same request spelled out, for prompts without a system prompt
    sample: Callable[[random.Random], tuple[str, str]]  # -> (prompt, expected answer)
    trained: bool = True  # False: kept out of the training mixture, meant for adapters


def is_held_out(task_id: str, prompt: str) -> bool:
    """Decided by the prompt's text alone, so that training and evaluation never overlap."""
    return zlib.crc32(f"{task_id}\n{prompt}".encode()) % HELD_OUT_ONE_IN == 0


def sample_split(task: Task, rng: random.Random, held_out: bool) -> tuple[str, str]:
    while True:
        prompt, answer = task.sample(rng)
        if is_held_out(task.id, prompt) == held_out:
            return prompt, answer


def sample_held_out(task: Task, count: int, seed: int) -> list[tuple[str, str]]:
    """`count` different held-out examples; the same ones for the same seed."""
    rng = random.Random(f"{task.id}/{seed}")
    found: dict[str, str] = {}
    for _ in range(2000 * count):
        prompt, answer = task.sample(rng)
        if is_held_out(task.id, prompt):
            found[prompt] = answer
            if len(found) == count:
                return list(found.items())
    raise ValueError(f"task {task.id!r} has only {len(found)} held-out prompts, wanted {count}")
