"""Parts of files in JSON: how numbers, arrays and spectra are written, and strictly read."""

import math
from typing import Any

import numpy as np

from spexjax.codes import gf2
from spexjax.spectra import spectrum
from spexjax.spectra.spectrum import Spectrum
from spexjax.typing import ArrayLike

LARGEST_FILE = 1 << 30
FLOAT32_MAX = float(np.finfo(np.float32).max)
FLOAT64_MAX = float(np.finfo(np.float64).max)


def spectrum_terms(found: Spectrum, level: ArrayLike) -> dict[str, Any]:
    """A spectrum as ``outputs``, how its supports are shared, and ``terms``, one entry for each.

    Args:
      found: of one output or of several.
      level: F(∅) in double precision, () or (K,).
    """
    n, K, shared = found.num_features, found.num_outputs, found.supports.ndim == 2
    terms = (
        [terms_of(found, level, n)]
        if shared
        else [terms_of(found[i], level[i], n) for i in range(K or 0)]
    )
    return {"outputs": "one" if K is None else "shared" if shared else "own", "terms": terms}


def terms_of(part: Spectrum, level: ArrayLike, n: int) -> dict[str, Any]:
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


def spectrum_from(raw: dict[str, Any], n: int) -> tuple[Spectrum, np.ndarray]:
    """The spectrum and F(∅), float64 () or (K,)."""
    if raw["outputs"] not in ("one", "shared", "own"):
        raise ValueError(f"outputs must be 'one', 'shared' or 'own', got {raw['outputs']!r}.")
    parts = [terms_from(part, n, raw["outputs"] == "shared") for part in list_from(raw["terms"])]
    if not parts or (raw["outputs"] != "own" and len(parts) != 1):
        raise ValueError(f"terms must hold one entry per support, got {len(parts)}.")
    if raw["outputs"] == "own":
        return spectrum.stack([part for part, _ in parts]), np.stack([level for _, level in parts])
    return parts[0]


def terms_from(part: Any, n: int, shared: bool) -> tuple[Spectrum, np.ndarray]:
    """The spectrum of one entry of ``terms``, and F(∅)."""
    supports = list_from(part["supports"])
    if len(supports) * n > LARGEST_FILE:
        raise ValueError(f"{len(supports)} supports of {n} features are too many.")
    bits = np.zeros((len(supports), n), bool)
    for row, members in zip(bits, supports, strict=True):
        if not all(type(i) is int and 0 <= i < n for i in list_from(members)):
            raise ValueError(f"a support must list features below {n}, got {str(members)[:50]}.")
        row[members] = True
        if row.sum() != len(members):
            raise ValueError(f"a support names a feature twice: {str(members)[:50]}.")
    packed = gf2.pack_numpy(bits, gf2.num_words(n))
    if len(np.unique(packed, axis=0)) != len(packed):
        raise ValueError("a support occurs twice.")
    rows = list_from(part["coefficients"]) if shared else [part["coefficients"]]
    if not rows or any(len(list_from(row)) != len(bits) for row in rows):
        raise ValueError("coefficients must be one number per support and output.")
    limits = [FLOAT32_MAX if members else FLOAT64_MAX for members in supports]
    table = np.asarray(
        [[real_from(v, limit) for v, limit in zip(row, limits, strict=True)] for row in rows],
        np.float64,
    )
    table = table.reshape(len(rows), len(bits))
    level = table[:, ~bits.any(axis=1)].sum(axis=1)
    with np.errstate(over="ignore"):  # F(∅) may be beyond float32
        single = table.astype(np.float32)
    if shared:
        return spectrum.from_terms(packed, single, n), level
    return spectrum.from_terms(packed, single[0], n), level[0]


def numbers_of(x: ArrayLike) -> Any:
    """JSON has no NaN or infinity: they become null and strings."""

    def plain(v: float) -> Any:
        return None if math.isnan(v) else v if math.isfinite(v) else str(v)

    flat = np.asarray(x, np.float64)
    return plain(float(flat)) if flat.ndim == 0 else [plain(v) for v in flat.tolist()]


def array_from(x: Any, K: int | None, largest: float = FLOAT64_MAX) -> np.ndarray:
    """The inverse of :func:`numbers_of`, float64, for one output (K None) or K of them."""

    def number(v: Any) -> float:
        if v is None or v in ("inf", "-inf"):
            return math.nan if v is None else float(v)
        return real_from(v, largest)

    if isinstance(x, list) != (K is not None) or (K is not None and len(x) != K):
        raise ValueError(f"a number per output was expected, got {str(x)[:50]}.")
    return np.asarray([number(v) for v in x] if K is not None else number(x), np.float64)


def real_from(v: Any, largest: float) -> float:
    if type(v) not in (int, float) or not abs(v) <= largest:
        raise ValueError(f"a finite number was expected, got {str(v)[:50]}.")
    return float(v)


def count_from(name: str, v: Any, least: int = 0) -> int:
    if type(v) is not int or not least <= v < 2**63:
        raise ValueError(f"{name} must be an int from {least}, got {str(v)[:50]}.")
    return v


def seed_from(v: Any) -> int | tuple[int, ...]:
    if isinstance(v, list):
        return tuple(count_from("seed", s) for s in v)
    return count_from("seed", v, -(2**63))


def list_from(x: Any) -> list[Any]:
    if not isinstance(x, list):
        raise ValueError(f"a list was expected, got {str(x)[:50]}.")
    return x
