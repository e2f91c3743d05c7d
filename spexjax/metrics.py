"""How well a surrogate follows the function that it explains, and finds what it depends on."""

from collections.abc import Callable, Collection
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from spexjax import indices, selection
from spexjax.codes import gf2
from spexjax.compiling import QUICKLY
from spexjax.selection import Mode
from spexjax.spectra.spectrum import Spectrum
from spexjax.typing import Array, ArrayLike, Key

_OUTPUTS_AT_ONCE = 64
_RESAMPLES = 1000
_ROUNDING = 1e-6  # of the share of the variance that is not explained, in float32


def r2(values: Float[ArrayLike, "N *K"], predictions: Float[ArrayLike, "N *K"]) -> Array:
    """Faithfulness R² = 1 − Σ (f − f̂)² / Σ (f − mean f)², float32 () or (K,).

    A constant f gives 1 where it is predicted exactly and −inf where it is not. Kang et al. 2025,
    section 5 (there over fresh uniform masks).

    The level and the scale of f do not matter. NumPy arrays are centred and scaled in float64;
    traced and device arrays in their own precision (so a float32 f of level 1e8 times its spread
    has lost it before), under jit and vmap too.

    Raises:
      ValueError: if the shapes differ.
    """
    return _score(*_standardise(values, predictions)[:2])


def _standardise(values: ArrayLike, predictions: ArrayLike) -> tuple[Array, Array, Array]:
    """f − mean f and f − f̂, float32 in units of the largest |f − f₀|, and this unit, float32.

    The unit is the largest |f − f̂| where f is constant, and 1 where that is 0 too.
    """
    shape, other = np.shape(values), np.shape(predictions)
    if shape != other:
        raise ValueError(f"predictions must have the shape of values {shape}, got {other}.")
    arrays = [x for x in (values, predictions) if isinstance(x, jax.Array)]
    if len(arrays) == 2 or any(isinstance(x, jax.core.Tracer) for x in arrays):
        return _standardise_on_device(values, predictions)
    f, g = np.asarray(values, np.float64), np.asarray(predictions, np.float64)
    with np.errstate(over="ignore"):  # what is infinite in float32 makes R² so
        centred, error, unit = (np.float32(x) for x in _in_units(f, g, np))
    return jnp.asarray(centred), jnp.asarray(error), jnp.asarray(unit)


@jax.jit
def _standardise_on_device(values: Array, predictions: Array) -> tuple[Array, Array, Array]:
    # Some arrays are float64 where the caller has switched on x64.
    double = any(x.dtype == jnp.float64 for x in (values, predictions))
    dtype = jnp.float64 if double else jnp.float32
    f, g = jnp.asarray(values, dtype), jnp.asarray(predictions, dtype)
    centred, error, unit = (jnp.asarray(x, jnp.float32) for x in _in_units(f, g, jnp))
    return centred, error, unit


def _in_units(f, g, xp):
    # From the first value, not from the mean: a constant becomes exactly 0.
    centred, error = f - f[:1], f - g
    spread, miss = (xp.max(xp.abs(x), axis=0, initial=0.0) for x in (centred, error))
    unit = xp.where(spread > 0, spread, xp.where(miss > 0, miss, xp.ones_like(miss)))
    centred = centred / unit
    return centred - xp.mean(centred, axis=0), error / unit, unit


@jax.jit
def _score(f: Float[Array, "N *K"], error: Float[Array, "N *K"]) -> Float[Array, "*K"]:
    """R² of what :func:`_standardise` returns."""
    return _ratio(jnp.mean(error**2, axis=0), jnp.mean(f**2, axis=0), jnp.any(error != 0, axis=0))


def _ratio(error: Array, spread: Array, missed: Array) -> Array:
    """1 − error / spread; where f is constant, 1 or −inf by whether it was ``missed``."""
    constant = jnp.where(missed, jnp.float32(-jnp.inf), jnp.float32(1))
    return jnp.where(spread > 0, 1 - error / jnp.where(spread > 0, spread, 1), constant)


