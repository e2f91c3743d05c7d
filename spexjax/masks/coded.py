"""The masks of SPEX: affine subspaces of GF(2)^n, shifted by rows of a BCH code's parity matrix.

Designs are *nested*: one with more bins or groups contains the masks of a smaller one, so that
values paid for once are never paid for again.
"""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int32, UInt32

from spexjax.codes import bch, gf2
from spexjax.compiling import hasty
from spexjax.typing import Array, Key

# Sub-streams of the user's key; the numbers are part of the format of a reproducible run.
_MATRIX, _SHIFT = 1, 2
_COLUMNS = 16  # designs of up to so many columns share a program


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True, eq=False)
class CodedDesign:
    """Masks x_{c,i}(ℓ) = M_c ℓ + d_i + s_c over GF(2), for C groups, D delays, ℓ ∈ GF(2)^b.

    Kang et al. 2025 (arXiv 2502.13870), section 4, with a random shift s_c per group, so that
    groups share no masks. A pytree: every field is an array or a pytree of arrays.

    Attributes:
      matrices: uint32 (C, b, W), the b packed columns of each full-rank M_c.
      shifts: uint32 (C, W), the shifts s_c.
      delays: uint32 (D, W), the zero delay and the p rows of the code's parity matrix P.
      n: int32 scalar, the number of features.
      code: the BCH code, shortened to n message bits, whose parity rows are the delays.
    """

    matrices: UInt32[Array, "C b W"]
    shifts: UInt32[Array, "C W"]
    delays: UInt32[Array, "D W"]
    n: Int32[Array, ""]
    code: bch.BCHCode

    @property
    def groups(self) -> int:
        """C, the number of groups."""
        return self.matrices.shape[0]

    @property
    def b(self) -> int:
        """log2 of the number of bins of a group."""
        return self.matrices.shape[1]

    @property
    def num_delays(self) -> int:
        """D = p + 1."""
        return self.delays.shape[0]

    @property
    def num_masks(self) -> int:
        """N = C · D · 2^b."""
        return self.groups * self.num_delays * 2**self.b

    def packed(self) -> UInt32[Array, "N W"]:
        """All masks, packed; ordered by group, then delay, then ℓ (fastest).

        As all that is said here of a design's arrays this holds for a single design. Of several,
        as from ``jax.vmap(coded_design, …)``, ask under ``vmap``: ``jax.vmap(CodedDesign.packed)``.
        """
        return _packed(self)

    def bits(self) -> Bool[Array, "N n_pad"]:
        """All masks as bool, on the device, in the order of :meth:`packed`; works under ``jit``.

        n is an array, so that the width is that of W words, 32 W; places from n on are False.
        """
        packed = self.packed()
        return gf2.unpack(packed, packed.shape[-1] * gf2.WORD)

    def masks(self, start: int = 0, stop: int | None = None) -> Bool[np.ndarray, "rows n"]:
        """The masks ``start`` to ``stop`` as bool, on the host; all of them without arguments.

        Raises:
          ValueError: if this is several designs at once.
        """
        if self.n.ndim:
            raise ValueError(
                "masks() is of one design, and this one has leading axes; take one with "
                "jax.tree.map(lambda x: x[i], design), or all with jax.vmap(CodedDesign.bits)."
            )
        rows = np.asarray(self.packed()[start:stop])
        return gf2.unpack_numpy(rows, int(self.n))


def widened(design: CodedDesign, words: int) -> CodedDesign:
    """The same masks with words of zeros behind theirs, and the code for so many.

    Designs of as many words share a program; what it finds is the same.

    Args:
      design: of concrete arrays.
      words: W, at least those of the design.
    """
    more = words - design.shifts.shape[-1]
    matrices, shifts, delays = (
        jax.device_put(np.pad(jax.device_get(x), [(0, 0)] * (x.ndim - 1) + [(0, more)]))
        for x in (design.matrices, design.shifts, design.delays)
    )
    code = bch.make_code(int(design.n), design.code.t, words)
    return CodedDesign(matrices, shifts, delays, design.n, code)


@jax.jit
def _packed(design: CodedDesign) -> UInt32[Array, "N W"]:
    place = jnp.arange(design.b, dtype=jnp.int32)
    bits = (jnp.arange(2**design.b, dtype=jnp.int32)[:, None] >> place) & 1
    spans = jax.vmap(lambda m: gf2.combine(m, bits.astype(bool)))(design.matrices)
    masks = (spans ^ design.shifts[:, None])[:, None] ^ design.delays[None, :, None]
    return masks.reshape(design.num_masks, -1)


def coded_design(key: Key, n: int, b: int = 8, t: int = 5, groups: int = 3) -> CodedDesign:
    """The masks of SPEX for n features, 2^b bins, a code that corrects t errors, C groups.

    A design with fewer bins, or fewer groups, and the same key and t is part of a larger one.
    Pure: to ``jit`` with all but the key static, and to ``vmap`` over keys.

    Args:
      key: a typed JAX key, may be traced.
      n: number of features, from 1.
      b: log2 of the number of bins per group, 0 ≤ b ≤ n.
      t: the largest degree the code is asked to decode.
      groups: C, the number of independent groups.

    Raises:
      ValueError: if a number is out of range.
    """
    if groups < 1:
        raise ValueError(f"groups must be at least 1, got {groups}.")
    if not 0 <= b <= n:
        raise ValueError(f"b must be between 0 and n = {n}, got {b}.")
    W = gf2.num_words(n)
    code = bch.make_code(n, t, W)
    zero = np.zeros((1, n), bool)
    delays = gf2.pack_numpy(np.concatenate([zero, bch.parity_matrix(n, t)]), W)
    drawn = _random_groups(key, np.int32(n), np.int32(b), groups, max(b, _COLUMNS), W)
    # A device would compile the cut below for every b.
    matrices, shifts = drawn if isinstance(key, jax.core.Tracer) else jax.device_get(drawn)
    matrices, shifts = jax.device_put((matrices[:, :b], shifts))
    return CodedDesign(matrices, shifts, jax.device_put(delays), jax.device_put(np.int32(n)), code)


@hasty("groups", "columns", "W")
def _random_groups(
    key: Key, n: Array, b: Array, groups: int, columns: int, W: int
) -> tuple[UInt32[Array, "C columns W"], UInt32[Array, "C W"]]:
    """The matrices, zero from column b on, and the shifts."""

    def group(c: Array) -> tuple[Array, Array]:
        matrix = gf2.full_rank_of_stream(key, (_MATRIX, c), n, b, columns, W)
        return matrix, gf2.words_of_stream(key, (_SHIFT, c), n, W)

    return jax.vmap(group)(jnp.arange(groups, dtype=jnp.uint32))
