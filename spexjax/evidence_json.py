"""Evidence as JSON: masks and residuals as base64 of little-endian bytes."""

import base64
import binascii
from typing import Any

import numpy as np

from spexjax.codes import gf2
from spexjax.inference.evidence import Evidence
from spexjax.json_fields import (
    array_from,
    count_from,
    numbers_of,
    spectrum_from,
    spectrum_terms,
)
from spexjax.spectra.spectrum import Spectrum

_OF_OUTPUTS = ("carriers", "floor", "ceiling")


def to_json(evidence: Evidence) -> dict[str, Any]:
    """All of it; of residuals that do not depend on the parity of a set only one row."""
    residuals = evidence.residuals
    paired = not np.array_equal(residuals[..., 0, :], residuals[..., 1, :])
    return {
        "masks": evidence.masks,
        "paid": evidence.paid,
        **{name: numbers_of(getattr(evidence, name)) for name in _OF_OUTPUTS},
        "packed": _text(evidence.packed, "<u4"),
        "paired": paired,
        "residuals": _text(residuals if paired else residuals[..., :1, :], "<f4"),
        "held_out": _text(np.packbits(evidence.held_out), "u1"),
        "mean": _terms(evidence.mean),
        "tested": _terms(evidence.tested),
    }


def from_json(raw: Any, n: int, K: int | None) -> Evidence | None:
    """The inverse; None of None.

    Args:
      raw: what :func:`to_json` gave.
      n: number of features.
      K: number of outputs, None for a scalar function.

    Raises:
      ValueError: if a field has a value that it cannot have, or two do not fit together.
      KeyError, TypeError, AttributeError: if fields are missing or of another kind.
    """
    if raw is None:
        return None
    W = gf2.num_words(n)
    packed = _array(raw["packed"], "<u4").reshape(-1, W).astype(np.uint32)
    U = len(packed)
    if U < 2 or np.any(gf2.pack_numpy(gf2.unpack_numpy(packed, n), W) != packed):
        raise ValueError(f"evidence must hold at least two masks of n = {n} features.")
    if type(raw["paired"]) is not bool:
        raise ValueError("paired must be true or false.")
    rows = 2 if raw["paired"] else 1
    found = _array(raw["residuals"], "<f4").astype(np.float32)
    if found.size != (1 if K is None else K) * rows * U or not np.isfinite(found).all():
        raise ValueError("residuals must be one finite number for each mask and output.")
    found = found.reshape(*(() if K is None else (K,)), rows, U)
    bits = np.unpackbits(_array(raw["held_out"], "u1"))
    if not U <= len(bits) < U + 8:
        raise ValueError("held_out must be one bit for each mask.")
    masks = count_from("masks", raw["masks"], U)
    if masks > 2 * U:
        raise ValueError(f"masks must be at most two for each of {U} units, got {masks}.")
    shares = {name: array_from(raw[name], K) for name in _OF_OUTPUTS}
    if not all(np.all((x >= 0) & (x <= 2**63)) for x in shares.values()):
        raise ValueError(f"{', '.join(_OF_OUTPUTS)} must not be negative.")
    return Evidence(
        packed=packed,
        residuals=found if rows == 2 else np.repeat(found, 2, axis=-2),
        held_out=bits[:U].astype(bool),
        mean=_spectrum(raw["mean"], n, K),
        tested=_spectrum(raw["tested"], n, K),
        masks=masks,
        n=n,
        paid=count_from("paid", raw["paid"], masks),
        **shares,
    )


def _terms(found: Spectrum) -> dict[str, Any]:
    empty = np.asarray(found.valid) & ~np.asarray(found.supports).any(axis=-1)
    level = np.asarray(found.coefficients, float).sum(axis=-1, where=empty)
    return spectrum_terms(found, level)


def _spectrum(raw: Any, n: int, K: int | None) -> Spectrum:
    found, _ = spectrum_from(raw, n)
    if found.num_outputs != K:
        raise ValueError("evidence must have the outputs of its explanation.")
    return found


def _text(array: np.ndarray, dtype: str) -> str:
    return base64.b64encode(np.ascontiguousarray(array, dtype).tobytes()).decode("ascii")


def _array(text: Any, dtype: str) -> np.ndarray:
    if not isinstance(text, str):
        raise ValueError(f"base64 was expected, got {str(text)[:50]}.")
    try:
        data = base64.b64decode(text, validate=True)
    except binascii.Error as error:
        raise ValueError(f"base64 was expected: {error}.") from error
    if len(data) % np.dtype(dtype).itemsize:
        raise ValueError("a number is cut off.")
    return np.frombuffer(data, dtype)
