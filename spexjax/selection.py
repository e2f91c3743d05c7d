"""Which r inputs, removed from 1…1 or kept out of 0…0, change a sparse surrogate most.

With R the r inputs and q = |k ∩ R|, removing R from the full mask gives
Σ_k F(k) (−1)^|k| (−1)^q, and keeping only R gives Σ_k F(k) (−1)^q. Either way the change is
−2 Σ c_k over the terms with odd q, where c_k = (−1)^|k| F(k) or F(k). ``greedy`` adds one input at
a time; ``exact`` solves a mixed-integer programme with an indicator for each value of q of each
term, for which no Möbius coefficients are needed (a term of degree d has d + 1 indicators, but
2^d Möbius subsets).
"""

from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from spexjax.codes import gf2
from spexjax.spectra.spectrum import Spectrum
from spexjax.typing import Array, ArrayLike

# HiGHS stops within 1e-6 of the optimum, absolutely (SciPy cannot change it): with the largest
# coefficient brought to this size, within 1e-9 of it, below what float32 coefficients resolve.
OBJECTIVE_SCALE = 2.0**10

Mode = Literal["remove", "keep"]
Goal = Literal["either", "lower", "raise"]


class Selection(NamedTuple):
    """r inputs and what they do to the surrogate."""

    members: tuple[int, ...]
    """Exactly r positions."""
    change: float
    """The surrogate after minus before: before is 1…1 for "remove", 0…0 for "keep"."""
    bound: float
    """No r inputs reach a |change| (towards the goal) above this; infinite if unknown."""
    gap: float
    """(bound − |change|) / |change|; 0 if optimal."""
    optimal: bool
    """Whether no other r inputs are better: proved, up to the solver's tolerances."""


def greedy(spectrum: Spectrum, r: int, mode: Mode = "remove", goal: Goal = "either") -> Selection:
    """Adds the input that helps most, r times; for goal "either" both ways, the better one.

    Args:
      spectrum: of one output.
      r: how many inputs, 0 to n.
      mode: "remove" them from the full mask or "keep" only them.
      goal: to "lower" the surrogate, to "raise" it, or "either": change it most.

    Raises:
      ValueError: if an argument is out of range.
    """
    _check(spectrum, r, mode, goal)
    found = []
    for sign in _signs(goal):
        chosen, change = greedy_mask(spectrum, r, sign, mode == "remove")
        members = tuple(np.flatnonzero(chosen).tolist())
        found.append((sign * float(change), members, float(change)))
    _, members, change = max(found, key=lambda option: option[0])
    return Selection(members, change, np.inf, np.inf, False)


@jax.jit
def greedy_mask(
    spectrum: Spectrum, r: ArrayLike, sign: ArrayLike, remove: ArrayLike
) -> tuple[Bool[Array, "n_pad"], Float[Array, ""]]:
    """The inputs chosen, bool over the padded features, and the change; jit, and vmap over all.

    Args:
      spectrum: of one output.
      r: how many inputs, at most n.
      sign: 1 to raise the surrogate, −1 to lower it.
      remove: True to remove them from 1…1, False to keep only them.
    """
    W = spectrum.supports.shape[-1]
    inside = gf2.unpack(spectrum.supports, W * gf2.WORD).astype(jnp.float32)
    odd = (jnp.asarray(remove) & (gf2.degree(spectrum.supports) % 2 == 1)).astype(jnp.float32)
    start = jnp.where(spectrum.valid, spectrum.coefficients, 0.0) * (1.0 - 2.0 * odd)
    exists = jnp.arange(W * gf2.WORD, dtype=jnp.int32) < spectrum.n
    up = jnp.asarray(sign, jnp.float32)

    def add(_, state):
        chosen, c = state
        gain = -2.0 * jnp.matmul(c, inside, precision="highest") * up
        best = jnp.argmax(jnp.where(exists & ~chosen, gain, -jnp.inf))
        return chosen.at[best].set(True), c * (1.0 - 2.0 * inside[:, best])

    chosen, end = jax.lax.fori_loop(0, r, add, (jnp.zeros(W * gf2.WORD, bool), start))
    # Terms that stay, however large, are not to round those that flip.
    return chosen, jnp.sum(end - start)


