"""The first and the last step of ``explain``: ``design`` chooses masks, ``fit`` explains values."""

import dataclasses
import numbers
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

from spexjax import metrics
from spexjax.decoding.peeling import Info
from spexjax.explanation import Explanation
from spexjax.inference import faithfulness
from spexjax.inference.evidence import Evidence, gather
from spexjax.masks.design import Design
from spexjax.methods import registry
from spexjax.report.passage import passage_of
from spexjax.spectra.spectrum import Spectrum, at_all_masks, predict_on_host
from spexjax.surrogates.fitted import Fit, Standardised, standardise
from spexjax.typing import ArrayLike, Key
from spexjax.workers import awaited

_LEAST_BUDGET, _CALLS_PER_INPUT = 2000, 20
_INTERVAL = 7  # the sub-stream of the key that the bootstrap draws from


def design(
    n: int,
    *,
    budget: int,
    method: Any = "auto",
    target: str | tuple[str, int] | None = None,
    max_order: int = 5,
    seed: int | jax.Array = 0,
) -> Design:
    """Chooses the masks to ask for; no value function is needed.

    Args:
      n, budget, method, target, max_order, seed: as in :func:`explain`.

    Returns:
      The :class:`~spexjax.masks.design.Design`: ``design.masks()`` are the masks, and
      ``design.save`` keeps it for another day or machine.

    Raises:
      ValueError: as :func:`explain`.
    """
    n, budget, max_order = whole("n", n), whole("budget", budget), whole("max_order", max_order)
    name, config = registry.resolve(registry.aim(method, target))
    key = seed_key(seed)
    chosen = registry.METHODS[name].design(config, n, budget, max_order, key)
    return chosen.named(name, registry.to_json(config), seed_words(seed))


def default_budget(n: int) -> int:
    """Calls for n inputs where none are named: 2 000, or 20 for each, and no more than 2^n."""
    most = max(_LEAST_BUDGET, _CALLS_PER_INPUT * n)
    return min(most, 1 << n) if n < most.bit_length() else most


def fit(
    design: Design,
    values: Float[ArrayLike, "N *K"],
    *,
    features: Sequence[str] | None = None,
    source: Any = None,
) -> Explanation:
    """Explains a function by its values at the masks of a design; a pure function of both.

    Args:
      design: from :func:`design`, or read by ``Design.load``.
      values: (N,) or (N, K), f at ``design.masks()``, finite, in any real dtype.
      features: n labels; those of ``source`` if None.
      source: the value function, which is not called: its labels (``words`` or ``features``), its
        text (``source.text``, ``source.spans``) and its row (``data``) become the explanation's.

    Returns:
      The :class:`~spexjax.explanation.Explanation` that :func:`explain` gives with the arguments
      of the design.

    Raises:
      ValueError: if values or features do not fit the design.
    """
    check_features(features, design.n)
    values = _check_values(values, len(design))
    scaled = standardise(values, ~design.held_out)
    config = registry.from_json(design.method, design.settings)
    with awaited():
        found = registry.METHODS[design.method].fit(config, design, scaled, seed_key(design.seed))
    return explained(design, values, scaled, found, features, source)


def explained(
    design: Design,
    values: Float[ArrayLike, "N *K"],
    scaled: Standardised,
    found: Fit,
    features: Sequence[str] | None,
    source: Any,
) -> Explanation:
    """The explanation that a fit to standardised values is; arguments as of :func:`fit`."""
    evidence, r2, interval = _inferred(design, scaled, found, seed_key(design.seed))
    target = None if found.target is None else found.target.moved(scaled.level, scaled.spread)
    surrogate, level = _in_units_of_f(found.surrogate, scaled)
    if scaled.scalar:
        surrogate = surrogate[0]

    labels = labels_of(source, design.n) if features is None else features

    def output(x):
        return x[0] if scaled.scalar else x

    return Explanation(
        spectrum=surrogate,
        n=design.n,
        method=found.done.value or design.method,
        calls=design.asked,
        full=_at(design, values, keep=True),
        empty=_at(design, values, keep=False),
        faithfulness=output(r2),
        faithfulness_interval=(output(interval[0]), output(interval[1])),
        features=tuple(map(str, labels)),
        passage=passage_of(source, design.n),
        data=_row_of(source, design.n),
        budget=design.budget,
        seed=design.seed,
        max_order=design.max_order,
        info=_info(found.info, scaled),
        level=output(level),
        evidence=None if evidence is None else output(evidence),
        target=None if target is None else output(target),
    )


def _inferred(
    design: Design, scaled: Standardised, found: Fit, key: Key
) -> tuple[Evidence | None, ArrayLike, tuple[ArrayLike, ArrayLike]]:
    """What errors are told from, R² and its interval; R² of all masks where all were asked for."""
    if design.exhaustive:
        exact = metrics.r2(scaled.values, at_all_masks(found.surrogate))
        return None, exact, (exact, exact)
    values = np.asarray(jax.device_get(scaled.values), float)
    evidence, residuals = gather(design, values, found)
    if evidence is None:
        unknown = np.full(len(scaled.spread), np.nan, np.float32)
        return None, unknown, (unknown, unknown)
    spread = scaled.spread[:, None, None]
    ours = dataclasses.replace(
        evidence,
        residuals=(evidence.residuals * spread).astype(np.float32),
        mean=_in_units_of_f(evidence.mean, scaled)[0],
        tested=_in_units_of_f(evidence.tested, scaled)[0],
    )
    if found.crossed is not None:
        losses = faithfulness.losses(design, values, found, residuals)
        with np.errstate(over="ignore"):  # of two masks held out the interval may be the whole line
            r2, low, high = (x.astype(np.float32) for x in faithfulness.r2(losses))
        return ours, r2, (low, high)
    truth = values[design.held_out]
    guess = predict_on_host(found.tested, design.packed[design.held_out])
    stream = jax.random.fold_in(key, _INTERVAL)
    return ours, metrics.r2(truth, guess), metrics.r2_interval(stream, truth, guess)


