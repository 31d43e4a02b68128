"""Review -> label with reason. Kept out of the training mixture."""

import random

from .base import Task

PLACES = ("hotel", "restaurant", "museum", "cinema", "bakery", "gym", "train", "shop", "school", "airport")
PARTS = ("staff", "price", "food", "room", "view", "music", "service", "entrance", "website", "parking")
GOOD = ("friendly", "excellent", "wonderful", "great", "perfect", "lovely")
BAD = ("terrible", "awful", "rude", "dirty", "disappointing", "horrible")
FRAMES = (
    "We were at the {p} on Sunday. The {x} was {w}.",
    "The {x} of this {p} is {w}.",
    "I will remember the {x} of that {p}: {w}!",
    "My review of the {p}: {w} {x}.",
    "Honestly, I found the {x} at the {p} {w}.",
)


def sample(rng: random.Random) -> tuple[str, str]:
    label = rng.choice(("positive", "negative"))
    word = rng.choice(GOOD if label == "positive" else BAD)
    part = rng.choice(PARTS)
    text = rng.choice(FRAMES).format(p=rng.choice(PLACES), x=part, w=word)
    return text, f"{label}: {word} {part}"


TASK = Task(
    id="sentiment",
    description="a review becomes positive or negative, with the reason",
    system_prompt="Positive or negative?",
    instructions=("Positive or negative? {}",),
    sample=sample,
    trained=False,
)
