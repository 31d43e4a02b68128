"""Spoken command -> one line for a device. Kept out of the training mixture; the words are those of `intent`."""

import json
import random

from . import intent
from .base import Task
from .words import WEEKDAYS


def line(intent_json: str) -> str:
    """`light: kitchen, on`: the intent, then its values."""
    name, *values = (str(value) for value in json.loads(intent_json).values())
    values = [v.capitalize() if v.capitalize() in WEEKDAYS else v for v in values]
    return f"{name}: {', '.join(values)}"


def sample(rng: random.Random) -> tuple[str, str]:
    prompt, answer = intent.sample(rng)
    return prompt, line(answer)


TASK = Task(
    id="command",
    description="a spoken command becomes one line for a device",
    system_prompt="As command.",
    instructions=("As a command: {}",),
    sample=sample,
    trained=False,
)
