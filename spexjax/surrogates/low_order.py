"""Regression on all sets of at most k inputs."""

from functools import reduce
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int32, UInt32

from spexjax.codes import gf2
from spexjax.spectra import spectrum
from spexjax.spectra.subsets import Terms
from spexjax.typing import Array

_ROWS_AT_ONCE = 256


@jax.jit
def columns(bits: Bool[Array, "rows n_pad"], members: Int32[Array, "S order"]) -> Array:
    """(−1)^⟨m,k⟩ of every mask and set, float32 (rows, S), built a few rows at a time."""

    def row(mask: Array) -> Array:
        signs = jnp.concatenate([1.0 - 2.0 * mask.astype(jnp.float32), jnp.ones(1)])
        return reduce(jnp.multiply, (signs[member] for member in members.T))

    return jax.lax.map(row, bits, batch_size=_ROWS_AT_ONCE)


class Padded(NamedTuple):
    """Masks and terms rounded up to buckets, so that problems of similar size share programs."""

    bits: Bool[Array, "rows n_pad"]
    members: Int32[Array, "S order"]
    valid: Bool[Array, "S"]
    even: Bool[Array, "S"]


def padded(rows: UInt32[np.ndarray, "rows W"], sets: Terms, n: int) -> Padded:
    """The arrays of a regression of some masks on some sets; see :func:`columns`."""
    n_pad = gf2.num_words(n) * gf2.WORD
    fill = (0, spectrum.bucket(len(rows)) - len(rows))
    width = (0, spectrum.bucket(len(sets.sizes)) - len(sets.sizes))
    return Padded(
        jnp.asarray(np.pad(gf2.unpack_numpy(rows, n), (fill, (0, n_pad - n)))),
        jnp.asarray(np.pad(sets.members, (width, (0, 0)), constant_values=-1)),
        jnp.asarray(np.pad(np.ones(len(sets.sizes), bool), width)),
        jnp.asarray(np.pad(sets.sizes % 2 == 0, width)),
    )
