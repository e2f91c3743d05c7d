"""``explain``: from a value function and a budget to an :class:`Explanation`."""

import numbers
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp

from spexjax.explanation import Explanation
from spexjax.methods.purchase import Caller
from spexjax.methods.registry import resolve
from spexjax.store.store import Store, opened
from spexjax.typing import ValueFunction
from spexjax.values.calling import OnDevice
from spexjax.values.games import unwrapped


def explain(
    f: ValueFunction | OnDevice,
    n: int | None = None,
    *,
    budget: int,
    method: Any = "auto",
    max_order: int = 5,
    seed: int | jax.Array = 0,
    features: Sequence[str] | None = None,
    chunk_size: int = 512,
    progress: bool = False,
    store: str | Path | Store | None = None,
    store_key: str | None = None,
    store_join: bool = False,
) -> Explanation:
    """Finds which sets of n inputs a value function depends on, from at most ``budget`` calls.

    Args:
      f: (rows, n) bool NumPy array to (rows,) or (rows, K) numbers; True keeps an input. A JAX
        function marked by ``spexjax.values.on_device`` gets device arrays instead. A
        ``shapiq.Game`` will do; its values before normalisation are explained.
      n: number of inputs, from 1; not needed where f knows it as ``f.n`` or ``f.n_players``.
      budget: masks that f may be asked for; never exceeded, and used up unless 2^n is smaller.
      method: a name in any case: "exact" (all 2^n masks), "spex" (Kang et al. 2025, with a
        refit), "proxyspex" (Butler et al. 2025), "linear" (ridge on uniform masks), a baseline
        ("lasso", "lime", "kernelshap", "banzhaf", "faith-banzhaf", "faith-shapley",
        "shapley-taylor"), or "auto" (exact where 2^n ≤ budget, else decoded sets, trees' supports
        and pairs, as far as the budget goes and cross-validation prefers); or a configuration
        such as :class:`~spexjax.decoding.spex.Spex`.
      max_order: the largest set that may be fitted; also the degree that the code of SPEX
        corrects, so a smaller one makes masks cheaper. Ignored by "exact".
      seed: an int or a JAX key; the same seed gives the same masks and the same answer.
      features: n labels.
      chunk_size: masks per call of f at most.
      progress: show a bar while f works; where stderr is no terminal, one line after the first
        chunk that says how long the rest will take.
      store: a file (:mod:`spexjax.store`) that is asked before f is, and in which every chunk of
        values is kept as soon as f returns it: what was paid for in an earlier run, by another
        method, budget or process, is not paid for again. ``calls`` counts all masks used.
      store_key: names f in the store; must differ whenever f's values would. Taken from
        ``f.store_key`` if f has one, as this library's own value functions do.
      store_join: also fit to stored values of masks that this budget does not ask for ("auto",
        "spex", "proxyspex", "linear"; the baselines have their own masks). The answer then
        depends on what else is in the store.

    Returns:
      The :class:`~spexjax.explanation.Explanation`. Its ``method`` says what was done: "auto" and
      "spex" become "exact" where all masks are affordable, and "linear" where cross-validation
      found that sets do not help.

    Raises:
      ValueError: if an argument is out of range, a method's name is unknown, or the budget is
        under what the method needs; the message names what would do.
      ValueFunctionError: if f fails or returns something unusable; it holds what was paid for.
      StoreError: if the store cannot be used, or f has no ``store_key``.
    """
    f, n = unwrapped(f, n)
    n, budget = _whole("n", n), _whole("budget", budget)
    max_order, chunk_size = _whole("max_order", max_order), _whole("chunk_size", chunk_size)
    if features is not None and len(features) != n:
        raise ValueError(f"features must have n = {n} labels, got {len(features)}.")
    config, run = resolve(method)
    key = seed_key(seed)
    with opened(store, f, n, store_key) as journal:
        call = Caller(f, n, chunk_size, progress, journal, store_join)
        found = run(call, budget, config, max_order, key)
    return found.labelled(features, seed, budget, max_order)


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, numbers.Integral):
        raise ValueError(f"{name} must be an int, got {value!r}.")
    if value < 1:
        raise ValueError(f"{name} must be at least 1, got {value}.")
    return int(value)


def seed_key(seed: int | jax.Array) -> jax.Array:
    """The key that a seed stands for: itself, or the threefry key of an int."""
    if isinstance(seed, jax.Array) and jnp.issubdtype(seed.dtype, jax.dtypes.prng_key):
        return seed
    if isinstance(seed, bool) or not isinstance(seed, numbers.Integral):
        raise ValueError(f"seed must be an int or a typed JAX key, got {seed!r}.")
    return jax.random.key(int(seed), impl="threefry2x32")
