#!/usr/bin/env python3
"""Renders many small templates with transformers -> data/semantics.json: what Jinja and Python do where a
reimplementation may differ. A null text means that transformers raises.

Needs: pip install transformers==5.23.0 jinja2==3.1.6 (no torch).
"""

import oracle

CONTEXT = {
    "bos_token": "<s>",
    "text": "  Hello, Wörld\n",
    "words": "a,b,,c",
    "number": 7,
    "real": 0.00001,
    "big": 1e16,
    "items": [3, 1, 2],
    "mixed": ["it's", "say \"hi\"", "both ' and \"", "é\n\t\\\x01\u200b", 1.5, True, None, {"k": [1]}],
    "table": {"z": 1, "a": {"b": "c"}, "m": [1, 2]},
    "people": [{"name": "Ann", "age": 3}, {"name": "Bob", "age": 2}, {"name": "Cy"}],
    "nothing": None,
    "yes": True,
}

TEMPLATES = r"""
{{ missing }}|{{ nothing }}|{{ yes }}|{{ number }}|{{ real }}|{{ big }}|{{ 1.0 }}|{{ 10 / 4 }}|{{ 10 // 4 }}|{{ -7 // 2 }}|{{ -7 % 3 }}|{{ 2 ** 10 }}
{{ missing.attribute }}
{{ missing[0] }}
{{ missing() }}
{{ missing + 'x' }}
{{ missing ~ 'x' }}
{{ missing | length }}
{{ missing | default('d') }}|{{ nothing | default('d') }}|{{ nothing | default('d', true) }}|{{ '' | default('d', true) }}
{{ missing is defined }}|{{ missing is none }}|{{ nothing is none }}|{{ nothing is defined }}|{{ table.q is defined }}
{{ missing is iterable }}|{{ text is iterable }}|{{ table is iterable }}|{{ items is iterable }}|{{ number is iterable }}|{{ nothing is iterable }}
{{ missing is sequence }}|{{ text is sequence }}|{{ table is sequence }}|{{ items is sequence }}|{{ number is sequence }}|{{ nothing is sequence }}
{{ text is string }}|{{ text is mapping }}|{{ table is mapping }}|{{ number is number }}|{{ real is float }}|{{ number is integer }}|{{ yes is boolean }}|{{ yes is number }}|{{ yes is true }}|{{ number is odd }}
{{ 'x' in missing }}|{{ 'z' in table }}|{{ 'ell' in text }}|{{ 1 in items }}|{{ 9 not in items }}
{% for x in missing %}x{% else %}none{% endfor %}
{% if missing %}a{% elif not missing %}b{% endif %}
{{ nothing.attribute is defined }}|{{ text.attribute is defined }}|{{ items[99] is defined }}|{{ items['a'] is defined }}
{{ table.missing }}|{{ table['missing'] }}|{{ table.get('missing') }}|{{ table.get('missing', 'd') }}|{{ table.a.b }}|{{ table['a']['b'] }}
{{ items }}|{{ table }}|{{ mixed }}|{{ [] }}|{{ {} }}|{{ (1, 2) }}|{{ (1,) }}|{{ 'top' }}
{{ items | string }}|{{ mixed | string | length }}|{{ number | string ~ 'x' }}|{{ real | string }}
{{ items | tojson }}|{{ table | tojson }}|{{ mixed | tojson }}|{{ text | tojson }}|{{ real | tojson }}|{{ big | tojson }}|{{ nothing | tojson }}
{{ mixed | tojson(ensure_ascii=true) }}|{{ '🙂\x7f</a>&' | tojson(true) }}|{{ '🙂\x7f</a>&' | tojson }}
{{ table | tojson(indent=2) }}
{{ table | tojson(indent=4, sort_keys=true) }}
{{ table | tojson(indent='--') }}|{{ [] | tojson(indent=2) }}|{{ [[], {}] | tojson(indent=1) }}
{{ table | tojson(separators=(',', ':')) }}|{{ table | tojson(separators=[' , ', ' : '], indent=1) }}
{{ missing | tojson }}
{{ table.items() | list }}|{{ table.keys() | list }}|{{ table.values() | list }}|{{ table | list }}|{{ table | items | list }}|{{ table | length }}
{% for key, value in table.items() %}{{ loop.index }}{{ key }}={{ value }};{% endfor %}
{% for key, value in table | dictsort %}{{ key }};{% endfor %}{% for key in table %}{{ key }}{% endfor %}
{{ text.strip() }}|{{ text.upper() }}|{{ text.lower() }}|{{ text.title() }}|{{ text.strip().capitalize() }}|{{ text.lstrip() }}|{{ text.rstrip() }}|
{{ 'xxaxx'.strip('x') }}|{{ 'abcab'.strip('ab') }}|{{ 'xa'.lstrip('x') }}|{{ 'ax'.rstrip('x') }}
{{ words.split(',') }}|{{ words.split(',', 1) }}|{{ words.split(',', 0) }}|{{ words.split(',', -1) }}|{{ ' a  b '.split() }}|{{ ' a  b c'.split(None, 1) }}|{{ ''.split(',') }}|{{ ''.split() }}
{{ words.rsplit(',', 1) }}|{{ words.rsplit(',') }}|{{ words.partition(',') }}|{{ words.rpartition(',') }}|{{ words.partition('q') }}|{{ words.rpartition('q') }}
{{ 'a\nb\r\nc\n'.splitlines() }}|{{ 'a\nb'.splitlines(true) }}
{{ words.replace(',', ';') }}|{{ words.replace(',', ';', 1) }}|{{ 'aaa'.replace('', '-') }}|{{ words | replace(',', '') }}
{{ words.startswith('a') }}|{{ words.endswith('c') }}|{{ words.startswith(('x', 'a')) }}|{{ words.find('b') }}|{{ words.find('q') }}|{{ words.rfind(',') }}|{{ 'éa'.find('a') }}|{{ words.index('b') }}|{{ words.count(',') }}
{{ words.index('q') }}
{{ 'abc'.removeprefix('a') }}|{{ 'abc'.removesuffix('c') }}|{{ 'abc'.removeprefix('q') }}|{{ 'ab'.ljust(4) }}|{{ 'ab'.rjust(4, '.') }}|{{ 'ab'.center(5, '*') }}|{{ '-7'.zfill(4) }}|{{ 'aB'.swapcase() }}
{{ '12'.isdigit() }}|{{ 'a1'.isalnum() }}|{{ 'ab'.isalpha() }}|{{ ' '.isspace() }}|{{ 'A'.isupper() }}|{{ 'a'.islower() }}|{{ 'Ab Cd'.istitle() }}
{{ ', '.join(['a', 'b']) }}|{{ ['a', 1, none] | join('-') }}|{{ people | map(attribute='name') | join(' ') }}|{{ ','.join(table) }}
{{ ', '.join([1, 2]) }}
{{ '{} and {}'.format(1, 'x') }}|{{ '{0}{1}{0}'.format('a', 'b') }}|{{ '{:>5}|{:05d}|{:.2f}'.format('a', 42, 3.14159) }}|{{ '%s-%d' | format('a', 3) }}
{{ items | first }}|{{ items | last }}|{{ items | sort }}|{{ items | sort(reverse=true) }}|{{ items | max }}|{{ items | min }}|{{ items | sum }}|{{ items | reverse | list }}|{{ [1, 1, 2] | unique | list }}|{{ items | length }}|{{ items | count }}
{{ items[0] }}|{{ items[-1] }}|{{ items[1:] }}|{{ items[:-1] }}|{{ items[::-1] }}|{{ items[::2] }}|{{ 'abc'[1] }}|{{ 'abc'[-1] }}|{{ 'abc'[::-1] }}|{{ 'héllo'[1:3] }}|{{ items.index(1) }}|{{ items.count(1) }}
{{ items + [4] }}|{{ 'a' + 'b' }}|{{ 'a' * 3 }}|{{ [0] * 2 }}|{{ 'a' ~ 1 ~ none ~ true }}|{{ 1 == 1.0 }}|{{ '1' == 1 }}|{{ 'a' < 'b' }}|{{ 1 < 2 < 3 }}|{{ not yes }}|{{ yes and 0 or 'x' }}
{{ 'a' + 1 }}
{{ people | selectattr('age') | map(attribute='name') | list }}|{{ people | selectattr('age', 'defined') | list | length }}|{{ people | rejectattr('age', 'defined') | map(attribute='name') | list }}|{{ people | selectattr('name', 'equalto', 'Bob') | list }}|{{ people | selectattr('age', 'defined') | selectattr('age', '>', 2) | map(attribute='name') | list }}
{{ items | map('string') | list }}|{{ items | select('odd') | list }}|{{ items | reject('odd') | list }}|{{ people | map(attribute='age', default=0) | list }}|{{ ['a', 'b'] | map('upper') | join }}
{{ people | groupby('name') | length }}|{{ [1, 2, 3] | batch(2) | list }}|{{ items | list }}|{{ 'abc' | list }}|{{ 3.7 | int }}|{{ '3' | int }}|{{ 'x' | int }}|{{ '2.5' | float }}|{{ 2.567 | round(1) }}|{{ -3 | abs }}
{{ text | trim }}|{{ 'a b' | title }}|{{ 'ab' | upper }}|{{ 'AB' | lower }}|{{ 'ab' | capitalize }}|{{ '<a>' | e }}|{{ '<a>' | safe }}|{{ 'a\nb' | indent(2) }}|{{ 'a\nb' | indent(2, true) }}|{{ 'x' | length }}|{{ 'one two' | wordcount }}
{{ 'a' if yes else 'b' }}|{{ 'a' if not yes }}|{{ 'c' if missing else 'd' }}
{% set x = 1 %}{% for i in [1] %}{% set x = 2 %}{{ x }}{% endfor %}{{ x }}
{% set ns = namespace(x=1, y=[]) %}{% for i in [1, 2] %}{% set ns.x = ns.x + i %}{% set ns.y = ns.y + [i] %}{% endfor %}{{ ns.x }}{{ ns.y }}
{% set ns = namespace() %}{{ ns.q is defined }}{% set ns.q = 1 %}{{ ns.q }}
{% set ns = namespace({'a': 1}) %}{{ ns.a }}|{{ dict(a=1, b=2) }}|{{ dict({'a': 1}, b=2).b }}
{% set a, b = (1, 2) %}{{ a }}{{ b }}|{% set block %}in {{ a }}{% endset %}{{ block }}|{% with c = 3 %}{{ c }}{% endwith %}{{ c is defined }}
{% macro m(a, b='d', *c) %}{{ a }}{{ b }}{{ kwargs | default('') }}{{ varargs }}{% endmacro %}{{ m(1) }}|{{ m(1, 2) }}|{{ m(b=3, a=4) }}|{{ m(1, 2, 3, 4) }}
{% macro plain(a, b='d') %}[{{ a }}{{ b }}]{% endmacro %}{{ plain() }}|{{ plain('x') }}|{{ plain(b='y') }}|{{ plain('x') | length }}|{{ plain('x') == '[xd]' }}
{% macro wrap() %}<{{ caller() }}>{% endmacro %}{% call wrap() %}in{% endcall %}|{% macro tree(n) %}{{ n }}{% if n > 0 %}{{ tree(n - 1) }}{% endif %}{% endmacro %}{{ tree(3) }}
{% for x in items %}{% if loop.first %}F{% endif %}{{ loop.index }}{{ loop.index0 }}{{ loop.revindex }}{{ loop.length }}{{ loop.last }}{{ loop.previtem }}{{ loop.nextitem }};{% endfor %}
{% for x in items if x > 1 %}{{ x }}{{ loop.length }}{% endfor %}|{% for x in items %}{% if x == 1 %}{% continue %}{% endif %}{{ x }}{% endfor %}|{% for x in items %}{% if x == 1 %}{% break %}{% endif %}{{ x }}{% endfor %}
{% for x in items recursive %}{{ x }}{% if x == 3 %}{{ loop([8]) }}{% endif %}{% endfor %}|{% for x in items %}{{ loop.cycle('a', 'b') }}{{ loop.changed(x) }}{% endfor %}
{% for a, b in [(1, 2), (3, 4)] %}{{ a }}{{ b }}{% endfor %}|{% for i in range(3) %}{{ i }}{% endfor %}|{{ range(1, 6, 2) | list }}|{{ range(3, 0, -1) | list }}
{% generation %}{{ bos_token }}{% set x = 1 %}{% endgeneration %}{{ x is defined }}|{%- generation -%}  y  {%- endgeneration -%}  |{% if yes %}{% generation %}z{% endgeneration %}{% endif %}
{% generation %}{% for i in items %}{{ i }}{% endfor %}{% endgeneration %}{% raw %}{% generation %}{{ x }}{% endraw %}{# {% generation %} #}
{{ raise_exception('stop') }}
{% if not yes %}{{ raise_exception('never') }}{% endif %}fine
{{ strftime_now('%d %b %Y') }}|{{ strftime_now('%Y-%m-%d %H:%M:%S') }}|{{ strftime_now('%A %B %j %p %I %y %U %%') }}|{{ strftime_now('%-d %-m') }}|{{ strftime_now('%f|%z|%Z|') }}
{{ "a\"b" }}|{{ 'a\'b' }}|{{ '\\n' }}|{{ 'a\tb' }}|{{ '\u00e9' }}|{{ 'a' 'b' }}|{{ '{{' }}|{{ "{% x %}" }}
{{ 1_000 }}|{{ 1e3 }}|{{ 1.5e-7 }}|{{ 0x10 }}|{{ 0b11 }}|{{ -3 }}|{{ 7 / 2 }}|{{ 6 / 2 }}|{{ 2 ** -1 }}|{{ 9007199254740993 }}|{{ 18446744073709551615 }}
{{ [1, 2,] }}|{{ {'a': 1,} }}|{{ {'a': 1}.a }}|{{ {1: 'x'}[1] }}|{{ [[1, 2], [3]][0][1] }}|{{ {'a': [1, {'b': none}]} }}
{{ messages }}|{{ tools }}|{{ documents }}|{{ add_generation_prompt }}|{{ tools is defined }}|{{ tools is none }}|{{ not tools }}
{{ loop is defined }}|{{ true }}|{{ True }}|{{ false }}|{{ none }}|{{ None }}
{{ items is sameas items }}|{{ 1 is eq 1 }}|{{ 2 is gt 1 }}|{{ 'a' is in 'abc' }}|{{ 4 is divisibleby 2 }}|{{ 'a' is lower }}|{{ 'A' is upper }}
{{ text | nosuchfilter }}
{% if text is nosuchtest %}{% endif %}
{{ text.nosuchmethod() }}
{{ items.append(1) }}
{{ items | join(', ', attribute='x') }}
{{ people | join(',', attribute='name') }}|{{ people | sort(attribute='name', reverse=true) | map(attribute='name') | list }}|{{ people[:2] | sum(attribute='age', start=1) }}
{% set ns = namespace(a={}) %}{% set ns.a = dict(ns.a, **{'k': 1}) %}{{ ns.a }}
{{ ({'a': 1}).items() | list | tojson }}|{{ (1, 'a') | tojson }}|{{ {'a': 1, 'b': [1, 2]} | tojson | length }}
{%- set x = 'y' -%}   {{- x -}}   z   {#- note -#}   w
{% filter upper %}abc{{ bos_token }}{% endfilter %}|{% set a %}{% filter trim %}  q {% endfilter %}{% endset %}{{ a }}
{{ 5 if 3 else 4 }}{{ (5 if 0 else 4) + 1 }}|{{ 3 * (2 + 1) - 4 % 3 }}|{{ -2 ** 2 }}|{{ 2 ** 3 ** 2 }}|{{ not 1 == 2 }}|{{ 1 in [1] and 2 in [2] }}|{{ 'a' ~ 1 + 2 }}
""".strip("\n").split("\n")

