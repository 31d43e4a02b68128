"""Natural command -> JSON intent."""

import json
import random

from .base import Task
from .words import CITIES, NAMES, WEEKDAYS

ROOMS = ("kitchen", "bathroom", "bedroom", "living room", "garage", "garden", "hall", "office")
GENRES = ("jazz", "rock", "classical music", "blues", "folk", "reggae", "techno", "soul")
GOODS = ("milk", "bread", "eggs", "butter", "apples", "coffee", "rice", "soap", "cheese", "tomatoes", "tea", "flour")

# What people put around a command.
WRAPPERS = ("{}", "{}", "{}", "please {}", "could you {}", "hey, {}", "can you please {}", "{} please", "{} now", "{}, thanks")


def _timer(rng):
    minutes = rng.randint(1, 90)
    phrase = rng.choice(("set a timer for {} minutes", "start a {} minute timer", "wake me in {} minutes"))
    return phrase.format(minutes), {"intent": "timer", "minutes": minutes}


def _alarm(rng):
    hour, minute = rng.randint(0, 23), rng.choice((0, 5, 10, 15, 20, 30, 40, 45, 50))
    clock = f"{hour}:{minute:02d}"
    phrase = rng.choice(("set an alarm for {}", "wake me up at {}", "I have to get up at {}"))
    return phrase.format(clock), {"intent": "alarm", "time": f"{hour:02d}:{minute:02d}"}


def _light(rng):
    room, state = rng.choice(ROOMS), rng.choice(("on", "off"))
    phrase = rng.choice(("turn {s} the light in the {r}", "switch the {r} light {s}", "lights {s} in the {r}"))
    return phrase.format(r=room, s=state), {"intent": "light", "room": room, "state": state}


def _music(rng):
    genre, room = rng.choice(GENRES), rng.choice(ROOMS)
    phrase = rng.choice(("play some {g} in the {r}", "put on {g} in the {r}", "I want to hear {g} in the {r}"))
    return phrase.format(g=genre, r=room), {"intent": "music", "genre": genre, "room": room}


def _weather(rng):
    city, day = rng.choice(CITIES), rng.choice(WEEKDAYS + ("today", "tomorrow"))
    when = f"on {day}" if day in WEEKDAYS else day
    phrase = rng.choice(
        ("what is the weather in {c} {w}", "will it rain in {c} {w}", "how warm will it be {w} in {c}")
    )
    return phrase.format(c=city, w=when), {"intent": "weather", "city": city, "day": day.lower()}


def _call(rng):
    name = rng.choice(NAMES)
    kind = rng.choice(("mobile", "work", "home"))
    phrase = rng.choice(("call {n} on the {k} number", "ring {n} at the {k} number", "phone {n}, {k} number"))
    return phrase.format(n=name, k=kind), {"intent": "call", "name": name, "number": kind}


def _shopping(rng):
    item, count = rng.choice(GOODS), rng.randint(1, 20)
    phrase = rng.choice(("add {c} {i} to my shopping list", "put {c} {i} on the list", "we need {c} {i}"))
    return phrase.format(c=count, i=item), {"intent": "shopping", "item": item, "count": count}


def _volume(rng):
    level, room = rng.randint(0, 100), rng.choice(ROOMS)
    phrase = rng.choice(("set the volume in the {r} to {l}", "volume {l} in the {r}", "make the {r} speaker {l} percent"))
    return phrase.format(r=room, l=level), {"intent": "volume", "room": room, "level": level}


INTENTS = (_timer, _alarm, _light, _music, _weather, _call, _shopping, _volume)


def sample(rng: random.Random) -> tuple[str, str]:
    command, intent = rng.choice(INTENTS)(rng)
    return rng.choice(WRAPPERS).format(command), json.dumps(intent)


TASK = Task(
    id="intent",
    description="a spoken command becomes a JSON intent",
    system_prompt="To JSON intent.",
    instructions=("Turn this command into JSON: {}", "Which intent is this? {}"),
    sample=sample,
)
