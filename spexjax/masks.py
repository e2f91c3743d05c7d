"""Which masks to buy: the coded design of SPEX, the uniform stream, all masks, and the budget.

All generators are reproducible from a key, return packed masks (see :mod:`spexjax.gf2`), and are
*nested*: a larger request begins with, or contains, the masks of a smaller one, so that values
paid for once are never paid for again.
"""

import dataclasses
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Int32, UInt32

from spexjax import bch, gf2
from spexjax.typing import Array, Key

SMALLEST_B = 3
_STREAM_BLOCK = 1024
# Sub-streams of the user's key; the numbers are part of the format of a reproducible run.
_UNIFORM, _MATRIX, _SHIFT = 0, 1, 2


@jax.tree_util.register_dataclass
@dataclasses.dataclass(frozen=True)
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
        return self.matrices.shape[0]

    @property
    def b(self) -> int:
        return self.matrices.shape[1]

    @property
    def num_delays(self) -> int:
        return self.delays.shape[0]

    @property
    def num_masks(self) -> int:
        """N = C · D · 2^b."""
        return self.groups * self.num_delays * 2**self.b

    def packed(self) -> UInt32[Array, "N W"]:
        """All masks, packed; ordered by group, then delay, then ℓ (fastest)."""
        return _packed(self)

    def masks(self, start: int = 0, stop: int | None = None) -> Bool[np.ndarray, "rows n"]:
        """The masks ``start`` to ``stop`` as bool, on the host; all of them without arguments."""
        rows = np.asarray(self.packed()[start:stop])
        return gf2.unpack_numpy(rows, int(self.n))


@jax.jit
def _packed(design: CodedDesign) -> UInt32[Array, "N W"]:
    bits = (jnp.arange(2**design.b)[:, None] >> jnp.arange(design.b)) & 1
    spans = jax.vmap(lambda m: gf2.combine(m, bits.astype(bool)))(design.matrices)
    masks = (spans ^ design.shifts[:, None])[:, None] ^ design.delays[None, :, None]
    return masks.reshape(design.num_masks, -1)


def coded_design(key: Key, n: int, b: int = 8, t: int = 5, groups: int = 3) -> CodedDesign:
    """The masks of SPEX for n features, 2^b bins, a code that corrects t errors, C groups.

    A design with fewer bins, or fewer groups, and the same key and t is part of a larger one.

    Args:
      key: a typed JAX key.
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
    matrix_key, shift_key = jax.random.fold_in(key, _MATRIX), jax.random.fold_in(key, _SHIFT)
    matrices = np.zeros((groups, b, W), np.uint32)
    shifts = np.zeros((groups, W), np.uint32)
    for c in range(groups):
        matrices[c] = gf2.random_full_rank(jax.random.fold_in(matrix_key, c), n, b, W)
        shifts[c] = gf2.random_words(jax.random.fold_in(shift_key, c), n, W)
    return CodedDesign(
        jnp.asarray(matrices), jnp.asarray(shifts), jnp.asarray(delays), jnp.int32(n), code
    )


def uniform_packed(key: Key, n: int, start: int, stop: int) -> UInt32[np.ndarray, "rows W"]:
    """Masks ``start`` to ``stop`` of the uniform stream, packed; mask i depends on key and i."""
    W = gf2.num_words(n)
    first, last = start // _STREAM_BLOCK, -(-stop // _STREAM_BLOCK)
    stream = jax.random.fold_in(key, _UNIFORM)
    blocks = [
        np.asarray(_uniform_block(stream, jnp.uint32(i * _STREAM_BLOCK), n, W))
        for i in range(first, last)
    ]
    rows = np.concatenate(blocks) if blocks else np.zeros((0, W), np.uint32)
    offset = first * _STREAM_BLOCK
    return rows[start - offset : stop - offset]


def _uniform_block(key: Key, start: Array, n: int, W: int) -> Array:
    rows = start + jnp.arange(_STREAM_BLOCK, dtype=jnp.uint32)
    return _random_rows(key, rows, jnp.int32(n), W)


def _random_rows_impl(key: Key, rows: Array, n: Array, W: int) -> Array:
    return jax.vmap(lambda i: gf2.random_words(jax.random.fold_in(key, i), n, W))(rows)


_random_rows = jax.jit(_random_rows_impl, static_argnames="W")


def fresh_uniform(
    key: Key, n: int, count: int, taken: UInt32[np.ndarray, "rows W"]
) -> UInt32[np.ndarray, "count W"]:
    """The first ``count`` masks of the uniform stream that are new: not in ``taken``, no repeats.

    Raises:
      ValueError: if fewer than ``count`` masks are left among the 2^n.
    """
    W = gf2.num_words(n)
    taken = unique_rows(np.asarray(taken, np.uint32).reshape(-1, W))[0]
    if n < 63 and count > 2**n - len(taken):
        raise ValueError(f"count must be at most {2**n - len(taken)}, the masks left, got {count}.")
    found = taken
    drawn = 0
    while len(found) < len(taken) + count:
        missing = len(taken) + count - len(found)
        drawn, start = drawn + max(missing, _STREAM_BLOCK if n < 32 else missing), drawn
        found = unique_rows(np.concatenate([found, uniform_packed(key, n, start, drawn)]))[0]
    return found[len(taken) : len(taken) + count]


def unique_rows(
    rows: UInt32[np.ndarray, "rows W"],
) -> tuple[UInt32[np.ndarray, "unique W"], np.ndarray]:
    """The distinct rows in order of first appearance, and each row's place among them."""
    keys = np.ascontiguousarray(rows).view([("", rows.dtype)] * rows.shape[1]).reshape(-1)
    _, first, inverse = np.unique(keys, return_index=True, return_inverse=True)
    order = np.argsort(first, kind="stable")
    place = np.empty_like(order)
    place[order] = np.arange(len(order))
    return rows[first[order]], place[inverse]


