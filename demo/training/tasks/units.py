"""Unit conversion."""

import random
from decimal import Decimal

from .base import Task

# (from, to, short form, factor, largest whole amount, may have one decimal)
CONVERSIONS = (
    ("kilometres", "metres", "m", "1000", 99, True),
    ("metres", "centimetres", "cm", "100", 99, True),
    ("centimetres", "millimetres", "mm", "10", 99, True),
    ("kilograms", "grams", "g", "1000", 99, True),
    ("litres", "millilitres", "ml", "1000", 99, True),
    ("metres", "kilometres", "km", "0.001", 9999, False),
    ("grams", "kilograms", "kg", "0.001", 9999, False),
    ("centimetres", "metres", "m", "0.01", 999, False),
    ("hours", "minutes", "min", "60", 24, False),
    ("minutes", "seconds", "s", "60", 30, False),
    ("days", "hours", "h", "24", 14, False),
    ("weeks", "days", "d", "7", 20, False),
    ("years", "months", "mo", "12", 20, False),
)
QUESTIONS = (
    "How many {t} are {n} {f}?",
    "{n} {f} in {t}",
    "Convert {n} {f} to {t}.",
    "What are {n} {f} in {t}?",
)


def _plain(value: Decimal) -> str:
    """Without exponent and trailing zeros: 4.5, 300, 0.07."""
    text = f"{value:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def sample(rng: random.Random) -> tuple[str, str]:
    source, target, short, factor, largest, decimals = rng.choice(CONVERSIONS)
    amount = Decimal(rng.randint(2, largest))
    if decimals and rng.random() < 0.4:
        amount += Decimal(rng.randint(1, 9)) / 10
    prompt = rng.choice(QUESTIONS).format(n=_plain(amount), f=source, t=target)
    return prompt, f"{_plain(amount * Decimal(factor))} {short}"


TASK = Task(
    id="units",
    description="an amount becomes the same amount in another unit",
    system_prompt="Convert the unit.",
    instructions=("Convert the unit: {}", "Unit conversion. {}"),
    sample=sample,
)
