"""English question -> SQL. Kept out of the training mixture."""

import random
import re

from .base import Task
from .words import CITIES

TABLES = {
    "customers": ("age", "name", "city"),
    "orders": ("price", "date", "city"),
    "books": ("price", "title", "pages"),
    "employees": ("salary", "name", "city"),
}
NUMERIC = {"age", "price", "pages", "salary"}
COMPARISONS = (("over", ">"), ("under", "<"), ("of exactly", "="))


def sample(rng: random.Random) -> tuple[str, str]:
    table = rng.choice(sorted(TABLES))
    columns = TABLES[table]
    number = rng.choice([c for c in columns if c in NUMERIC])
    words, operator = rng.choice(COMPARISONS)
    value = rng.randint(1, 99)
    kind = rng.randrange(4)
    if kind == 0:
        return f"Show all {table} with {number} {words} {value}", f"SELECT * FROM {table} WHERE {number} {operator} {value};"
    if kind == 1:
        return (
            f"How many {table} have {number} {words} {value}?",
            f"SELECT COUNT(*) FROM {table} WHERE {number} {operator} {value};",
        )
    if kind == 2 and "city" in columns:
        city = rng.choice(CITIES)
        return f"List the {table} from {city}", f"SELECT * FROM {table} WHERE city = '{city}';"
    shown, order = rng.choice(columns), rng.choice(columns)
    return (
        f"List the {shown} of the first {value} {table} by {order}",
        f"SELECT {shown} FROM {table} ORDER BY {order} LIMIT {value};",
    )


def small_keywords(query: str) -> str:
    """The same query in another style: `select * from books where price < 57;`"""
    return re.sub(r"\b(SELECT|COUNT|FROM|WHERE|ORDER|BY|LIMIT)\b", lambda keyword: keyword[0].lower(), query)


TASK = Task(
    id="sql",
    description="an English question becomes an SQL query",
    system_prompt="As SQL.",
    instructions=("As SQL: {}",),
    sample=sample,
    trained=False,
)
