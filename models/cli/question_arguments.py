"""The options of ``spexjax explain --task qa``: a question about a context, a local Llama."""

import argparse
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # JAX takes seconds to import; a wrong argument should not wait for it
    from spexjax.models.values.language import LanguageValue

SCORES = ("log-probability", "mean-log-probability")
_OTHERS = ("text", "file", "label", "api_base")


def add_arguments(parser: Any) -> None:
    """Adds the options to a parser or a group of one; ``--question`` is there already."""
    add = parser.add_argument
    add("--task", choices=("classify", "qa"), default="classify",
        help="qa: which sentences of a context does the answer to --question rest on? The model "
        "is a folder or id of a Llama, by default the embedded two-hop model")  # fmt: skip
    add("--context", metavar="F", help="read the context from this file (UTF-8)")
    add("--answer", metavar="A", help="explain this answer (default: the model's own)")


def wanted(given: argparse.Namespace) -> bool:
    """Whether a question is to be answered by a local model."""
    return given.task == "qa"


def check(given: argparse.Namespace) -> None:
    """Finds what is wrong with the options before anything slow is imported.

    Raises:
      ValueError: naming what the user can put right.
    """
    if not wanted(given):
        for option in ("context", "answer"):
            if getattr(given, option) is not None:
                raise ValueError(f"--{option} needs --task qa")
        return
    if given.context is None or given.question is None:
        raise ValueError("--task qa needs --context F and --question Q")
    if not given.question.strip():
        raise ValueError("the question is empty")
    if given.answer is not None and not given.answer.strip():
        raise ValueError("the answer is empty")
    for option in _OTHERS:
        if getattr(given, option) is not None:
            name = "a text" if option == "text" else f"--{option.replace('_', '-')}"
            raise ValueError(f"--task qa does not take {name}; the text is that of --context F")
    if getattr(given, "per_line", False):
        raise ValueError("--task qa does not take --per-line")
    if given.features == "tokens":
        raise ValueError("--task qa takes --features sentences or words")
    if given.replacement not in ("unk", "delete"):
        raise ValueError("--task qa takes --replacement unk or delete")


def value_of(given: argparse.Namespace, context: str) -> "LanguageValue":
    """The value function of the question that the options describe."""
    from spexjax.models.llama.language import load_language_model
    from spexjax.models.values.language import language_value

    model = load_language_model(given.model, revision=given.revision)
    return language_value(
        model, context, given.question, given.answer, given.features,
        score=given.score, replacement=given.replacement,
    )  # fmt: skip
