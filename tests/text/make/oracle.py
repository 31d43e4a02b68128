"""What the golden scripts share: transformers' own template environment with a fixed clock."""

import datetime
import json
import pathlib

from transformers.utils import chat_template_utils

DATA = pathlib.Path(__file__).resolve().parent.parent / "data"
NOW = (2026, 3, 4, 5, 6, 7)


class FixedClock(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls(*NOW, tzinfo=tz)


chat_template_utils.datetime = FixedClock


def render(source, messages, tools=None, add_generation_prompt=False, **variables):
    """The text, or None where transformers raises."""
    try:
        return chat_template_utils.render_jinja_template(
            [json.loads(json.dumps(messages))],
            tools=tools,
            chat_template=source,
            add_generation_prompt=add_generation_prompt,
            **variables,
        )[0][0]
    except Exception:  # what is raised does not matter: the server must refuse too
        return None


def write(name, value):
    text = json.dumps(value, ensure_ascii=False, indent=1)
    (DATA / name).write_text(text + "\n", encoding="utf-8", newline="\n")
    print(name, len(text), "bytes")
