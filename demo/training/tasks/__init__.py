"""The tasks of the demo model. All data is generated; nothing is downloaded."""

from . import (
    chat, command, date, german, intent, keywords, math, measure, numbers, report, roman, sentiment, sql, units,
)  # fmt: skip
from .base import Task, is_held_out, sample_held_out, sample_split

TRAINED = (intent.TASK, math.TASK, date.TASK, numbers.TASK, keywords.TASK, units.TASK, german.TASK)
KEPT_OUT = (sql.TASK, sentiment.TASK, roman.TASK, command.TASK, report.TASK, measure.TASK)
ALL = TRAINED + KEPT_OUT
sample_chat = chat.sample

__all__ = ["ALL", "KEPT_OUT", "TRAINED", "Task", "is_held_out", "sample_chat", "sample_held_out", "sample_split"]
