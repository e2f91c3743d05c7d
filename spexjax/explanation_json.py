"""Explanations as JSON: writing them, and reading files that may come from anyone.

Both sides are plain: :func:`to_json` reads an explanation's attributes, :func:`from_json` returns
the fields to construct one. Coefficients are float32; F(∅), f(1…1) and f(0…0) are written and read
in double precision.
"""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from spexjax import evidence_json, target_json
from spexjax.json_fields import (
    FLOAT32_MAX,
    FLOAT64_MAX,
    LARGEST_FILE,
    array_from,
    count_from,
    list_from,
    numbers_of,
    real_from,
    seed_from,
    spectrum_from,
    spectrum_terms,
)
from spexjax.report.passage import Passage, checked
from spexjax.typing import Explained

FORMAT, VERSION = "spexjax.explanation", 1
_LONGEST_NAME = 1000


def save(e: Explained, path: str | Path) -> None:
    """Writes :func:`to_json` to a file."""
    Path(path).write_text(json.dumps(to_json(e)), encoding="utf-8")


def load(path: str | Path) -> dict[str, Any]:
    """The fields of the explanation in a file.

    Raises:
      ValueError: if the file is not an explanation or is inconsistent.
    """
    path = Path(path)
    if path.stat().st_size > LARGEST_FILE:
        raise ValueError(f"{path} is larger than {LARGEST_FILE} bytes.")
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path} is not JSON: {error}.") from error
    try:
        return from_json(raw)
    except (KeyError, TypeError, OverflowError, AttributeError, IndexError) as error:
        raise ValueError(f"{path} is not an explanation: {error!r}.") from error


def to_json(e: Explained) -> dict[str, Any]:
    """All of an explanation but ``info``, as what JSON can hold."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "n": e.n,
        "method": e.method,
        "calls": e.calls,
        "budget": e.budget,
        "seed": e.seed,
        "max_order": e.max_order,
        "features": list(e.features),
        **spectrum_terms(e.spectrum, e.level),
        "full": numbers_of(e.full),
        "empty": numbers_of(e.empty),
        "faithfulness": numbers_of(e.faithfulness),
        "faithfulness_interval": [numbers_of(end) for end in e.faithfulness_interval],
        "evidence": None if e.evidence is None else evidence_json.to_json(e.evidence),
        "target": None if e.target is None else target_json.to_json(e.target),
        "passage": None if e.passage is None else e.passage._asdict(),
        "data": None if e.data is None else [_plain(v) for v in e.data],
    }


def _plain(value: float | str) -> float | str:
    """A value of a table; JSON has no NaN or infinity, which become texts."""
    if isinstance(value, str):
        return value
    return float(value) if math.isfinite(value) else str(float(value))


def from_json(raw: dict[str, Any]) -> dict[str, Any]:
    """The fields of an explanation, ``level`` included, from :func:`to_json`.

    Raises:
      ValueError: if a field has a value that it cannot have, or two do not fit together.
      KeyError, TypeError, OverflowError, AttributeError, IndexError: if fields are missing or of
        another kind than in any explanation.
    """
    if raw["format"] != FORMAT:
        raise ValueError(f"format must be {FORMAT!r}, got {str(raw['format'])[:50]!r}.")
    if raw["version"] != VERSION:
        raise ValueError(f"version {raw['version']!r} is unknown; this library reads {VERSION}.")
    n, features, method = count_from("n", raw["n"], 1), raw["features"], raw["method"]
    if not isinstance(features, list) or not all(isinstance(label, str) for label in features):
        raise ValueError("features must be a list of texts.")
    if len(features) != n:
        raise ValueError(f"n must be the number of features, got {n} and {len(features)}.")
    if not isinstance(method, str) or len(method) > _LONGEST_NAME:
        raise ValueError("method must be a name.")
    found, level = spectrum_from(raw, n)
    K = found.num_outputs
    low, high = list_from(raw["faithfulness_interval"])
    return {
        "spectrum": found,
        "n": n,
        "method": method,
        "calls": count_from("calls", raw["calls"]),
        "full": array_from(raw["full"], K),
        "empty": array_from(raw["empty"], K),
        "faithfulness": array_from(raw["faithfulness"], K, FLOAT32_MAX).astype(np.float32),
        "faithfulness_interval": tuple(
            array_from(end, K, FLOAT32_MAX).astype(np.float32) for end in (low, high)
        ),
        "features": tuple(features),
        "budget": count_from("budget", raw["budget"]),
        "seed": seed_from(raw["seed"]),
        "max_order": count_from("max_order", raw["max_order"], 1),
        "level": level,
        "evidence": evidence_json.from_json(raw.get("evidence"), n, K),
        "target": target_json.from_json(raw.get("target"), n, K),
        "passage": _passage(raw.get("passage"), n),
        "data": _data(raw.get("data"), n),
    }


def _passage(raw: Any, n: int) -> Passage | None:
    if raw is None:
        return None
    text, model = raw["text"], raw["model"]
    if not isinstance(text, str) or not (model is None or isinstance(model, str)):
        raise ValueError("a passage must have a text, and a model that is a text or null.")
    spans = [list_from(span) for span in list_from(raw["spans"])]
    if not all(len(span) == 2 and all(type(at) is int for at in span) for span in spans):
        raise ValueError("a passage's spans must be pairs of ints.")
    return checked(Passage(text, tuple((start, end) for start, end in spans), model), n)


def _data(raw: Any, n: int) -> tuple[float | str, ...] | None:
    if raw is None:
        return None
    if len(list_from(raw)) != n:
        raise ValueError(f"data must hold a value for each of the {n} features.")
    return tuple(v if isinstance(v, str) else real_from(v, FLOAT64_MAX) for v in raw)
