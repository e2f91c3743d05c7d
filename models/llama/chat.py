"""Chat templates: messages become a prompt as Hugging Face's ``apply_chat_template`` makes it."""

import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension, loopcontrols
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment


def rendered(
    template: str, messages: Sequence[Mapping[str, Any]], special: Mapping[str, str]
) -> str:
    """The prompt that a chat template makes of messages, up to the model's own turn.

    Templates have what ``transformers`` gives them: ``break`` and ``continue``, ``tojson`` that
    leaves HTML and other alphabets alone, ``strftime_now``, ``raise_exception``, the block
    ``generation``, and ``tools`` and ``documents``, which are none.

    Args:
      template: in Jinja's language; it runs in a sandbox.
      messages: mappings with "role" and "content".
      special: the texts of special tokens by role, "bos_token", ….

    Raises:
      jinja2.TemplateError: if the template has mistakes, or refuses the messages.
    """
    environment = ImmutableSandboxedEnvironment(
        trim_blocks=True, lstrip_blocks=True, extensions=[loopcontrols, _Generation]
    )
    environment.filters["tojson"] = _tojson
    environment.globals |= {"raise_exception": _refuse, "strftime_now": _strftime_now}
    return environment.from_string(template).render(
        messages=list(messages), tools=None, documents=None, add_generation_prompt=True, **special
    )


class _Generation(Extension):
    """``{% generation %}``, which marks what the assistant says, for training; here it is shown."""

    tags = {"generation"}  # noqa: RUF012 (as jinja2 declares it)

    def parse(self, parser: Parser) -> nodes.Node:
        line = next(parser.stream).lineno
        return nodes.Scope(
            parser.parse_statements(("name:endgeneration",), drop_needle=True), lineno=line
        )


def _tojson(
    value: Any,
    ensure_ascii: bool = False,
    indent: int | None = None,
    separators: tuple[str, str] | None = None,
    sort_keys: bool = False,
) -> str:
    return json.dumps(
        value, ensure_ascii=ensure_ascii, indent=indent, separators=separators, sort_keys=sort_keys
    )


def _strftime_now(format: str) -> str:
    return datetime.now().strftime(format)


def _refuse(message: str) -> None:
    raise TemplateError(message)
