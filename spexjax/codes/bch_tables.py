"""Which BCH code serves n features, its generator polynomial and parity matrix; on the host.

A code has code_length = 2^m − 1, and its generator polynomial g(x) over GF(2) has the roots
α, α², …, α^(2t) (primitive, narrow-sense; Bose and Ray-Chaudhuri 1960). Systematic codewords are
x^p M(x) + (x^p M(x) mod g(x)), p = deg g. Polynomials over GF(2) are Python ints, bit i the
coefficient of x^i.
"""

import functools
import json
from importlib import resources
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool

MIN_DEGREE = 3
MAX_DEGREE = 16
"""Tables of field elements are uint16."""


class Parameters(NamedTuple):
    """A BCH code."""

    field_degree: int
    """m of GF(2^m)."""
    code_length: int
    """2^m - 1."""
    code_dim: int
    """Number of message bits before shortening."""
    parity_bits: int
    """p = code_length - code_dim."""
    t: int
    """The number of errors corrected, which may exceed the one asked for."""


def parameters(n: int, t: int) -> Parameters:
    """The shortest primitive narrow-sense BCH code for n message bits that corrects t errors.

    Its ``t`` counts all consecutive powers of α among the roots of g(x): asking for 4 errors at
    m = 5 gives the code that corrects 5.

    Args:
      n: number of features, at least 1.
      t: number of errors to correct, at least 1.

    Raises:
      ValueError: if n or t is below 1, or no code with m ≤ 16 has n message bits.
    """
    if n < 1:
        raise ValueError(f"n must be at least 1, got {n}.")
    if t < 1:
        raise ValueError(f"t must be at least 1, got {t}.")
    for m in range(MIN_DEGREE, MAX_DEGREE + 1):
        length = (1 << m) - 1
        # n message bits and at least one parity bit; no code corrects half of its length.
        if n >= length or 2 * t >= length:
            continue
        true_t, parity_bits, _ = _code(m, t)
        if length - parity_bits >= n:
            return Parameters(m, length, length - parity_bits, parity_bits, true_t)
    raise ValueError(
        f"No BCH code with code_length below 2^{MAX_DEGREE} has {n} message bits and corrects "
        f"{t} errors: choose a smaller t or fewer features."
    )


def generator_polynomial(m: int, t: int) -> int:
    """g(x) of the code of length 2^m − 1 and designed distance 2t + 1, as an int.

    Raises:
      ValueError: if m is not in 3 … 16 or 2t reaches the code length.
    """
    if not MIN_DEGREE <= m <= MAX_DEGREE:
        raise ValueError(f"m must be from {MIN_DEGREE} to {MAX_DEGREE}, got {m}.")
    if not 1 <= t <= (1 << (m - 1)) - 1:
        raise ValueError(f"t must be from 1 to {(1 << (m - 1)) - 1} for m = {m}, got {t}.")
    return _code(m, t)[2]


def primitive_polynomial(m: int) -> int:
    """The polynomial that defines GF(2^m) here, as an int: the one MATLAB and galois use."""
    shipped = _shipped()["primitive_polynomials"].get(str(m))
    if shipped is not None:
        return int(shipped)
    import galois

    return int(galois.matlab_primitive_poly(2, m))


@functools.lru_cache(maxsize=32)
def _parity_matrix(n: int, t: int) -> Bool[np.ndarray, "p n"]:
    code = parameters(n, t)
    p = code.parity_bits
    g = generator_polynomial(code.field_degree, t)
    octets = -(-p // 8)
    remainder = g ^ (1 << p)  # x^p mod g
    rows = []
    for _ in range(n):
        rows.append(remainder.to_bytes(octets, "little"))
        remainder <<= 1
        if remainder >> p:
            remainder ^= g
    packed = np.frombuffer(b"".join(rows), np.uint8).reshape(n, octets)
    by_exponent = np.unpackbits(packed, axis=1, count=p, bitorder="little").astype(bool)
    matrix = np.ascontiguousarray(by_exponent[::-1, ::-1].T)
    matrix.flags.writeable = False
    return matrix


def parity_matrix(n: int, t: int) -> Bool[np.ndarray, "p n"]:
    """The parity part P of the systematic generator matrix, shortened to n message bits.

    Codewords are (k, Pk). Feature i is the coefficient of x^(p + n − 1 − i), parity row r that of
    x^(p − 1 − r): highest power first, so that P = G[-n:, code_dim:]ᵀ in galois.

    Args:
      n: number of features.
      t: number of errors to correct, as asked of :func:`parameters`.

    Returns:
      bool, shape (p, n); a fresh array.
    """
    return _parity_matrix(n, t).copy()


@functools.lru_cache(maxsize=1)
def _shipped() -> dict:
    return json.loads(resources.files("spexjax.codes").joinpath("bch_tables.json").read_text())


@functools.lru_cache(maxsize=256)
def _code(m: int, t: int) -> tuple[int, int, int]:
    """(true t, parity bits, g) of the code with designed distance 2t + 1."""
    rows = _shipped()["codes"].get(str(m), [])
    if t <= len(rows):
        true_t, parity_bits, polynomial = rows[t - 1]
        return true_t, parity_bits, int(polynomial, 16)
    import galois

    length = (1 << m) - 1
    code = galois.BCH(length, d=2 * t + 1)
    g = int(code.generator_poly)
    # The minimal distance promised by the roots is set by the first power of α that is not one.
    true_t = t
    while 2 * true_t + 2 < length + 1 and not code.generator_poly(
        code.alpha ** (2 * true_t + 1), field=code.extension_field
    ):
        true_t += 1
    return true_t, g.bit_length() - 1, g