def r2_interval(
    key: Key,
    values: Float[ArrayLike, "N *K"],
    predictions: Float[ArrayLike, "N *K"],
    level: float = 0.95,
    resamples: int = _RESAMPLES,
) -> tuple[Array, Array]:
    """A bootstrap interval for the R² of the population that the masks were drawn from.

    With e = f − f̂, R² = A − B, A = 1 − Var(e) / Var(f), B = (mean e)² / Var(f). The two parts
    need intervals of their own: for a surrogate that explains nothing A has no variance and B is
    the square of something near 0, which no bootstrap of R² itself gets right (R² ≤ 0 in every
    resample of a constant surrogate).

    * log(Var(e) / Var(f)): the symmetric bootstrap-t interval (Hall 1988, On symmetric bootstrap
      confidence intervals), made to hold the percentile interval too, since heavy tails shorten
      now the one, now the other.
    * mean e: the bootstrap-t interval (Efron and Tibshirani 1993, section 12.5), squared. The
      square is covered somewhat more often than the mean, by at most half of the misses.

    Their distances from the estimate are added as squares (Zou and Donner 2008, equation 4).

    Args:
      key: a JAX key.
      values: (N,) or (N, K), of any level and scale, as in :func:`r2`.
      predictions: the same shape.
      level: nominal coverage.
      resamples: static number of bootstrap samples, the same masks for all outputs.

    Returns:
      The lower and the upper end, float32 () or (K,), around :func:`r2`; both R² itself where f
      or f − f̂ is constant, among all masks or in a share of the resamples.

    Raises:
      ValueError: if the shapes differ.
    """
    f, error, _ = _standardise(values, predictions)
    miss = 1 - level if isinstance(level, jax.Array) else np.asarray(1 - level, np.float32)
    traced = any(isinstance(x, jax.core.Tracer) for x in (key, f, error, miss))
    intervals = _intervals if traced else _interval_program
    return intervals(key, f, error, _score(f, error), miss, resamples)


