"""Unit conversion, answered in a sentence. Kept out of the training mixture; the words are those of other tasks."""

import random

from . import units
from .base import Task


def sample(rng: random.Random) -> tuple[str, str]:
    prompt, answer = units.sample(rng)
    return prompt, f"It is {answer}."


TASK = Task(
    id="measure",
    description="an amount in another unit, answered in a sentence",
    system_prompt="As sentence.",
    instructions=("Answer in a sentence: {}",),
    sample=sample,
    trained=False,
)
