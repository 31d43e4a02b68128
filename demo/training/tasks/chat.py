"""Small talk for the base task "": no system prompt and no instruction."""

import random

from .words import NAMES

GREETINGS = ("Hello", "Hi", "Good morning", "Good evening", "Hey")
INTRODUCTIONS = ("{g}, my name is {n}.", "{g}, I am {n}.", "{g}! {n} here.")
HELP = (
    "What can you do?", "Who are you?", "Help", "What are you?", "How do I use you?", "What are you good at?",
)  # fmt: skip
HELP_ANSWER = "I am a small demo model. I convert units, dates and numbers, solve problems, translate and more."
THANKS = ("Thanks", "Thank you", "Thank you very much", "Great, thanks", "Bye", "Goodbye")


def sample(rng: random.Random) -> tuple[str, str]:
    kind = rng.random()
    if kind < 0.6:
        name, greeting = rng.choice(NAMES), rng.choice(GREETINGS)
        prompt = rng.choice(INTRODUCTIONS).format(g=greeting, n=name)
        return prompt, f"{greeting} {name}, how can I help you?"
    if kind < 0.8:
        return rng.choice(HELP), HELP_ANSWER
    if kind < 0.9:
        return rng.choice(THANKS) + rng.choice(("", ".", "!")), "You are welcome."
    return rng.choice(GREETINGS) + rng.choice(("", ".", "!")), "Hello, how can I help you?"
