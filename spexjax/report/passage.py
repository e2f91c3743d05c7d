"""The text that was explained, and where its features stand in it."""

from typing import Any, NamedTuple

Span = tuple[int, int]


class Passage(NamedTuple):
    """What of an explanation can be read.

    Attributes:
      text: the text.
      spans: the characters [start, end) of each feature in it, in order, not overlapping.
      model: what was explained, such as "my classifier, logit of POSITIVE"; None if unknown.
    """

    text: str
    spans: tuple[Span, ...]
    model: str | None = None


def checked(passage: Passage, n: int) -> Passage:
    """The passage, if it fits n features.

    Raises:
      ValueError: if spans are not one for each feature, in order, apart and within the text.
    """
    text, spans = passage.text, tuple((int(start), int(end)) for start, end in passage.spans)
    if len(spans) != n:
        raise ValueError(
            f"spans must hold one pair for each of the {n} features, got {len(spans)}."
        )
    before = 0
    for start, end in spans:
        if not before <= start < end <= len(text):
            raise ValueError(
                f"spans must be in order, apart and within the text's {len(text)} characters; "
                f"{(start, end)} is not."
            )
        before = end
    return Passage(text, spans, passage.model)


def passage_of(f: Any, n: int) -> Passage | None:
    """The text of a value function that has one: ``f.source.text`` and ``f.source.spans``.

    ``f.description``, if it is a text, says what was explained. None where there are no n spans.
    """
    source = getattr(f, "source", None)
    text, spans = getattr(source, "text", None), getattr(source, "spans", None)
    model = getattr(f, "description", None)
    if not isinstance(text, str) or not isinstance(spans, list | tuple):
        return None
    try:
        return checked(Passage(text, tuple(spans), model if isinstance(model, str) else None), n)
    except (ValueError, TypeError):  # a source of another library's making
        return None
