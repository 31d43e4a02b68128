"""Short text -> headline. Kept out of the training mixture; the words are those of `keywords`."""

import random

from . import keywords
from .base import Task


def headline(answer: str) -> str:
    """`Berlin: museum and old tram.`"""
    place, who, what = answer.split("; ")
    return f"{place}: {who} and {what}."


def sample(rng: random.Random) -> tuple[str, str]:
    prompt, answer = keywords.sample(rng)
    return prompt, headline(answer)


TASK = Task(
    id="report",
    description="a short news text becomes a headline",
    system_prompt="As report.",
    instructions=("As a report: {}",),
    sample=sample,
    trained=False,
)
