"""How well a surrogate follows the function that it explains, and finds what it depends on."""

from collections.abc import Callable, Collection
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Bool, Float

from spexjax import gf2, indices, selection
from spexjax.selection import Mode
from spexjax.spectrum import Spectrum
from spexjax.typing import Array, ArrayLike, Key


def r2(values: Float[ArrayLike, "N *K"], predictions: Float[ArrayLike, "N *K"]) -> Array:
    """Faithfulness R² = 1 − Σ (f − f̂)² / Σ (f − mean f)², float32 () or (K,).

    A constant f gives 1 where it is predicted exactly and −inf where it is not. Kang et al. 2025,
    section 5 (there over fresh uniform masks).

    Raises:
      ValueError: if the shapes differ.
    """
    f, g = jnp.asarray(values, jnp.float32), jnp.asarray(predictions, jnp.float32)
    if f.shape != g.shape:
        raise ValueError(f"predictions must have the shape of values {f.shape}, got {g.shape}.")
    return _ratio(jnp.sum((f - g) ** 2, axis=0), jnp.sum((f - jnp.mean(f, axis=0)) ** 2, axis=0))


def _ratio(error: Array, spread: Array) -> Array:
    safe = jnp.where(spread > 0.0, spread, 1.0)
    constant = jnp.where(error > 0.0, -jnp.inf, 1.0)
    return jnp.where(spread > 0.0, 1.0 - error / safe, constant)


@partial(jax.jit, static_argnames=("resamples",))
def r2_interval(
    key: Key,
    values: Float[ArrayLike, "N *K"],
    predictions: Float[ArrayLike, "N *K"],
    level: float = 0.95,
    resamples: int = 1000,
) -> tuple[Array, Array]:
    """A bootstrap interval for R²: percentiles over resampled masks (Efron 1979).

    Args:
      key: a JAX key.
      values: float32 (N,) or (N, K).
      predictions: the same shape.
      level: nominal coverage.
      resamples: static number of bootstrap samples.

    Returns:
      The lower and the upper end, () or (K,).
    """
    f, g = jnp.asarray(values, jnp.float32), jnp.asarray(predictions, jnp.float32)
    N = f.shape[0]

    def once(key: Key) -> Array:
        # Multinomial counts by histogram: the sums need no gathered copies of the values.
        counts = jnp.zeros(N).at[jax.random.randint(key, (N,), 0, N)].add(1.0) / N
        mean = counts @ f
        return _ratio(counts @ (f - g) ** 2, counts @ f**2 - mean**2)

    f = f - jnp.mean(f, axis=0)
    g = g - jnp.mean(jnp.asarray(values, jnp.float32), axis=0)
    samples = jax.lax.map(once, jax.random.split(key, resamples))
    tail = (1.0 - jnp.asarray(level)) / 2
    return jnp.quantile(samples, tail, axis=0), jnp.quantile(samples, 1.0 - tail, axis=0)


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
    return _sparsity(spectrum, gf2.pack(masks, spectrum.supports.shape[-1]), jnp.asarray(values))


@jax.jit
def _sparsity(spectrum: Spectrum, masks: Array, values: Array) -> Array:
    empty = gf2.degree(spectrum.supports) == 0
    level = jnp.sum(jnp.where(empty, spectrum.coefficients, 0.0))
    weight = jnp.where(empty | ~spectrum.valid, 0.0, spectrum.coefficients)
    order = jnp.argsort(-jnp.abs(weight), stable=True)
    f = jnp.asarray(values, jnp.float32)
    spread = jnp.sum((f - jnp.mean(f)) ** 2)

    def add(residual: Array, term: Array) -> tuple[Array, Array]:
        sign = jnp.where(gf2.parity(masks, spectrum.supports[term]), -1.0, 1.0)
        residual = residual - weight[term] * sign
        return residual, jnp.sum(residual**2)

    first = f - level
    _, errors = jax.lax.scan(add, first, order)
    return _ratio(jnp.concatenate([jnp.sum(first**2)[None], errors]), spread)


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
      float64, shape (largest,), and what was chosen.
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
    return np.abs(values[-1] - values[:-1]) / max(abs(values[-1]), 1e-12), chosen


def recovery_at_k(spectrum: Spectrum, annotated: Collection[int], k: int) -> float:
    """Recovery@k: how much of the k strongest sets lies in the inputs that people marked.

    The Fourier spectrum becomes Möbius coefficients; of the k of largest magnitude, the empty set
    skipped, each scores the share of its members that is annotated; the mean is returned (Kang
    et al. 2025, section 6). With fewer than k sets the missing ones score 0.

    Args:
      spectrum: the surrogate, of one output.
      annotated: the positions of the supporting inputs.
      k: how many sets, at least 1.
    """
    if k < 1:
        raise ValueError(f"k must be at least 1, got {k}.")
    marked = set(annotated)
    top = indices.interactions(spectrum, "Moebius").top(k)
    shares = [sum(i in marked for i in members) / len(members) for members, _ in top]
    return sum(shares) / k