# With line breaks: trim_blocks, lstrip_blocks and the - and + marks.
BLOCKS = [
    "a\n  {% if yes %}\n  b\n  {% endif %}\nc\n",
    "a\n  {%- if yes %}\n  b\n  {%- endif %}\nc\n\n",
    "a\n  {%+ if yes %}\n  b\n  {% endif +%}\nc",
    "{% for i in items %}\n  {{ i }}\n{% endfor %}\nend",
    "{# note #}\na\n   {# note #}\nb\n {#- note -#} \nc {# x #} d\n",
    "x {{ number }}\n{{ number }}\n\n",
    "a\r\n{% if yes %}\r\nb\r\n{% endif %}\rc\r\n",
    "  {% set x = 1 %}  {% set y = 2 %}\n{{ x }}{{ y }}",
    "\t{% if yes %}tab{% endif %}\n\t{{- 'x' -}}\n\ty",
    "{%- macro m() -%}\n  {{- 'a' }}\n  b\n{%- endmacro -%}\n[{{ m() }}]",
    "  {%- generation -%}\n  inside\n  {%- endgeneration -%}\n after",
    "  {% generation %}\n  inside\n  {% endgeneration %}\n after",
    "{% raw %} {{ x }} {% y %}\n{% endraw %}\nz",
    "line\n  {% if no %}\n  never\n  {% elif yes %}\n  yes\n  {% else %}\n  no\n  {% endif %}\n",
    "",
    "\n",
    "no tags at all\n\n",
]


def main():
    cases = []
    for source in TEMPLATES + BLOCKS:
        context = {key: value for key, value in CONTEXT.items()}
        text = oracle.render(source, [{"role": "user", "content": "x"}], None, True, **context)
        cases.append({"template": source, "text": text})
    oracle.write("semantics.json", {"now": oracle.NOW, "variables": CONTEXT, "cases": cases})


if __name__ == "__main__":
    main()
