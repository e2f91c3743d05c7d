"""What the command was asked for, as frozen values: checked, completed, and of known types."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

Features = Literal["words", "sentences", "tokens"]
Replacement = Literal["unk", "mask", "pad", "delete"]
ImageReplacement = Literal["blur", "mean", "black"]


class CommandError(Exception):
    """What the user can put right; shown in one line."""


@dataclass(frozen=True)
class ApiOptions:
    """A model behind an API, and what it is asked.

    Attributes:
      base: its URL; None for a batch service.
      price: dollars for a million tokens sent, and for a million received.
      replacement: what stands in for a masked feature, as it is in the prompt.
    """

    base: str | None
    model: str
    key_variable: str | None
    question: str
    answers: tuple[str, str]
    continuation: str | None
    tokenizer: str | None
    samples: int | None
    concurrency: int
    timeout: float
    max_calls: int | None
    max_tokens: int | None
    price: tuple[float, float] | None
    extra: Mapping[str, Any]
    features: Literal["words", "sentences"]
    replacement: str


@dataclass(frozen=True)
class QuestionOptions:
    """A question about a context, for a local language model.

    Attributes:
      reasoning: whether the context is a chain of thought that follows the question.
      answer_span: the part of the answer that is scored, or None for all.
      dtype: to load and to compute in; None for what suits the device.
    """

    question: str
    answer: str | None
    features: Literal["words", "sentences"]
    score: Literal["log-probability", "mean-log-probability", "negative-kl"]
    reasoning: bool
    answer_span: str | None
    dtype: Literal["bfloat16", "float32"] | None
    replacement: Literal["unk", "delete"]
    truncate: bool
    model: str | None
    revision: str | None


@dataclass(frozen=True)
class TextOptions:
    """Which text is masked, and which model is asked.

    Attributes:
      content: the text, or the context of the question.
      features, replacement, label, score, model, revision, dtype: as they were given, for a
        classifier.
      question, api: what is asked instead of a classifier, if anything.
    """

    content: str
    features: Features
    replacement: Replacement
    label: str | None
    score: str
    model: str | None
    revision: str | None
    dtype: Literal["bfloat16", "float32"] | None
    question: QuestionOptions | None
    api: ApiOptions | None


@dataclass(frozen=True)
class ImageOptions:
    """Which picture is masked, and what is asked about it.

    Attributes:
      image: the file, or "example".
      grid: rows and columns of its cells.
      question, answer, caption, label, score, model, revision, dtype: as they were given.
      replacement, radius: what a masked cell shows.
    """

    image: str
    grid: tuple[int, int]
    question: str | None
    answer: str | None
    caption: str | None
    replacement: ImageReplacement
    radius: float | None
    label: str | None
    score: str | None
    model: str | None
    revision: str | None
    dtype: Literal["bfloat16", "float32"] | None


@dataclass(frozen=True)
class MaskOptions:
    """Which masks are asked for."""

    budget: int
    method: str
    seed: int
    target: str | tuple[str, int] | None = None


@dataclass(frozen=True)
class ShowOptions:
    """What is shown of an explanation; ``html`` and ``json`` are files, or None.

    Attributes:
      fdr: the false discovery rate at which sets stand.
    """

    index: str
    order: int | None
    top: int
    html: str | None
    json: str | None
    fdr: float


@dataclass(frozen=True)
class TextsOptions:
    """How a file of many texts is read.

    Attributes:
      kind: a text in each line, or records.
      column: the field with the text.
      class_column: the field with its class, if that is known.
    """

    kind: Literal["lines", "csv", "tsv", "jsonl"]
    column: str | None
    class_column: str | None


@dataclass(frozen=True)
class Explain:
    """What ``spexjax explain`` is to do; ``many`` if the text is a file of many."""

    text: TextOptions
    masks: MaskOptions
    show: ShowOptions
    store: str | None
    dry_run: bool
    many: TextsOptions | None


@dataclass(frozen=True)
class ExplainData:
    """What ``spexjax explain --task data`` is to do.

    Attributes:
      test: which of the test digits, from 0.
      points: training digits.
    """

    test: int
    points: int
    masks: MaskOptions
    show: ShowOptions
    store: str | None
    dry_run: bool


@dataclass(frozen=True)
class ExplainPicture:
    """What ``spexjax explain --image`` is to do."""

    picture: ImageOptions
    masks: MaskOptions
    show: ShowOptions
    store: str | None
    dry_run: bool
