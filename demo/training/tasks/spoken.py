"""Digits -> English number words. Kept out of the training mixture."""

import random

from . import numbers
from .base import Task


def sample(rng: random.Random) -> tuple[str, str]:
    n = rng.randrange(10 ** rng.choice((2, 3, 3, 4)))
    return str(n), numbers.english(n)


TASK = Task(
    id="spoken",
    description="digits become English number words",
    system_prompt="As words.",
    instructions=("Write in words: {}",),
    sample=sample,
    trained=False,
)
