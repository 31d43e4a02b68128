#!/usr/bin/env python3
"""Renders data/templates/*.jinja over the conversations below with transformers -> data/template_goldens.json.

Needs: pip install transformers==5.23.0 jinja2==3.1.6 (no torch).
"""

import oracle


def user(text):
    return {"role": "user", "content": text}


def assistant(text, **more):
    return {"role": "assistant", "content": text, **more}


def system(text):
    return {"role": "system", "content": text}


def tool(text):
    return {"role": "tool", "name": "get_weather", "tool_call_id": "call12345", "content": text}


def call(arguments):
    function = {"name": "get_weather", "arguments": arguments}
    return [{"type": "function", "id": "call12345", "function": function}]


TOOLS = [
    {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather <now> & \"later\" of a city's centre",
            "parameters": {
                "type": "object",
                "properties": {
                    "city": {"type": "string", "description": "Name, e.g. Zürich 🏔"},
                    "days": {"type": "integer", "minimum": 0, "maximum": 1e16},
                    "unit": {"type": "string", "enum": ["c", "f"]},
                },
                "required": ["city"],
            },
        },
    },
    {"type": "function", "function": {"name": "noop", "description": "", "parameters": {"type": "object", "properties": {}}}},
]

CONVERSATIONS = {
    "one turn": [user("Hello")],
    "system": [system("Be brief."), user("Hi <there> & \"you\"")],
    "several turns": [system("  You are\nkind. "), user(" a "), assistant("b\n"), user("c 🙂"), assistant("d"), user("é\u0301")],
    "thoughts": [user("q"), assistant("<think>\nhm\n</think>\n\nanswer"), user("r")],
    "reasoning": [user("q"), assistant("answer", reasoning_content="because"), user("r"), assistant("s", thinking="t")],
    "tool round": [
        system("Use tools."), user("Weather?"), assistant("", tool_calls=call({"city": "Zürich", "days": 2})),
        tool("{\"t\": 3}"), assistant("3 degrees"), user("Thanks"),
    ],
    "tool result last": [user("Weather?"), assistant(None, tool_calls=call({"city": "A'b\"c"})), tool("sun")],
    "tool result last, nothing": [user("Weather?"), assistant("", tool_calls=call({"city": "A'b\"c"})), tool("sun")],
    "tool result last, text": [user("Weather?"), assistant(None, tool_calls=call("{\"city\": \"A'b\\\"c\"}")), tool("sun")],
    "tool result last, nothing, text": [user("Weather?"), assistant("", tool_calls=call("{\"city\": \"A'b\\\"c\"}")), tool("sun")],
    "arguments as object": [user("Weather?"), assistant("I look.", tool_calls=call({"city": "Bern"})), tool("rain")],
    "arguments as text": [user("Weather?"), assistant("I look.", tool_calls=call("{\"city\": \"Bern\"}")), tool("rain")],
    "parts": [{"role": "user", "content": [{"type": "text", "text": "two "}, {"type": "text", "text": "parts"}]}],
    "parts joined": [user("two \nparts")],
    "unknown role": [{"role": "banana", "content": "x"}],
    "two users": [user("a"), user("b")],
    "empty": [],
}

VARIABLES = [{}, {"enable_thinking": False}, {"enable_thinking": True, "thinking": True}]


def main():
    cases = []
    for path in sorted((oracle.DATA / "templates").glob("*.jinja")):
        source = path.read_text(encoding="utf-8")
        for name, messages in CONVERSATIONS.items():
            for tools in (None, TOOLS):
                for prompt in (False, True):
                    for variables in VARIABLES if "think" in source else VARIABLES[:1]:
                        tokens = {"bos_token": "<s>", "eos_token": "</s>"}
                        text = oracle.render(source, messages, tools, prompt, **tokens, **variables)
                        cases.append({
                            "template": path.name, "conversation": name, "tools": tools is not None, "prompt": prompt,
                            "variables": {**tokens, **variables}, "text": text,
                        })
    oracle.write("template_goldens.json", {
        "now": oracle.NOW, "conversations": CONVERSATIONS, "tools": TOOLS, "cases": deduplicate(cases),
    })


def deduplicate(cases):
    """A variable that changes nothing is not worth a case."""
    seen = set()
    kept = []
    for case in cases:
        key = (case["template"], case["conversation"], case["tools"], case["prompt"], case["text"])
        if key not in seen:
            seen.add(key)
            kept.append(case)
    return kept


if __name__ == "__main__":
    main()
