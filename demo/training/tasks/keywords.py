"""Short text -> keyword summary."""

import random

from .base import Task
from .words import CITIES, WEEKDAYS

ACTORS = (
    "the city council", "the university", "the fire brigade", "a local bakery", "the football club", "the museum",
    "the national railway", "a young engineer", "the main hospital", "the public library", "a group of students",
    "the water company", "the film festival", "the airport", "a family of farmers", "the chess club",
)  # fmt: skip
EVENTS = {
    "a new bridge": ("opened {e}", "planned {e}", "paid for {e}"),
    "a summer festival": ("held {e}", "announced {e}", "cancelled {e}"),
    "an old tram": ("repaired {e}", "sold {e}", "painted {e}"),
    "a solar park": ("built {e}", "planned {e}", "opened {e}"),
    "a record price": ("reported {e}", "paid {e}"),
    "a free concert": ("held {e}", "announced {e}"),
    "a lost painting": ("found {e}", "showed {e}", "sold {e}"),
    "a night bus": ("started {e}", "tested {e}"),
    "a bicycle lane": ("built {e}", "asked for {e}", "opened {e}"),
    "a rare bird": ("saw {e}", "rescued {e}"),
    "a cooking course": ("started {e}", "announced {e}"),
    "a cheap ticket": ("tested {e}", "announced {e}"),
}
FILLERS = (
    "Many people were happy.", "It was a cold morning.", "Nobody was hurt.", "Some neighbours complained.",
    "The work took three years.", "More will follow soon.", "Visitors came from far away.", "The mayor gave a speech.",
)  # fmt: skip
FRAMES = (
    "On {d}, {a} in {c} {v}.",
    "{a} in {c} {v} on {d}.",
    "In {c}, {a} {v} last {d}.",
    "News from {c}: {a} {v} on {d}.",
)


def _bare(phrase: str) -> str:
    """Without the article."""
    return phrase.split(" ", 1)[1]


def sample(rng: random.Random) -> tuple[str, str]:
    city, actor, event = rng.choice(CITIES), rng.choice(ACTORS), rng.choice(sorted(EVENTS))
    verb = rng.choice(EVENTS[event]).format(e=event)
    text = rng.choice(FRAMES).format(d=rng.choice(WEEKDAYS), a=actor, c=city, v=verb)
    text = text[0].upper() + text[1:]
    filler = rng.choice(FILLERS)
    text = rng.choice((text, f"{text} {filler}", f"{filler} {text}"))
    return text, f"{city}; {_bare(actor)}; {_bare(event)}"


TASK = Task(
    id="keywords",
    description="a short news text becomes three keywords: place; who; what",
    system_prompt="As keywords.",
    instructions=("Give keywords for this text: {}", "Keywords: {}"),
    sample=sample,
)
