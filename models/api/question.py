"""A text with a question, and the prompt that it becomes when some of its features are masked."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

import numpy as np
from jaxtyping import Bool

from spexjax.models.text.spans import Span, sentences, words


@dataclass(frozen=True)
class Question:
    """A text whose features can be masked, and what is asked about it.

    Attributes:
      text: the text.
      spans: the characters [start, end) of each feature, in order.
      question: follows the text after an empty line; nothing if empty.
      replacement: stands in for a masked feature; the empty string deletes it, and one space.
    """

    text: str
    spans: tuple[Span, ...]
    question: str
    replacement: str = "[UNK]"

    @property
    def words(self) -> tuple[str, ...]:
        """The features as they stand in the text."""
        return tuple(self.text[start:end] for start, end in self.spans)

    @property
    def cut(self) -> tuple[Span, ...]:
        """Features beyond the model's last position; an endpoint does not say, so none."""
        return ()

    def prompt(self, mask: Bool[np.ndarray, "n"]) -> str:
        """The prompt in which the features that ``mask`` switches off are replaced."""
        out, at = [], 0
        for (start, end), kept in zip(self.spans, mask.tolist(), strict=True):
            out.append(self.text[at:start])
            piece = self.text[start:end] if kept else self.replacement
            if not piece and out[-1].endswith(" "):
                out[-1] = out[-1][:-1]
            out.append(piece)
            at = end
        text = "".join([*out, self.text[at:]])
        return f"{text}\n\n{self.question}" if self.question else text


def spans_of(
    text: str, features: Literal["words", "sentences"] | Iterable[Span]
) -> tuple[Span, ...]:
    """The characters [start, end) of each feature of a text.

    Raises:
      ValueError: if the text has no features, or spans are not in order.
    """
    if isinstance(features, str):
        if features not in ("words", "sentences"):
            raise ValueError(f"features must be 'words', 'sentences' or spans, got {features!r}.")
        spans = (words if features == "words" else sentences)(text)
    else:
        spans = [(int(span[0]), int(span[1])) for span in features]
    if not spans or not re.search(r"\S", text):
        raise ValueError("the text has no features to mask.")
    ends = [0, *(end for _, end in spans)]
    starts = [*(start for start, _ in spans), len(text)]
    ordered = all(a <= b for a, b in zip(ends, starts, strict=True))
    if not ordered or any(a >= b for a, b in spans):
        raise ValueError("features must be spans of the text, in order, that do not overlap.")
    return tuple(spans)
