"""Number -> Roman numeral. Kept out of the training mixture."""

import random

from .base import Task

STEPS = (
    (1000, "M"), (900, "CM"), (500, "D"), (400, "CD"), (100, "C"), (90, "XC"), (50, "L"), (40, "XL"), (10, "X"),
    (9, "IX"), (5, "V"), (4, "IV"), (1, "I"),
)  # fmt: skip


def roman(n: int) -> str:
    letters = []
    for value, letter in STEPS:
        letters.append(letter * (n // value))
        n %= value
    return "".join(letters)


def sample(rng: random.Random) -> tuple[str, str]:
    n = rng.randint(1, rng.choice((99, 999, 2999)))
    return rng.choice(("{}", "The year {}", "Number {}", "Chapter {}", "Page {}")).format(n), roman(n)


TASK = Task(
    id="roman",
    description="a number becomes a Roman numeral",
    system_prompt="As Roman numeral.",
    instructions=("As a Roman numeral: {}",),
    sample=sample,
    trained=False,
)