def all_packed(n: int) -> UInt32[np.ndarray, "2**n W"]:
    """All 2^n masks, packed; row m has feature i kept iff bit i of m is set.

    Raises:
      ValueError: if n > 30, since the table would not fit into memory.
    """
    if not 1 <= n <= 30:
        raise ValueError(f"n must be between 1 and 30 to list all masks, got {n}.")
    return np.arange(2**n, dtype=np.uint32)[:, None]


class Plan(NamedTuple):
    """How a budget is spent; the numbers add up to ``total`` ≤ budget."""

    n: int
    budget: int
    endpoints: int
    """f(1…1) and f(0…0)."""
    held_out: int
    """Uniform masks on which faithfulness is measured."""
    b: int | None
    """log2 of the bins of the coded design, or None where none fits."""
    t: int
    groups: int
    coded: int
    """C · 2^b · D, an upper bound: masks that coincide are bought once."""
    uniform: int
    """Further uniform masks, for the refit."""
    costs: tuple[tuple[int, int, int], ...]
    """(b, t, calls of the whole plan) of every design, affordable or one step beyond."""

    @property
    def total(self) -> int:
        return self.endpoints + self.held_out + self.coded + self.uniform


def design_cost(n: int, b: int, t: int, groups: int = 3) -> int:
    """C · 2^b · (p + 1): the masks of a coded design."""
    return groups * 2**b * (bch.parameters(n, t).parity_bits + 1)


def held_out_size(budget: int) -> int:
    """10 % of the budget, between 32 and 1 000, but never more than a quarter of it."""
    return min(max(budget // 10, 32), 1000, budget // 4)


def plan_budget(
    n: int, budget: int, t: int = 5, groups: int = 3, b: int | None = None, coded: bool = True
) -> Plan:
    """Says which coded designs a budget affords, what each costs and what is set aside.

    A pure function of integers: uniform masks for measuring faithfulness are set aside first,
    then the largest coded design is bought, and what is left goes to more uniform masks.

    Args:
      n: number of features.
      budget: number of model calls.
      t: degree to decode.
      groups: number of groups C.
      b: log2 of the bins; the largest affordable (from 3, or n if smaller) if None.
      coded: False to spend everything on uniform masks.

    Raises:
      ValueError: if n, budget, t, groups or b is out of range.
    """
    for name, value in (("n", n), ("budget", budget), ("groups", groups)):
        if value < 1:
            raise ValueError(f"{name} must be at least 1, got {value}.")
    if b is not None and not 0 <= b <= n:
        raise ValueError(f"b must be between 0 and n = {n}, got {b}.")
    endpoints = min(2, budget)
    held_out = held_out_size(budget)
    left = budget - endpoints - held_out
    smallest = min(SMALLEST_B, n)
    costs = []
    for degree in range(1, t + 1):
        for bits in range(smallest, n + 1) if b is None else [b]:
            cost = design_cost(n, bits, degree, groups)
            costs.append((bits, degree, cost + endpoints + held_out))
            if cost > left:
                break
    fitting = [row for row in costs if coded and row[1] == t and row[2] <= budget]
    chosen = fitting[-1][0] if fitting else None
    spent = fitting[-1][2] - endpoints - held_out if fitting else 0
    return Plan(
        n, budget, endpoints, held_out, chosen, t, groups, spent, left - spent, tuple(costs)
    )
