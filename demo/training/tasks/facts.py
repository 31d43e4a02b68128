"""Word problem -> who, how many and what, without solving it. Kept out of the training mixture."""

import random
import re

from . import math
from .base import Task
from .words import NAMES


def facts(problem: str) -> str:
    """Names, then numbers, then the thing, each in the order of the text: `David, Jonas: 44, 5 stamps`."""
    words = re.findall(r"\w+", problem)
    names = [w for w in dict.fromkeys(words) if w in NAMES]
    numbers = [w for w in words if w.isdigit()]
    thing = next(w for w in words if w in math.THINGS)
    return f"{', '.join(names) or 'all'}: {', '.join(numbers)} {thing}"


def sample(rng: random.Random) -> tuple[str, str]:
    problem, _ = math.sample(rng)
    return problem, facts(problem)


TASK = Task(
    id="facts",
    description="a word problem becomes its names, numbers and thing",
    system_prompt="As facts.",
    instructions=("The facts of this: {}",),
    sample=sample,
    trained=False,
)
