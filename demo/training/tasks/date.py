"""Date phrase + today's date -> ISO date."""

import calendar
import datetime
import random

from .base import Task
from .words import MONTHS, WEEKDAYS

ORDINAL = {1: "st", 2: "nd", 3: "rd", 21: "st", 22: "nd", 23: "rd", 31: "st"}
FEASTS = {"Christmas Day": (12, 25), "New Year's Eve": (12, 31), "Halloween": (10, 31), "Labour Day": (5, 1)}


def _relative(rng, today):
    days, phrase = rng.choice(
        (
            (0, "today"), (1, "tomorrow"), (-1, "yesterday"), (2, "the day after tomorrow"),
            (-2, "the day before yesterday"), (7, "in a week"), (7, "one week from today"), (-7, "a week ago"),
        )
    )  # fmt: skip
    return phrase, today + datetime.timedelta(days=days)


def _counted(rng, today):
    days = rng.randint(2, 9)
    if rng.random() < 0.6:
        return rng.choice((f"in {days} days", f"{days} days from now")), today + datetime.timedelta(days=days)
    return f"{days} days ago", today - datetime.timedelta(days=days)


def _weekday(rng, today):
    ahead = rng.randint(1, 7)
    target = today + datetime.timedelta(days=ahead)
    return f"next {WEEKDAYS[target.weekday()]}", target


def _named(rng, today):
    month = rng.randint(1, 12)
    day = rng.randint(1, calendar.monthrange(today.year, month)[1])
    name = MONTHS[month - 1]
    ordinal = f"{day}{ORDINAL.get(day, 'th')}"
    phrase = rng.choice((f"{name} {ordinal}", f"the {ordinal} of {name}", f"{day} {name}"))
    return f"{phrase} this year", datetime.date(today.year, month, day)


def _month_edge(rng, today):
    last = calendar.monthrange(today.year, today.month)[1]
    if rng.random() < 0.5:
        return "the last day of this month", today.replace(day=last)
    return "the first day of next month", today.replace(day=last) + datetime.timedelta(days=1)


def _feast(rng, today):
    name = rng.choice(sorted(FEASTS))
    return f"{name} this year", datetime.date(today.year, *FEASTS[name])


KINDS = (_relative, _relative, _counted, _counted, _weekday, _weekday, _named, _month_edge, _feast)
QUESTIONS = ("When is {}?", "{}", "What date is {}?", "The date of {}")


def sample(rng: random.Random) -> tuple[str, str]:
    today = datetime.date(2024, 1, 1) + datetime.timedelta(days=rng.randrange(4 * 365 + 1))
    phrase, target = rng.choice(KINDS)(rng, today)
    question = rng.choice(QUESTIONS).format(phrase)
    question = question[0].upper() + question[1:]
    return f"Today is {WEEKDAYS[today.weekday()]} {today.isoformat()}. {question}", target.isoformat()


TASK = Task(
    id="date",
    description="a date phrase and today's date become an ISO date",
    system_prompt="As ISO date.",
    instructions=("Give the ISO date. {}", "Which date is meant? {}"),
    sample=sample,
)