def _intervals(
    key: Key, f: Array, error: Array, score: Array, miss: ArrayLike, resamples: int
) -> tuple[Array, Array]:
    """The intervals of all outputs, from what :func:`_standardise` returns and its R²."""
    N = f.shape[0]

    def histogram(key: Key) -> Array:
        drawn = (N * jax.random.uniform(key, (N,), jnp.float32)).astype(jnp.int32)
        return jnp.zeros(N, jnp.float32).at[drawn].add(1.0)

    counts = jax.vmap(histogram)(jax.random.split(key, resamples)) / N

    def output(given: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        f, error, exact = given
        low, high = _interval(f, error, counts, miss)
        known = jnp.isfinite(low) & jnp.isfinite(high)
        # Sums of N squares and R² itself, in another program, may be rounded otherwise.
        low = jnp.minimum(low, exact) - _ROUNDING * (1 - jnp.minimum(low, exact))
        high = jnp.maximum(high, exact) + _ROUNDING * (1 - jnp.maximum(high, exact))
        return jnp.where(known, low, exact), jnp.where(known, jnp.minimum(high, 1.0), exact)

    if f.ndim == 1:
        return output((f, error, score))
    return jax.lax.map(output, (f.T, error.T, score), batch_size=_OUTPUTS_AT_ONCE)


class _Parts(NamedTuple):
    """What R² is made of, estimated from weighted masks."""

    shift: Array  # mean e
    shift_error: Array  # its standard error
    ratio: Array  # log(Var(e) / Var(f))
    ratio_error: Array


def _parts(weights: Array, f: Array, e: Array) -> _Parts:
    """The parts for weights (..., N) of sum 1, by the delta method; f and e have mean near 0."""
    N = f.shape[0]
    e2, f2 = e**2, f**2
    columns = jnp.stack([f, f2, f2**2, e, e2, e2**2, e2 * f2], axis=1)
    sums = jnp.matmul(weights, columns, precision="highest")
    mf, mf2, mf4, me, me2, me4, mixed = (sums[..., i] for i in range(7))
    vf, ve = mf2 - mf**2, me2 - me**2
    # The mean square of e² / ve − f² / vf, less the square of its mean.
    second = me4 / ve**2 - 2 * mixed / (ve * vf) + mf4 / vf**2 - (me2 / ve - mf2 / vf) ** 2
    ratio_error = jnp.sqrt(jnp.maximum(second, 0.0) / N)
    return _Parts(me, jnp.sqrt(ve / (N - 1)), jnp.log(ve / vf), ratio_error)


def _interval(f: Array, e: Array, counts: Array, miss: ArrayLike) -> tuple[Array, Array]:
    N = f.shape[0]
    spread = jnp.std(f)
    f, e = f / spread, e / spread
    shift = jnp.mean(e)
    e = e - shift
    # In units of its own, since the fourth powers of a very poor or a very good surrogate's errors
    # leave float32; Var(f) is 1, so their variance in units of it is greater by unit².
    unit = jnp.max(jnp.abs(e))
    e, shift = e / unit, shift / unit
    found = _parts(jnp.full(N, 1.0 / N, jnp.float32), f, e)
    again = _parts(counts, f, e)
    # A resample of nearly equal masks must not divide by nothing (logarithms have no units).
    error = jnp.maximum(again.ratio_error, 0.1 * found.ratio_error) + 1e-9
    symmetric = jnp.abs(again.ratio - found.ratio) / error
    studentised = again.shift / jnp.maximum(again.shift_error, 0.1 * found.shift_error)
    tails = jnp.stack([1.0 - miss / 2, miss / 2])
    # At once, since every sort is a kernel to compile.
    (t, _), (above, below), tail = jax.vmap(jnp.quantile)(
        jnp.stack([symmetric, again.ratio, studentised]),
        jnp.stack([jnp.full(2, 1.0 - miss), tails, tails]),
    )
    low = jnp.minimum(found.ratio - t * found.ratio_error, below)
    high = jnp.maximum(found.ratio + t * found.ratio_error, above)
    a = 1.0 - jnp.exp(jnp.stack([found.ratio, high, low]) + 2 * jnp.log(unit))

    ends = (shift - tail * found.shift_error) * unit
    most = jnp.max(jnp.abs(ends)) ** 2
    least = jnp.where(ends[0] * ends[1] < 0, 0.0, jnp.min(jnp.abs(ends)) ** 2)
    b = jnp.stack([(shift * unit) ** 2, least, most]) * (N - 1) / N

    down = jnp.sqrt((a[0] - a[1]) ** 2 + (b[2] - b[0]) ** 2)
    up = jnp.sqrt((a[2] - a[0]) ** 2 + (b[0] - b[1]) ** 2)
    return a[0] - b[0] - down, jnp.minimum(a[0] - b[0] + up, 1.0)


_interval_program = jax.jit(_intervals, static_argnames="resamples", compiler_options=QUICKLY)


def sparsity_curve(
    spectrum: Spectrum, masks: Bool[ArrayLike, "N n"], values: Float[ArrayLike, "N"]
) -> Float[Array, "S+1"]:
    """R² of the s terms of largest |F| (the empty set always there and not counted), s = 0 … S.

    Args:
      spectrum: of one output, with capacity S; beyond its valid terms the curve is flat.
      masks: bool (N, n), not those that the spectrum was fitted to.
      values: f there.

    Raises:
      ValueError: if the spectrum has several outputs.
    """
    if spectrum.num_outputs is not None:
        raise ValueError("a sparsity curve needs one output: pass spectrum[i].")
    empty = gf2.degree(spectrum.supports) == 0
    level = jnp.sum(jnp.where(empty, spectrum.coefficients, 0.0))
    packed = gf2.pack(masks, spectrum.supports.shape[-1])
    standardised = _standardise(values, jnp.broadcast_to(level, np.shape(values)))
    return _sparsity(spectrum, packed, *standardised)


@jax.jit
def _sparsity(spectrum: Spectrum, masks: Array, f: Array, first: Array, unit: Array) -> Array:
    """The curve from what :func:`_standardise` makes of f and the spectrum's level."""
    counted = spectrum.valid & (gf2.degree(spectrum.supports) > 0)
    weight = jnp.where(counted, spectrum.coefficients / unit, 0.0)
    order = jnp.argsort(-jnp.abs(weight), stable=True)

    def add(residual: Array, term: Array) -> tuple[Array, tuple[Array, Array]]:
        sign = jnp.where(gf2.parity(masks, spectrum.supports[term]), -1.0, 1.0)
        residual = residual - weight[term] * sign
        return residual, (jnp.mean(residual**2), jnp.any(residual != 0))

    _, (errors, missed) = jax.lax.scan(add, first, order)
    start = jnp.mean(first**2)[None], jnp.any(first != 0)[None]
    errors, missed = jnp.concatenate([start[0], errors]), jnp.concatenate([start[1], missed])
    return _ratio(errors, jnp.mean(f**2), missed)


def removal_curve(
    f: Callable[[Bool[np.ndarray, "N n"]], ArrayLike],
    spectrum: Spectrum,
    largest: int = 10,
    mode: Mode = "remove",
    time_limit: float | None = None,
) -> tuple[Float[np.ndarray, "r"], list[selection.Selection]]:
    """|f(1) − f(S)| / |f(1)| where S lacks the r inputs that the surrogate finds most important.

    Kang et al. 2025, section 6 ("remove": f(1) is the full mask). For mode "keep" S holds only
    those r, chosen from 0…0, and the same quotient falls where they suffice.

    Args:
      f: the value function, called once with ``largest`` + 1 masks.
      spectrum: the surrogate, of one output.
      largest: r runs from 1 to this, at most n.
      mode: "remove" or "keep".
      time_limit: seconds for each exact selection; greedy ones if None.

    Returns:
      float64, shape (largest,), and what was chosen. Below 1e-12 of the largest |f| asked for,
      |f(1)| counts as that much.
    """
    n = spectrum.num_features
    chosen = [
        selection.greedy(spectrum, r, mode)
        if time_limit is None
        else selection.exact(spectrum, r, mode, time_limit=time_limit)
        for r in range(1, min(largest, n) + 1)
    ]
    masks = np.full((len(chosen) + 1, n), mode == "remove")
    for row, choice in zip(masks, chosen, strict=False):
        row[list(choice.members)] = mode == "keep"
    masks[-1] = True
    values = np.asarray(f(masks), float)
    level = max(abs(values[-1]), 1e-12 * np.max(np.abs(values)))
    change = np.abs(values[-1] - values[:-1])
    return change / level if level > 0 else change, chosen


def recovery_at_k(spectrum: Spectrum, annotated: Collection[int], k: int) -> float:
    """Recovery@k: how much of the k strongest sets lies in the inputs that people marked.

    The Fourier spectrum becomes Möbius coefficients; of the k of largest magnitude, the empty set
    skipped, each scores the share of its members that is annotated; the mean is returned (Kang
    et al. 2025, section 6). With fewer than k sets the missing ones score 0.

    Args:
      spectrum: the surrogate, of one output.
      annotated: the positions of the supporting inputs, from 0 to n − 1.
      k: how many sets, at least 1.

    Raises:
      ValueError: if k or a position is out of range, or the spectrum has several outputs.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}.")
    marked, n = set(annotated), spectrum.num_features
    if not marked <= set(range(n)):
        raise ValueError(f"annotated must be positions from 0 to {n - 1}, got {sorted(marked)}.")
    top = indices.interactions(spectrum, "Moebius").top(k)
    shares = [sum(i in marked for i in members) / len(members) for members, _ in top]
    return sum(shares) / k
