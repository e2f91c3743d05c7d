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

from spexjax.codes import gf2
from spexjax.spectra import spectrum
from spexjax.spectra.spectrum import Spectrum
from spexjax.typing import ArrayLike, Explained

FORMAT, VERSION = "spexjax.explanation", 1
LARGEST_FILE = 1 << 30
_LONGEST_NAME = 1000
_FLOAT32_MAX = float(np.finfo(np.float32).max)
_FLOAT64_MAX = float(np.finfo(np.float64).max)


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
    single = e.num_outputs is None
    shared = e.spectrum.supports.ndim == 2
    terms = (
        [_part(e.spectrum, e.level, e.n)]
        if shared
        else [_part(e.spectrum[i], e.level[i], e.n) for i in range(e.num_outputs or 0)]
    )
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
        "outputs": "one" if single else "shared" if shared else "own",
        "terms": terms,
        "full": _numbers(e.full),
        "empty": _numbers(e.empty),
        "faithfulness": _numbers(e.faithfulness),
        "faithfulness_interval": [_numbers(end) for end in e.faithfulness_interval],
    }


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
    n, features, method = _count("n", raw["n"], 1), raw["features"], raw["method"]
    if not isinstance(features, list) or not all(isinstance(label, str) for label in features):
        raise ValueError("features must be a list of texts.")
    if len(features) != n:
        raise ValueError(f"n must be the number of features, got {n} and {len(features)}.")
    if not isinstance(method, str) or len(method) > _LONGEST_NAME:
        raise ValueError("method must be a name.")
    found, level = _spectrum(raw, n)
    K = found.num_outputs
    low, high = _list(raw["faithfulness_interval"])
    return {
        "spectrum": found,
        "n": n,
        "method": method,
        "calls": _count("calls", raw["calls"]),
        "full": _array(raw["full"], K),
        "empty": _array(raw["empty"], K),
        "faithfulness": _array(raw["faithfulness"], K, _FLOAT32_MAX).astype(np.float32),
        "faithfulness_interval": tuple(
            _array(end, K, _FLOAT32_MAX).astype(np.float32) for end in (low, high)
        ),
        "features": tuple(features),
        "budget": _count("budget", raw["budget"]),
        "seed": _seed(raw["seed"]),
        "max_order": _count("max_order", raw["max_order"], 1),
        "level": level,
    }


def _part(part: Spectrum, level: ArrayLike, n: int) -> dict[str, Any]:
    """Supports and coefficients of one list of supports, F(∅) in double precision."""
    valid = np.asarray(part.valid)
    bits = gf2.unpack_numpy(np.asarray(part.supports)[valid], n)
    coefficients = np.asarray(part.coefficients, np.float64)[..., valid]
    effects = bits.any(axis=1)
    if not effects.all() or np.any(level):
        constant = np.expand_dims(np.asarray(level, np.float64), -1)
        coefficients = np.concatenate([constant, coefficients[..., effects]], axis=-1)
        bits = np.concatenate([np.zeros((1, n), bool), bits[effects]])
    return {
        "supports": [np.flatnonzero(row).tolist() for row in bits],
        "coefficients": coefficients.tolist(),
    }


def _spectrum(raw: dict[str, Any], n: int) -> tuple[Spectrum, np.ndarray]:
    """The spectrum and F(∅), float64 () or (K,)."""
    if raw["outputs"] not in ("one", "shared", "own"):
        raise ValueError(f"outputs must be 'one', 'shared' or 'own', got {raw['outputs']!r}.")
    parts = [_terms(part, n, raw["outputs"] == "shared") for part in _list(raw["terms"])]
    if not parts or (raw["outputs"] != "own" and len(parts) != 1):
        raise ValueError(f"terms must hold one entry per support, got {len(parts)}.")
    if raw["outputs"] == "own":
        return spectrum.stack([part for part, _ in parts]), np.stack([level for _, level in parts])
    return parts[0]


def _terms(part: Any, n: int, shared: bool) -> tuple[Spectrum, np.ndarray]:
    """The spectrum of one entry of ``terms``, and F(∅)."""
    supports = _list(part["supports"])
    if len(supports) * n > LARGEST_FILE:
        raise ValueError(f"{len(supports)} supports of {n} features are too many.")
    bits = np.zeros((len(supports), n), bool)
    for row, members in zip(bits, supports, strict=True):
        if not all(type(i) is int and 0 <= i < n for i in _list(members)):
            raise ValueError(f"a support must list features below {n}, got {str(members)[:50]}.")
        row[members] = True
        if row.sum() != len(members):
            raise ValueError(f"a support names a feature twice: {str(members)[:50]}.")
    packed = gf2.pack_numpy(bits, gf2.num_words(n))
    if len(np.unique(packed, axis=0)) != len(packed):
        raise ValueError("a support occurs twice.")
    rows = _list(part["coefficients"]) if shared else [part["coefficients"]]
    if not rows or any(len(_list(row)) != len(bits) for row in rows):
        raise ValueError("coefficients must be one number per support and output.")
    limits = [_FLOAT32_MAX if members else _FLOAT64_MAX for members in supports]
    table = np.asarray(
        [[_real(v, limit) for v, limit in zip(row, limits, strict=True)] for row in rows],
        np.float64,
    )
    table = table.reshape(len(rows), len(bits))
    level = table[:, ~bits.any(axis=1)].sum(axis=1)
    with np.errstate(over="ignore"):  # F(∅) may be beyond float32
        single = table.astype(np.float32)
    if shared:
        return spectrum.from_terms(packed, single, n), level
    return spectrum.from_terms(packed, single[0], n), level[0]


def _numbers(x: ArrayLike) -> Any:
    """JSON has no NaN or infinity: they become null and strings."""

    def plain(v: float) -> Any:
        return None if math.isnan(v) else v if math.isfinite(v) else str(v)

    flat = np.asarray(x, np.float64)
    return plain(float(flat)) if flat.ndim == 0 else [plain(v) for v in flat.tolist()]


def _array(x: Any, K: int | None, largest: float = _FLOAT64_MAX) -> np.ndarray:
    """The inverse of :func:`_numbers`, float64, for one output (K None) or K of them."""

    def number(v: Any) -> float:
        if v is None or v in ("inf", "-inf"):
            return math.nan if v is None else float(v)
        return _real(v, largest)

    if isinstance(x, list) != (K is not None) or (K is not None and len(x) != K):
        raise ValueError(f"a number per output was expected, got {str(x)[:50]}.")
    return np.asarray([number(v) for v in x] if K is not None else number(x), np.float64)


def _real(v: Any, largest: float) -> float:
    if type(v) not in (int, float) or not abs(v) <= largest:
        raise ValueError(f"a finite number was expected, got {str(v)[:50]}.")
    return float(v)


def _count(name: str, v: Any, least: int = 0) -> int:
    if type(v) is not int or not least <= v < 2**63:
        raise ValueError(f"{name} must be an int from {least}, got {str(v)[:50]}.")
    return v


def _seed(v: Any) -> int | tuple[int, ...]:
    if isinstance(v, list):
        return tuple(_count("seed", s) for s in v)
    return _count("seed", v, -(2**63))


def _list(x: Any) -> list[Any]:
    if not isinstance(x, list):
        raise ValueError(f"a list was expected, got {str(x)[:50]}.")
    return x
