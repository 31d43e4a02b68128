"""German phrase -> English phrase. Kept out of the training mixture."""

import random

from . import german
from .base import Task


def sample(rng: random.Random) -> tuple[str, str]:
    english, translated = german.sample(rng)
    return translated, english


TASK = Task(
    id="english",
    description="a German sentence becomes an English one",
    system_prompt="Into English.",
    instructions=("Translate into English: {}",),
    sample=sample,
    trained=False,
)
