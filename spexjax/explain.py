"""``explain``: design, evaluate, fit, one after the other."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jaxtyping import Float

from spexjax.ahead import compiling
from spexjax.codes import gf2
from spexjax.evaluate import ask
from spexjax.explanation import Explanation
from spexjax.integrated import by_gradients
from spexjax.masks.design import Design
from spexjax.methods import integrated_gradients, registry
from spexjax.steps import check_features, default_budget, design, fit
from spexjax.store import Journal, Store, opened
from spexjax.typing import ArrayLike, ValueFunction
from spexjax.values import OnDevice
from spexjax.values.games import unwrapped
from spexjax.values.progress import fit_bar

_LOG = logging.getLogger("spexjax")


def explain(
    f: ValueFunction | OnDevice,
    n: int | None = None,
    *,
    budget: int | None = None,
    method: Any = "auto",
    target: str | tuple[str, int] | None = None,
    max_order: int = 5,
    seed: int | jax.Array = 0,
    features: Sequence[str] | None = None,
    chunk_size: int | None = None,
    progress: bool = False,
    store: str | Path | Store | None = None,
    store_key: str | None = None,
    store_join: bool = False,
) -> Explanation:
    """Finds which sets of n inputs a value function depends on, from at most ``budget`` calls.

    The same as :func:`design`, :func:`spexjax.evaluate` and :func:`fit` one after the other.

    Args:
      f: (rows, n) bool NumPy array to (rows,) or (rows, K) numbers; True keeps an input. A JAX
        function marked by ``spexjax.values.on_device`` gets device arrays instead. A
        ``shapiq.Game`` will do; its values before normalisation are explained.
      n: number of inputs, from 1; not needed where f knows it as ``f.n`` or ``f.n_players``.
      budget: masks that f may be asked for; never exceeded, and used up unless 2^n is smaller. If
        None, 2 000 or 20 for each input, whichever is more, but not more than 2^n; the logger
        "spexjax" says so, by default on stderr.
      method: a name in any case: "exact" (all 2^n masks), "spex" (Kang et al. 2025, with a
        refit), "proxyspex" (Butler et al. 2025), "linear" (ridge on uniform masks), a baseline
        ("lasso", "lime", "kernelshap", "banzhaf", "faith-banzhaf", "faith-shapley",
        "shapley-taylor"; "integrated-gradients", Sundararajan et al. 2017, for functions that know
        their derivatives), or "auto" (exact where 2^n ≤ budget, else decoded sets, trees' supports
        and pairs, as far as the budget goes and cross-validation prefers); or a configuration
        such as ``spexjax.Spex``.
      target: an index that is wanted most, "SV", "SII", "k-SII", "STII", "FSII", "BV", "BII" or
        "FBII", with its order ("FSII", 3) if not 2: the masks and the fit are then those that are
        best for it (:mod:`spexjax.methods.targeted`), and ``interactions`` of it gives values far
        closer than any other method's, with their errors. In place of ``method``.
      max_order: the largest set that may be fitted; also the degree that the code of SPEX
        corrects, so a smaller one makes masks cheaper. Ignored by "exact", and by
        "integrated-gradients", whose surrogate has single inputs alone.
      seed: an int or a JAX key; the same seed gives the same masks and the same answer.
      features: n labels; ``f.words`` or ``f.features`` if None and f has them.
      chunk_size: masks per call of f at most; f's own ``chunk_size``, or else 512, if None.
      progress: show a bar while f works, and one for the fit that follows; where stderr is no
        terminal, a line before and after the first chunk, which says how long the rest will take,
        and of a long fit what it is at.
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
    if budget is None:
        budget = default_budget(n)
        _LOG.warning("no budget given: up to %s calls for %s inputs.", f"{budget:,}", f"{n:,}")
    config = integrated_gradients.wanted(method)
    if config is not None and target is None:
        return by_gradients(
            f, n, config, budget=budget, seed=seed, features=features, chunk_size=chunk_size,
            progress=progress, store=store, store_key=store_key,
        )  # fmt: skip
    asked = design(n, budget=budget, method=method, target=target, max_order=max_order, seed=seed)
    check_features(features, asked.n)
    return answered(asked, f, features, chunk_size, progress, store, store_key, store_join)


def answered(
    asked: Design,
    f: ValueFunction | OnDevice,
    features: Sequence[str] | None = None,
    chunk_size: int | None = None,
    progress: bool = False,
    store: str | Path | Store | None = None,
    store_key: str | None = None,
    store_join: bool = False,
) -> Explanation:
    """The last two steps of :func:`explain`, for a design that was made before; arguments as there.

    Raises:
      ValueFunctionError, StoreError: as :func:`explain`.
    """
    with compiling(asked):
        with opened(store, f, asked.n, store_key) as journal:
            values = ask(f, asked, chunk_size, progress, journal)
            if store_join and journal is not None and registry.METHODS[asked.method].joins:
                asked, values = _joined(asked, values, journal)
        with fit_bar(progress):
            return fit(asked, values, features=features, source=f)


def _joined(
    asked: Design, values: ArrayLike, journal: Journal
) -> tuple[Design, Float[np.ndarray, "N *K"]]:
    """The design and values with all that the journal holds besides."""
    stored, answers = journal.everything()
    _, place = gf2.unique_rows(np.concatenate([asked.packed, stored]))
    fresh = place[len(asked) :] >= len(asked)
    return asked.with_stored(stored[fresh]), np.concatenate([values, answers[fresh]])
