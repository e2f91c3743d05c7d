"""The field GF(2^m) by tables of logarithms, elementwise and without branches.

An element is an int32 in [0, 2^m) whose bits are its coordinates in the basis 1, α, …, α^(m−1),
α being a root of the primitive polynomial. Addition is exclusive or. With q = 2^m − 1, the
logarithm of 0 is set to 3q: sums of up to three logarithms stay below 3q exactly if no factor is
0, and the antilogarithm of 3q and above is 0, so that products need no special case.
"""

import dataclasses
from functools import lru_cache, partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int, Int32

from spexjax.typing import Array, ArrayLike


@partial(jax.tree_util.register_dataclass, data_fields=["logs", "antilogs"], meta_fields=["degree"])
@dataclasses.dataclass(frozen=True, eq=False)
class Field:
    """Tables of GF(2^m).

    Attributes:
      logs: int32, (2^m,): the e in [0, q) with α^e = x, and 3q at x = 0.
      antilogs: int32, (3q + 1,): α^e for e < 3q, then one 0.
      degree: m.
    """

    logs: Int32[ArrayLike, "order"]
    antilogs: Int32[ArrayLike, "3q+1"]
    degree: int

    @property
    def q(self) -> int:
        """2^m − 1, the order of α."""
        return (1 << self.degree) - 1


def make_field(primitive_polynomial: int) -> Field:
    """The field GF(2)[x] / (primitive polynomial), with the :func:`tables` on the device.

    Args:
      primitive_polynomial: its coefficients, bit i that of x^i; degree m from 2 to 16.

    Raises:
      ValueError: if the polynomial is not primitive or its degree is out of range.
    """
    logs, antilogs = tables(primitive_polynomial)
    degree = primitive_polynomial.bit_length() - 1
    return Field(jax.device_put(logs), jax.device_put(antilogs), degree)


@lru_cache(maxsize=16)
def tables(
    primitive_polynomial: int,
) -> tuple[Int32[np.ndarray, "order"], Int32[np.ndarray, "3q+1"]]:
    """The logarithms and antilogarithms of :class:`Field`, on the host; read-only.

    Args, Raises: as for :func:`make_field`.
    """
    m = primitive_polynomial.bit_length() - 1
    if not 2 <= m <= 16:
        raise ValueError(f"The degree of primitive_polynomial must be 2 to 16, got {m}.")
    q = (1 << m) - 1
    powers = np.empty(q, np.int32)
    x = 1
    for e in range(q):
        powers[e] = x
        x = (x << 1) ^ (primitive_polynomial if x >> (m - 1) else 0)
    logs = np.full(q + 1, 3 * q, np.int32)
    logs[powers] = np.arange(q, dtype=np.int32)
    if (logs[1:] == 3 * q).any():
        raise ValueError(
            f"primitive_polynomial must be primitive, got {primitive_polynomial:#b}, whose root "
            "does not generate all non-zero elements."
        )
    antilogs = np.append(np.tile(powers, 3), np.int32(0))
    logs.flags.writeable = antilogs.flags.writeable = False
    return logs, antilogs


def log(field: Field, x: Int[ArrayLike, "..."]) -> Int32[Array, "..."]:
    """The e with α^e = x, 0 ≤ e < q; 3q for x = 0."""
    return jnp.asarray(field.logs).at[jnp.asarray(x, jnp.int32)].get(mode="promise_in_bounds")


def antilog(field: Field, e: Int[ArrayLike, "..."]) -> Int32[Array, "..."]:
    """α^e for 0 ≤ e < 3q, 0 for e ≥ 3q: the product of up to three factors from summed logs."""
    clamped = jnp.minimum(jnp.asarray(e, jnp.int32), 3 * field.q)
    return jnp.asarray(field.antilogs).at[clamped].get(mode="promise_in_bounds")


def multiply(
    field: Field, x: Int[ArrayLike, "..."], y: Int[ArrayLike, "..."]
) -> Int32[Array, "..."]:
    """The product x y, broadcasting."""
    return antilog(field, log(field, x) + log(field, y))


def invert_log(field: Field, e: Int[ArrayLike, "..."]) -> Int32[Array, "..."]:
    """The logarithm of 1/x from that of x, in (0, q]; that of 0 stays 3q."""
    e = jnp.asarray(e, jnp.int32)
    return jnp.where(e >= 3 * field.q, e, field.q - e)


def invert(field: Field, x: Int[ArrayLike, "..."]) -> Int32[Array, "..."]:
    """1/x, and 0 for x = 0."""
    return antilog(field, invert_log(field, log(field, x)))


def square(field: Field, x: Int[ArrayLike, "..."]) -> Int32[Array, "..."]:
    """x²."""
    return antilog(field, 2 * log(field, x))


def power(
    field: Field, x: Int[ArrayLike, "..."], exponent: Int[ArrayLike, "..."]
) -> Int32[Array, "..."]:
    """x^exponent for 0 ≤ exponent; 0⁰ = 1. Broadcasts."""
    exponent = jnp.asarray(exponent, jnp.int32)
    e = log(field, x)
    # Both factors are below 2^16 once reduced, so that uint32 holds the product.
    product = (e % field.q).astype(jnp.uint32) * (exponent % field.q).astype(jnp.uint32)
    reduced = (product % field.q).astype(jnp.int32)
    return antilog(field, jnp.where((e >= 3 * field.q) & (exponent > 0), e, reduced))


def evaluate(
    field: Field, coefficients: Int[ArrayLike, "... terms"], x: Int[ArrayLike, "..."]
) -> Int32[Array, "..."]:
    """The polynomial Σ_i coefficients[i] x^i at x (Horner), broadcasting over the leading axes."""
    coefficients = jnp.asarray(coefficients, jnp.int32)
    value = coefficients[..., -1]
    for i in range(coefficients.shape[-1] - 2, -1, -1):
        value = multiply(field, value, x) ^ coefficients[..., i]
    return value


def xor_sum(x: Int[ArrayLike, "..."] | Bool[ArrayLike, "..."], axis: int = -1) -> Array:
    """The sum in a field of characteristic 2 along one axis."""
    x = jnp.asarray(x)
    return jax.lax.reduce(x, np.zeros((), x.dtype), jax.lax.bitwise_xor, (axis % x.ndim,))