def exact(
    spectrum: Spectrum,
    r: int,
    mode: Mode = "remove",
    goal: Goal = "either",
    time_limit: float = 60.0,
) -> Selection:
    """The best r inputs by mixed-integer programming (HiGHS), with a certificate.

    Args:
      spectrum: of one output; the time grows with its terms and r, hardly with n.
      r, mode, goal: as in :func:`greedy`.
      time_limit: seconds, for both ways together.

    Returns:
      The best inputs found. If ``optimal`` is False the time ran out, and ``bound`` and ``gap``
      say how much better others could be.

    Raises:
      ValueError: if an argument is out of range.
      RuntimeError: if the solver fails.
    """
    _check(spectrum, r, mode, goal)
    if not time_limit > 0:
        raise ValueError(f"time_limit must be above 0 seconds, got {time_limit}.")
    n = spectrum.num_features
    valid = np.asarray(spectrum.valid)
    inside = gf2.unpack_numpy(np.asarray(spectrum.supports)[valid], n)
    c = np.asarray(spectrum.coefficients, float)[valid]
    degree = inside.sum(axis=1)
    if mode == "remove":
        c = c * (-1.0) ** degree
    # The empty set never flips; a power of two rounds nothing, so s·f gets what f gets.
    largest = np.max(np.abs(c), initial=0.0, where=degree > 0)
    unit = 2.0 ** int(np.frexp(largest)[1])
    c = c / unit
    signs = _signs(goal)
    found, bounds, proved = [], [], []
    for sign in signs:
        chosen, bound, optimal = _solve(inside, 2 * sign * c, r, time_limit / len(signs))
        if not optimal:
            quick = greedy(spectrum, r, mode, "raise" if sign > 0 else "lower")
            other = np.isin(np.arange(n), quick.members)
            if chosen is None or _gain(inside, c, sign, other) > _gain(inside, c, sign, chosen):
                chosen = other
        assert chosen is not None  # a proved optimum is a choice
        found.append((_gain(inside, c, sign, chosen), chosen))
        bounds.append(bound)
        proved.append(optimal)
    gain, chosen = max(found, key=lambda option: option[0])
    best = [value for value, _ in found].index(gain)
    bound = max([gain, *bounds])
    gap = (bound - gain) / abs(gain) if gain else np.inf
    certain = all(proved) or bound == gain
    return Selection(
        members=tuple(np.flatnonzero(chosen).tolist()),
        change=gain * signs[best] * unit + 0.0,
        bound=(gain if certain else bound) * unit,
        gap=0.0 if certain else gap,
        optimal=all(proved),
    )


def _gain(inside: np.ndarray, c: np.ndarray, sign: int, chosen: np.ndarray) -> float:
    odd = inside[:, chosen].sum(axis=1) % 2 == 1
    return float(-2 * sign * c[odd].sum())


def _solve(
    inside: Bool[np.ndarray, "S n"], cost: Float[np.ndarray, "S"], r: int, time_limit: float
) -> tuple[np.ndarray | None, float, bool]:
    """Minimises Σ cost_k [|k ∩ R| odd]: the inputs, the bound on −cost, whether it is proved.

    Variables: x_i = [i ∈ R]; for each term of two inputs and more y_{k,q} = [|k ∩ R| = q].
    Inputs in no term are alike: z of them are taken.
    """
    from scipy import optimize, sparse

    n = inside.shape[1]
    degree = inside.sum(axis=1)
    used = np.flatnonzero(inside.any(axis=0))
    spare = n - len(used)
    wide = np.flatnonzero(degree > 1)
    last = np.minimum(degree[wide], r)
    starts = len(used) + 1 + np.concatenate([[0], np.cumsum(last + 1)])
    size = int(starts[-1])
    objective = np.zeros(size)
    objective[: len(used)] = cost[degree == 1] @ inside[degree == 1][:, used]
    term = np.repeat(np.arange(len(wide)), last + 1)
    column = np.arange(len(used) + 1, size)
    q = column - starts[term]
    objective[column] = np.where(q % 2 == 1, cost[wide[term]], 0.0)

    row, member = np.nonzero(inside[wide][:, used])
    one = sparse.csr_array((np.ones(len(term)), (term, column)), shape=(len(wide), size))
    count = sparse.csr_array(
        (np.concatenate([q, -np.ones(len(row))]),
         (np.concatenate([term, row]), np.concatenate([column, member]))),
        shape=(len(wide), size),
    )  # fmt: skip
    total = sparse.csr_array((np.arange(size) <= len(used)).astype(float)[None])
    upper = np.ones(size)
    upper[len(used)] = spare
    right = np.concatenate([np.ones(len(wide)), np.zeros(len(wide)), [r]])
    result = optimize.milp(
        objective * OBJECTIVE_SCALE,
        integrality=np.ones(size),
        bounds=optimize.Bounds(0, upper),
        constraints=optimize.LinearConstraint(sparse.vstack([one, count, total]), right, right),
        options={"time_limit": time_limit, "mip_rel_gap": 0.0},
    )
    if result.status not in (0, 1):
        raise RuntimeError(f"The solver of the selection failed: {result.message}")
    least = result.mip_dual_bound
    bound = np.inf if least is None or not np.isfinite(least) else -float(least) / OBJECTIVE_SCALE
    if result.x is None:
        return None, bound, False
    chosen = np.zeros(n, bool)
    chosen[used] = result.x[: len(used)] > 0.5
    others = np.flatnonzero(~inside.any(axis=0))
    chosen[others[: r - int(chosen.sum())]] = True
    return chosen, bound, result.status == 0


def _signs(goal: Goal) -> tuple[int, ...]:
    return {"raise": (1,), "lower": (-1,), "either": (-1, 1)}[goal]


def _check(spectrum: Spectrum, r: int, mode: str, goal: str) -> None:
    if spectrum.num_outputs is not None:
        raise ValueError("a selection needs one output: pass spectrum[i].")
    n = spectrum.num_features
    if isinstance(r, bool) or not isinstance(r, int | np.integer) or not 0 <= r <= n:
        raise ValueError(f"r must be an int from 0 to n = {n}, got {r!r}.")
    for name, value, options in (("mode", mode, Mode), ("goal", goal, Goal)):
        if value not in get_args(options):
            raise ValueError(f"{name} must be one of {get_args(options)}, got {value!r}.")
