"""Word problem -> number."""

import random

from .base import Task
from .words import NAMES

THINGS = ("apples", "books", "stamps", "coins", "marbles", "cards", "pencils", "cookies", "stickers", "eggs")

ADD = (
    "{n} has {a} {t} and buys {b} more. How many {t} does {n} have now?",
    "{n} finds {a} {t} on Monday and {b} on Tuesday. How many is that in all?",
    "{n} has {a} {t}. {m} has {b}. How many {t} do they have together?",
)
SUBTRACT = (
    "{n} has {a} {t} and gives {b} to {m}. How many are left?",
    "There are {a} {t} in a box. {n} takes {b}. How many stay in the box?",
    "{n} had {a} {t} and lost {b}. How many {t} does {n} still have?",
)
MULTIPLY = (
    "{n} buys {a} bags with {b} {t} each. How many {t} is that?",
    "There are {a} boxes. Each box holds {b} {t}. How many {t} are there?",
)
DIVIDE = (
    "{n} shares {a} {t} among {b} friends. How many does each get?",
    "{a} {t} are packed into {b} equal boxes. How many are in each box?",
)


def sample(rng: random.Random) -> tuple[str, str]:
    kind = rng.randrange(4)
    if kind == 0:
        a, b = rng.randint(2, 40), rng.randint(2, 20)
        template, answer = rng.choice(ADD), a + b
    elif kind == 1:
        a = rng.randint(5, 50)
        b = rng.randint(1, min(a, 20))
        template, answer = rng.choice(SUBTRACT), a - b
    elif kind == 2:
        a, b = rng.randint(2, 10), rng.randint(2, 10)
        template, answer = rng.choice(MULTIPLY), a * b
    else:
        b, answer = rng.randint(2, 10), rng.randint(1, 10)
        template, a = rng.choice(DIVIDE), b * answer
    n, m = rng.sample(NAMES, 2)
    return template.format(n=n, m=m, a=a, b=b, t=rng.choice(THINGS)), str(answer)


TASK = Task(
    id="math",
    description="a word problem becomes a number",
    system_prompt="Solve the problem.",
    instructions=("Solve this: {}", "Calculate. {}"),
    sample=sample,
)