def _in_units_of_f(found: Spectrum, scaled: Standardised) -> tuple[Spectrum, np.ndarray]:
    """The spectrum of f itself from that of its standardised values, and F(∅) in float64.

    Raises:
      ValueError: if the effects are below float32's range, or a method left out the empty set.
    """
    supports, valid = np.asarray(found.supports), np.asarray(found.valid)
    F = np.asarray(found.coefficients, np.float64) * scaled.spread[:, None]
    empty = valid & ~supports.any(axis=-1)
    if not np.all(empty.any(axis=-1)):
        raise ValueError("a method's surrogate must hold the empty set, with coefficient 0 or not.")
    level = scaled.level + np.where(empty, F, 0.0).sum(axis=-1)
    largest = np.abs(np.where(empty, 0.0, F)).max(axis=-1)
    if np.any((largest > 0) & (largest < np.finfo(np.float32).tiny)):
        raise ValueError("values must be within float32's range, from 1.2e-38; multiply f.")
    F = np.where(empty, level[:, None], F).astype(np.float32)
    return dataclasses.replace(found, coefficients=jax.device_put(F)), level


def _info(info: Info | None, scaled: Standardised) -> Info | None:
    """Diagnostics in units of f, one of each for a scalar function."""
    if info is None:
        return None
    spread = scaled.spread if len(info.noise) == len(scaled.spread) else scaled.spread.max()
    info = info._replace(noise=np.asarray(info.noise, float) * spread**2)
    return jax.tree.map(lambda x: x[0], info) if scaled.scalar else info


def _at(design: Design, values: ArrayLike, keep: bool) -> np.ndarray:
    """f(1…1) or f(0…0) in float64, NaN where it was not asked for."""
    place = design.place_of(keep)
    if place is None:
        return np.full(values.shape[1:], np.nan)
    return np.asarray(values[place], np.float64)


def _check_values(values: ArrayLike, N: int) -> Float[ArrayLike, "N *K"]:
    values = values if isinstance(values, jax.Array) else np.asarray(values)
    if values.ndim not in (1, 2) or len(values) != N or 0 in values.shape:
        raise ValueError(
            f"values must have shape ({N},) or ({N}, K), one row per mask of the design, got "
            f"{values.shape}."
        )
    real = np.issubdtype(values.dtype, np.integer) or values.dtype == bool
    if not real and not jnp.issubdtype(values.dtype, jnp.floating):
        raise ValueError(f"values must be real numbers, got {values.dtype}.")
    xp = jnp if isinstance(values, jax.Array) else np
    if not bool(xp.all(xp.isfinite(values))):
        raise ValueError("values must be finite.")
    if not bool(xp.all(xp.abs(values) <= np.finfo(np.float32).max)):
        raise ValueError("values must be within float32's range, up to 3.4e38; divide f.")
    return values


def labels_of(f: Any, n: int) -> Sequence[str]:
    """The n labels that a value function has, ``f.words`` or ``f.features``; else x0, x1, …."""
    for name in ("words", "features"):
        found = getattr(f, name, None)
        if not isinstance(found, tuple | list) or len(found) != n:
            continue
        if all(isinstance(label, str) for label in found):
            return found
    return [f"x{i}" for i in range(n)]


def _row_of(f: Any, n: int) -> tuple[float | str, ...] | None:
    """The value of each feature, if f has a row of them."""
    found = getattr(f, "data", None)
    return found if isinstance(found, tuple) and len(found) == n else None


def check_features(features: Sequence[str] | None, n: int) -> None:
    """Raises ``ValueError`` unless there are n labels, or none."""
    if features is not None and len(features) != n:
        raise ValueError(f"features must have n = {n} labels, got {len(features)}.")


def whole(name: str, value: Any) -> int:
    """An argument that must be a whole number from 1.

    Raises:
      ValueError: if it is not.
    """
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{name} must be an int, got {value!r}.")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")
    return int(value)


def seed_key(seed: int | tuple[int, ...] | jax.Array) -> Key:
    """The key that a seed stands for: itself, or the threefry key of an int or of key words."""
    if isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        if jax.random.key_impl(seed) != "threefry2x32":
            raise ValueError("seed must be a threefry key, whose masks every version draws alike.")
        return seed
    if isinstance(seed, tuple):
        return jax.random.wrap_key_data(jnp.asarray(seed, jnp.uint32), impl="threefry2x32")
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise ValueError(f"seed must be an int or a typed JAX key, got {seed!r}.")
    return jax.random.key(int(seed), impl="threefry2x32")


def seed_words(seed: int | jax.Array) -> int | tuple[int, ...]:
    """A seed as a design keeps it: an int, or the words of a key."""
    if isinstance(seed, numbers.Integral):
        return int(seed)
    return tuple(np.asarray(jax.random.key_data(seed_key(seed))).tolist())
