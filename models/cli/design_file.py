"""A design's file with what its features are: the text, and what a batch service is asked.

It is the ``.npz`` of :meth:`spexjax.masks.design.Design.save` with one member more, which
``Design.load`` leaves alone.
"""

import json
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from spexjax.masks.design import Design
from spexjax.models.api.batch_files import Batch
from spexjax.models.text.spans import Span

_MEMBER = "about.json"


@dataclass(frozen=True)
class Source:
    """A text and its features; as much of it as table and page look at."""

    text: str | None
    spans: tuple[Span, ...] | None
    cut: tuple[Span, ...] = ()


@dataclass(frozen=True)
class Asked:
    """What the masks of a design are masks of.

    Attributes:
      n: number of features.
      description: the model and its value, in words.
      source: the text, if it is known.
      batch: what a batch service is asked, if one is.
    """

    n: int
    description: str = "values from elsewhere"
    source: Source = Source(None, None)
    batch: Batch | None = None

    @property
    def words(self) -> tuple[str, ...]:
        """The features' names."""
        text, spans = self.source.text, self.source.spans
        if text is None or spans is None:
            return tuple(f"x{i}" for i in range(self.n))
        return tuple(text[start:end] for start, end in spans)


def save(path: str | Path, design: Design, asked: Asked) -> None:
    """Writes both."""
    design.save(path)
    about = {
        "description": asked.description,
        "text": asked.source.text,
        "spans": asked.source.spans,
        "batch": None if asked.batch is None else asked.batch.to_json(),
    }
    with zipfile.ZipFile(path, "a") as file:
        file.writestr(_MEMBER, json.dumps(about))


def load(path: str | Path) -> tuple[Design, Asked]:
    """Reads both; of a design that a program saved only n is known.

    Raises:
      OSError: if there is no such file.
      ValueError: if the file is not a design.
    """
    design = Design.load(path)
    with zipfile.ZipFile(path) as file:
        if _MEMBER not in file.namelist():
            return design, Asked(design.n)
        raw = file.read(_MEMBER)
    try:
        return design, _asked(design.n, json.loads(raw))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"{path} does not say what its features are: {error!r}.") from error


def _asked(n: int, about: Mapping[str, Any]) -> Asked:
    text, spans = about["text"], about["spans"]
    batch = None if about["batch"] is None else Batch.from_json(about["batch"])
    if text is None:
        return Asked(n, str(about["description"]), batch=batch)
    spans = tuple((int(start), int(end)) for start, end in spans)
    if len(spans) != n or any(not 0 <= start < end <= len(text) for start, end in spans):
        raise ValueError(f"its text does not have n = {n} features")
    return Asked(n, str(about["description"]), Source(str(text), spans), batch)
