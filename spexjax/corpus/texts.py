"""What a summary reads of an explained text, and where that stands."""

import json
import math
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from spexjax.typing import Explained


class Text(NamedTuple):
    """One explained text.

    Attributes:
      words: the features as they stand in it.
      sets: members, by position, and value of each set that was listed.
      errors: the standard error of each; NaN where it is not known.
      kind, order: the interaction index.
      group: its class; None if unknown.
      score: R² of the surrogate; NaN if it was not measured.
    """

    words: tuple[str, ...]
    sets: tuple[tuple[tuple[int, ...], float], ...]
    errors: tuple[float, ...]
    kind: str
    order: int
    group: str | None
    score: float


def read(source: str | Path | Iterable[Any], index: str, order: int | None) -> Iterator[Text]:
    """The texts of a file of JSON lines, or of explanations, or of what such lines hold.

    Texts that could not be explained are left out.

    Args:
      source: the file, or an iterable.
      index, order: what to read of an explanation; lines have their own.

    Raises:
      ValueError: naming the first line that is not of an explained text.
    """
    if isinstance(source, str | Path):
        with Path(source).open(encoding="utf-8") as file:
            yield from _lines(file, str(source))
        return
    for i, item in enumerate(source):
        if isinstance(item, Mapping):
            if "error" not in item:
                yield _checked(item, f"item {i}")
        else:
            yield _explained(item, index, order)


def _lines(file: Iterable[str], name: str) -> Iterator[Text]:
    for i, line in enumerate(file, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{name} line {i} is not JSON: {error}.") from error
        if not (isinstance(row, dict) and "error" in row):
            yield _checked(row, f"{name} line {i}")


def _checked(row: Any, where: str) -> Text:
    try:
        words = tuple(row["words"])
        sets = tuple((tuple(members), float(value)) for members, value in row["interactions"])
        errors = tuple(math.nan if e is None else float(e) for e in row["standard_error"])
        inside = all(type(i) is int and 0 <= i < len(words) for s, _ in sets for i in s)
        if not inside or len(errors) != len(sets) or not all(isinstance(w, str) for w in words):
            raise ValueError("its sets are not of its words")
        group = row.get("class", row.get("predicted"))
        score = row.get("faithfulness")
        return Text(
            words, sets, errors, str(row["index"]), int(row["order"]),
            None if group is None else str(group), math.nan if score is None else float(score),
        )  # fmt: skip
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ValueError(f"{where} is not of an explained text: {error!r}.") from error


def _explained(e: Explained, index: str, order: int | None) -> Text:
    ix = e.interactions(index, order)
    return Text(
        tuple(e.features), tuple(ix), tuple(ix.standard_error.tolist()), ix.index, ix.max_order,
        None, float(e.faithfulness),
    )  # fmt: skip
