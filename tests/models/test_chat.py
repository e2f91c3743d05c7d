"""Chat templates do what those of Hugging Face do."""

from datetime import datetime

import pytest
from jinja2 import TemplateError

from spexjax.models.llama.chat import rendered

MESSAGES = [
    {"role": "system", "content": "Be <b>brief</b> & kind."},
    {"role": "user", "content": "Why, naïve 猫?"},
    {"role": "user", "content": "And then?"},
]
SPECIAL = {"bos_token": "<s>"}
TEMPLATES = {
    "break": "{% for m in messages %}{% if m.role == 'user' %}{% break %}{% endif %}"
    "{{ m.content }}{% endfor %}",
    "continue": "{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}"
    "{{ bos_token }}{{ m.content }}{% endfor %}",
    "json": "{{ messages | tojson }} {{ messages[0] | tojson(indent=2) }}",
    "day": "{{ strftime_now('%d %b %Y') }}",
    "day or not": "{% if strftime_now is defined %}{{ strftime_now('%Y') }}{% endif %}",
    "no tools": "{% if tools is not none %}tools{% endif %}{% if documents %}papers{% endif %}|",
    "generation": "{% for m in messages %}\n  {% generation %}\n{{ m.content }}\n"
    "  {% endgeneration %}\n{% endfor %}{% if add_generation_prompt %}<model>{% endif %}",
}


def test_what_templates_may_use():
    made = {name: rendered(text, MESSAGES, SPECIAL) for name, text in TEMPLATES.items()}
    assert made["break"] == "Be <b>brief</b> & kind."
    assert made["continue"] == "<s>Why, naïve 猫?<s>And then?"
    assert made["json"].startswith('[{"role": "system", "content": "Be <b>brief</b> & kind."}, ')
    assert made["json"].endswith(
        '{\n  "role": "system",\n  "content": "Be <b>brief</b> & kind."\n}'
    )
    assert datetime.strptime(made["day"], "%d %b %Y").year in (int(made["day or not"]), None)
    assert made["no tools"] == "|"
    assert made["generation"] == "\n".join(m["content"] for m in MESSAGES) + "\n<model>"


@pytest.mark.parametrize("name", TEMPLATES)
def test_as_transformers_renders_them(name):
    theirs = pytest.importorskip("transformers.utils.chat_template_utils")
    (want,), _ = theirs.render_jinja_template(
        [MESSAGES], chat_template=TEMPLATES[name], add_generation_prompt=True, **SPECIAL
    )
    assert rendered(TEMPLATES[name], MESSAGES, SPECIAL) == want


def test_templates_run_in_a_sandbox_and_may_refuse():
    with pytest.raises(TemplateError, match="no system"):
        rendered("{{ raise_exception('no system message, please') }}", MESSAGES, SPECIAL)
    with pytest.raises(TemplateError):
        rendered("{{ messages.__class__.__mro__ }}", MESSAGES, SPECIAL)
