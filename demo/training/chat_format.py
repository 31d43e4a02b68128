"""How a conversation becomes text: the special tokens and the chat template of the demo model."""

BEGIN, PAD, END = "<|begin|>", "<|pad|>", "<|end|>"
ROLES = ("system", "user", "assistant")
SPECIAL_TOKENS = [PAD, BEGIN, END] + [f"<|{role}|>" for role in ROLES]  # ids 0, 1, 2, ...

CHAT_TEMPLATE = """\
{{- bos_token }}
{%- for message in messages %}
    {%- if message['role'] not in ['system', 'user', 'assistant'] %}
        {{- raise_exception('unknown role ' + message['role'] + ': expected system, user or assistant') }}
    {%- endif %}
    {{- '<|' + message['role'] + '|>' + (message['content'] | trim) + '<|end|>' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>' }}
{%- endif %}
"""


def messages_for(system_prompt: str, prompt: str) -> list[dict[str, str]]:
    system = [{"role": "system", "content": system_prompt}] if system_prompt else []
    return system + [{"role": "user", "content": prompt}]


def render_prompt(system_prompt: str, prompt: str) -> str:
    """The same text as CHAT_TEMPLATE with add_generation_prompt; export.py checks that it is."""
    turns = (f"<|{m['role']}|>{m['content'].strip()}{END}" for m in messages_for(system_prompt, prompt))
    return BEGIN + "".join(turns) + "<|assistant|>"
