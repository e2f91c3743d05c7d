"""An explanation of a text or a picture as a table for the terminal."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from spexjax.explanation import Explanation
from spexjax.indices.interaction_values import Interactions
from spexjax.models.api.value import ApiValue
from spexjax.models.cli.design_file import Asked
from spexjax.models.values.image import MaskedImage
from spexjax.models.values.language import LanguageValue
from spexjax.models.values.text import TextValue
from spexjax.plot import terms
from spexjax.report import facts


def table(
    e: Explanation,
    f: TextValue | LanguageValue | MaskedImage | ApiValue | Asked,
    values: Interactions,
    top: int,
    fdr: float,
) -> str:
    """The strongest sets and what was done to find them.

    Value ± error holds the 95 % interval; a star marks sets that stand. There is neither where
    every mask was asked for, and no error where none is known.

    Args:
      e: the explanation of f.
      f: the value function of a text or a picture.
      values: its interactions.
      top: at most so many sets are listed, the largest by magnitude.
      fdr: the false discovery rate at which sets stand.
    """
    unit = "words" if all(len(w.split()) < 2 for w in f.words) else "pieces of text"
    whole = "text"
    if isinstance(f, MaskedImage):
        unit, whole = "cells" if f.n == f.source.n else "cells and words", "image"
    lines = [
        f"model         {f.description}",
        f"value         {_value(e, whole)}",
        f"method        {e.method}, {e.calls} calls for {f.n} {unit} (budget {e.budget}, "
        f"seed {e.seed})",
        f"faithfulness  {faithfulness(e)}",
    ]
    if isinstance(f, TextValue | LanguageValue) and f.source.cut:
        lines.append(
            f"note          {len(f.source.cut)} more lie beyond the model's "
            f"{f.model.config.max_position_embeddings} positions and have no influence"
        )
    if standing := facts.standing(e, values, fdr, " (*)"):
        lines.append(f"errors        ± to the end of the 95 % interval; {standing}")
    lines += [f"note          {n}" for n in facts.notes(e, values.index, values.max_order)]
    return "\n".join([*rows(values, feature_labels(f.words), top, fdr), "", *lines])


def rows(values: Interactions, labels: Sequence[str], top: int, fdr: float) -> list[str]:
    """The head of the table and a line for each set."""
    best = values.top(top)
    far, marks = terms.reach(best), best.stands(fdr)
    columns = [[values.index, *(f"{value:+.3f}" for value in best.values)]]
    if np.nan_to_num(far).any():
        columns.append(["±", *("" if np.isnan(error) else f"{error:.3f}" for error in far)])
        columns.append(["", *("*" if mark else "" for mark in ([] if marks is None else marks))])
    columns.append(["order", *map(str, best.sizes())])
    widths = [max(map(len, column)) for column in columns]
    if not len(best):
        return [f"no set has a value ({facts.values(values)})"]
    names = ["set", *(" + ".join(labels[i] for i in members) for members, _ in best)]
    return [
        "  ".join([*(cell.rjust(width) for cell, width in zip(row, widths, strict=True)), name])
        for *row, name in zip(*columns, names, strict=True)
    ]


def _value(e: Explanation, whole: str) -> str:
    """f, and its surrogate where that is another, at both ends."""
    shown = [f"{float(end):+.3f}" for end in (e.full, e.empty)]
    if e.method != "exact":
        guess = facts.surrogate_ends(e)
        shown = [f"{f} (surrogate {g:+.3f})" for f, g in zip(shown, guess, strict=True)]
    return f"{shown[0]} for the {whole}, {shown[1]} with all masked"


def fields(values: Interactions, top: int, fdr: float) -> dict[str, Any]:
    """The table as what JSON can hold; what is unknown or infinite is null.

    ``interactions`` is a list of [[features], value] in order of magnitude; ``standard_error``,
    ``low`` and ``high`` (the ends of 95 % intervals), ``p_value`` and ``stands`` (null where
    nothing could be tested) are lists in the same order.
    """
    best = values.top(top)
    low, high = best.interval()
    marks = best.stands(fdr)
    numbers = {
        "standard_error": best.standard_error, "low": low, "high": high, "p_value": best.p_value
    }  # fmt: skip
    return {
        "index": values.index,
        "order": values.max_order,
        "interactions": [[list(members), value] for members, value in best],
        **{name: list(map(_finite, found.tolist())) for name, found in numbers.items()},
        "estimand": best.estimand,
        "fdr": fdr,
        "stands": None if marks is None else marks.tolist(),
    }


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None


def feature_labels(words: Sequence[str], limit: int = 40) -> list[str]:
    """Printable names of features: repeated ones get their position from 0, long ones are cut.

    Control characters are replaced, so that a text cannot steer the terminal.
    """
    count = Counter(words)
    out = []
    for i, word in enumerate(words):
        name = "".join(c if c.isprintable() else "\ufffd" for c in " ".join(word.split()))
        name = name if len(name) <= limit else name[: limit - 1] + "…"
        out.append(f"{name}@{i}" if count[word] > 1 else name)
    return out


def faithfulness(e: Explanation) -> str:
    """R² with its interval, in words."""
    if e.method == "exact":
        return f"R² = {float(e.faithfulness):.4g} (exact: every mask was tried)"
    score, low, high = float(e.faithfulness), *(float(end) for end in e.faithfulness_interval)
    if math.isnan(score):
        return "not measured: the budget left no masks for it"
    return f"R² = {score:.3f} on masks unseen by its fit (95 %: {low:.3f} to {high:.3f})"
