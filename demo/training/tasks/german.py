"""English phrase -> German phrase: a small grammar with gender, case and number."""

import random

from .base import Task

# English noun, German noun, gender, German plural
NOUNS = (
    ("dog", "Hund", "m", "Hunde"), ("cat", "Katze", "f", "Katzen"), ("horse", "Pferd", "n", "Pferde"),
    ("house", "Haus", "n", "Häuser"), ("tree", "Baum", "m", "Bäume"), ("flower", "Blume", "f", "Blumen"),
    ("car", "Auto", "n", "Autos"), ("bird", "Vogel", "m", "Vögel"), ("table", "Tisch", "m", "Tische"),
    ("lamp", "Lampe", "f", "Lampen"), ("book", "Buch", "n", "Bücher"), ("door", "Tür", "f", "Türen"),
    ("window", "Fenster", "n", "Fenster"), ("bottle", "Flasche", "f", "Flaschen"), ("bag", "Tasche", "f", "Taschen"),
    ("ship", "Schiff", "n", "Schiffe"), ("mountain", "Berg", "m", "Berge"), ("town", "Stadt", "f", "Städte"),
)  # fmt: skip
ADJECTIVES = (
    ("red", "rot"), ("small", "klein"), ("big", "groß"), ("old", "alt"), ("new", "neu"), ("green", "grün"),
    ("beautiful", "schön"), ("quiet", "leise"), ("cheap", "billig"), ("white", "weiß"),
)  # fmt: skip
# English verb and German verb, first person
VERBS = (("see", "sehe"), ("buy", "kaufe"), ("need", "brauche"), ("paint", "male"), ("look for", "suche"))
WE_VERBS = {"sehe": "sehen", "kaufe": "kaufen", "brauche": "brauchen", "male": "malen", "suche": "suchen"}

NOMINATIVE = {"m": ("der", "e"), "f": ("die", "e"), "n": ("das", "e")}
ACCUSATIVE = {"m": ("den", "en"), "f": ("die", "e"), "n": ("das", "e")}
INDEFINITE_ACCUSATIVE = {"m": ("einen", "en"), "f": ("eine", "e"), "n": ("ein", "es")}


def _stem(adjective):
    """What the endings are put on: leise, but leis-er."""
    return adjective[1].removesuffix("e")


def _object(rng, noun, adjective):
    """(English, German) noun phrase in the accusative."""
    english, german, gender, german_plural = noun
    stem = _stem(adjective)
    kind = rng.randrange(3)
    if kind == 0:
        article, ending = ACCUSATIVE[gender]
        return f"the {adjective[0]} {english}", f"{article} {stem}{ending} {german}"
    if kind == 1:
        article, ending = INDEFINITE_ACCUSATIVE[gender]
        an = "an" if adjective[0][0] in "aeiou" else "a"
        return f"{an} {adjective[0]} {english}", f"{article} {stem}{ending} {german}"
    return f"the {adjective[0]} {english}s", f"die {stem}en {german_plural}"


def sample(rng: random.Random) -> tuple[str, str]:
    noun, adjective = rng.choice(NOUNS), rng.choice(ADJECTIVES)
    kind = rng.randrange(4)
    if kind == 0:
        other = rng.choice(ADJECTIVES)
        article, ending = NOMINATIVE[noun[2]]
        return (
            f"The {adjective[0]} {noun[0]} is {other[0]}.",
            f"{article.capitalize()} {_stem(adjective)}{ending} {noun[1]} ist {other[1]}.",
        )
    verb = rng.choice(VERBS)
    english, german = _object(rng, noun, adjective)
    if kind == 1:
        return f"We {verb[0]} {english}.", f"Wir {WE_VERBS[verb[1]]} {german}."
    if kind == 2:
        return f"I {verb[0]} {english} today.", f"Ich {verb[1]} heute {german}."
    return f"I {verb[0]} {english}.", f"Ich {verb[1]} {german}."


TASK = Task(
    id="german",
    description="an English sentence becomes a German one",
    system_prompt="Into German.",
    instructions=("Translate into German: {}", "{} In German, please."),
    sample=sample,
)
