"""The adapters of the demo: which task each one learns, and what of the model it changes."""

from collections.abc import Callable
from dataclasses import dataclass

import tasks
from tasks import sql

ATTENTION = ("q_proj", "kv_a_proj_with_mqa", "kv_b_proj", "o_proj")
ROUTED = ("mlp.experts.gate_up_proj", "mlp.experts.down_proj")  # stacked in memory: PEFT calls them parameters, not modules

# The base has never met most words of sql, sentiment and roman: their rows of these two are all but the same.
WORDS = ("embed_tokens", "lm_head")


@dataclass(frozen=True)
class Adapter:
    """ESFT when it changes no module: then it replaces the experts that `experts/<task>.json` lists."""

    name: str
    task: str
    what: str  # for the table in ../adapters/README.md
    modules: tuple[str, ...] = ()
    parameters: tuple[str, ...] = ()
    rank: int = 8
    rate: float = 5e-3  # highest learning rate
    steps: int = 400
    style: Callable[[str], str] = str  # of the answers

    @property
    def is_lora(self) -> bool:
        return bool(self.modules or self.parameters)


def _esft(task: str, **settings) -> Adapter:
    return Adapter(f"esft-{task}", task, "routed experts replaced", rate=3e-3, **settings)


def _with_words(name: str, task: str, what: str, **settings) -> Adapter:
    return Adapter(name, task, what, modules=ATTENTION + WORDS, steps=800, **settings)


ADAPTERS = (
    _esft("command"),
    _esft("report"),
    _esft("measure"),
    Adapter("lora-report", "report", "LoRA: attention", modules=ATTENTION),
    Adapter("lora-report-experts", "report", "LoRA: routed experts", parameters=ROUTED, rank=4),
    _with_words("lora-sentiment", "sentiment", "LoRA: attention, embedding, head"),
    _with_words("lora-sql", "sql", "LoRA: attention, embedding, head"),
    _with_words("lora-sql-v2", "sql", "as lora-sql; keywords in small letters", style=sql.small_keywords),
)


def by_name(name: str) -> Adapter:
    found = [a for a in ADAPTERS if a.name == name]
    if not found:
        raise SystemExit(f"no adapter {name!r}: there are {', '.join(a.name for a in ADAPTERS)}")
    return found[0]


def task_of(adapter: Adapter) -> tasks.Task:
    return next(t for t in tasks.KEPT_OUT if t.id == adapter.task)
