"""Questions about contexts as prompts: what comes before the context, the context, what follows.

Templates are data. A model with a chat template gets the text as a user's message; others get it
as it is, with a cue for the answer.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from spexjax.models.llama.language import LanguageModel
from spexjax.models.text.spans import Span

_HOLE = "\ue000"  # a character for private use, where the context goes in a chat
LETTERS = "ABCDEFGHIJ"


@dataclass(frozen=True)
class PromptTemplate:
    """What surrounds a context.

    Attributes:
      before: comes before it; ``{question}`` stands for the question.
      after: follows it, likewise.
      cue: ends the prompt of a model that does not chat.
      own: whether the context is the model's own words: in a chat it stands in the model's turn,
        behind a question that ``before`` asks.
    """

    before: str
    after: str
    cue: str = ""
    own: bool = False


TEMPLATES: Mapping[str, PromptTemplate] = {
    # Nothing but the context and the question: what the embedded model was trained on.
    "plain": PromptTemplate("", " {question}"),
    "question": PromptTemplate(
        "",
        "\n\nQuestion: {question}\nAnswer in as few words as possible.",
        "\nAnswer:",
    ),
    # Titled paragraphs, then the query, as Kang et al. 2025 (appendix B) ask HotpotQA.
    "hotpotqa": PromptTemplate(
        "", "\n\nQuery: {question} Keep your answer as short as possible.", "\nAnswer:"
    ),
    # A passage, then the query, as they ask DROP.
    "drop": PromptTemplate(
        "Context: ", "\nQuery: {question} Keep your answer as short as possible.", "\nAnswer:"
    ),
    "multiple-choice": PromptTemplate(
        "", "\n{question}\nReply with the letter of the right choice alone.", "\nAnswer:"
    ),
    # The context is a chain of thought, after which the model answers.
    "reasoning": PromptTemplate("{question}\n\n", "\n\nAnswer:", own=True),
    "true-false": PromptTemplate("", "\n\n{question} Reply with True or False alone.", "\nAnswer:"),
}


@dataclass(frozen=True)
class Prompt:
    """A prompt whose middle, the context, may be masked.

    Attributes:
      before: text before the context.
      context: what features are taken from.
      after: text behind it.
      marked: whether the text itself spells the tokens that begin a sequence, as chat templates
        do, so that the tokenizer must not add its own.
    """

    before: str
    context: str
    after: str
    marked: bool = False

    @property
    def text(self) -> str:
        """The whole."""
        return self.before + self.context + self.after

    def shifted(self, spans: Sequence[Span]) -> list[Span]:
        """Spans of the context as spans of the whole."""
        return [(start + len(self.before), end + len(self.before)) for start, end in spans]


def prompt(
    model: LanguageModel,
    context: str,
    question: str,
    template: str | PromptTemplate | None = None,
    system: str | None = None,
) -> Prompt:
    """The prompt that asks a model a question about a context.

    Args:
      model: whose chat template is used, if it has one.
      context: what may be masked.
      question: what is asked.
      template: one of ``TEMPLATES`` or your own; if not given, what the model's folder names, or
        "question".
      system: a system message, for models that chat.

    Raises:
      ValueError: if the context or the question is empty, the template is unknown, the model's
        chat template alters the context, or there is a system message but no chat template.
    """
    if not context.strip():
        raise ValueError("the context is empty; there is nothing to mask.")
    if not question.strip():
        raise ValueError("the question is empty.")
    if _HOLE in context + question:
        raise ValueError("the text holds the private character U+E000.")
    found = _named(model.prompt_template if template is None else template)
    before = found.before.replace("{question}", question.strip())
    after = found.after.replace("{question}", question.strip())
    if model.chat_template is None:
        if system is not None:
            raise ValueError(f"{model.name} has no chat template to put a system message into.")
        return Prompt(before, context, after + found.cue)
    messages = [] if system is None else [{"role": "system", "content": system}]
    if found.own:
        messages.append({"role": "user", "content": before.strip()})
        return Prompt(model.chat(messages), context, after, marked=True)
    messages.append({"role": "user", "content": before + _HOLE + after})
    parts = model.chat(messages).split(_HOLE)
    if len(parts) != 2:
        raise ValueError(f"The chat template of {model.name} does not show the message once.")
    return Prompt(parts[0], context, parts[1], marked=True)


def multiple_choice(question: str, choices: Sequence[str]) -> str:
    """A question with its choices, lettered from A, a line each.

    Raises:
      ValueError: if there are fewer than two choices or more than letters.
    """
    if not 2 <= len(choices) <= len(LETTERS):
        raise ValueError(f"a question has 2 to {len(LETTERS)} choices, got {len(choices)}.")
    lines = (f"{letter}. {choice}" for letter, choice in zip(LETTERS, choices, strict=False))
    return "\n".join([question.strip(), *lines])


def _named(template: str | PromptTemplate) -> PromptTemplate:
    if isinstance(template, PromptTemplate):
        return template
    if template not in TEMPLATES:
        near = difflib.get_close_matches(template, TEMPLATES, 1, 0.0)[0]
        raise ValueError(
            f"template must be one of {', '.join(TEMPLATES)}, got {template!r}; "
            f"did you mean {near!r}?"
        )
    return TEMPLATES[template]
