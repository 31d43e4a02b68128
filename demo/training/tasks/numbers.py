"""English and German number words -> digits."""

import random

from .base import Task

EN_SMALL = (
    "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen "
    "seventeen eighteen nineteen"
).split()
EN_TENS = "twenty thirty forty fifty sixty seventy eighty ninety".split()

DE_SMALL = (
    "null eins zwei drei vier fünf sechs sieben acht neun zehn elf zwölf dreizehn vierzehn fünfzehn sechzehn "
    "siebzehn achtzehn neunzehn"
).split()
DE_TENS = "zwanzig dreißig vierzig fünfzig sechzig siebzig achtzig neunzig".split()


def english(n: int) -> str:
    if n < 20:
        return EN_SMALL[n]
    if n < 100:
        return EN_TENS[n // 10 - 2] + (f"-{EN_SMALL[n % 10]}" if n % 10 else "")
    if n < 1000:
        return f"{EN_SMALL[n // 100]} hundred" + (f" and {english(n % 100)}" if n % 100 else "")
    joint = " " if n % 1000 >= 100 else " and "
    return f"{english(n // 1000)} thousand" + (f"{joint}{english(n % 1000)}" if n % 1000 else "")


def _german_prefix(n: int) -> str:
    """The form before "hundert", "tausend" and "und": "ein", not "eins"."""
    return "ein" if n == 1 else german(n)


def german(n: int) -> str:
    if n < 20:
        return DE_SMALL[n]
    if n < 100:
        tens = DE_TENS[n // 10 - 2]
        return f"{_german_prefix(n % 10)}und{tens}" if n % 10 else tens
    if n < 1000:
        return f"{_german_prefix(n // 100)}hundert" + (german(n % 100) if n % 100 else "")
    return f"{_german_prefix(n // 1000)}tausend" + (german(n % 1000) if n % 1000 else "")


def sample(rng: random.Random) -> tuple[str, str]:
    digits = rng.choice((2, 3, 3, 4))
    n = rng.randrange(10**digits)
    return rng.choice((english, german))(n), str(n)


TASK = Task(
    id="numbers",
    description="English or German number words become digits",
    system_prompt="As digits.",
    instructions=("Write in digits: {}", "{} in digits"),
    sample=sample,
)
