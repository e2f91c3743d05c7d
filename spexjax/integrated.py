"""``explain`` by integrated gradients: a function is asked for derivatives, and for a few masks."""

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import jax
import numpy as np

from spexjax.evaluate import ask
from spexjax.explanation import Explanation
from spexjax.masks.design import Design
from spexjax.methods import integrated_gradients
from spexjax.methods.integrated_gradients import IntegratedGradients
from spexjax.steps import check_features, explained, seed_key, seed_words, whole
from spexjax.store import Store, opened
from spexjax.surrogates.fitted import standardise
from spexjax.typing import ValueFunction
from spexjax.values import OnDevice
from spexjax.values.gradients import along, known_between_masks

_LOG = logging.getLogger("spexjax")
_FAR = 0.01  # of the range of f, from which the sum of attributions is said to be off


def design(
    config: IntegratedGradients, n: int, budget: int, seed: int | jax.Array
) -> tuple[Design, int]:
    """The masks that are asked for beside derivatives, and how many points on the path.

    Raises:
      ValueError: if the budget is too small.
    """
    n, budget = whole("n", n), whole("budget", budget)
    made, steps = integrated_gradients.design(config, n, budget, seed_key(seed))
    return dataclasses.replace(made, seed=seed_words(seed)), steps


def by_gradients(
    f: ValueFunction | OnDevice,
    n: int,
    config: IntegratedGradients,
    *,
    budget: int,
    seed: int | jax.Array,
    features: Sequence[str] | None,
    chunk_size: int | None,
    progress: bool,
    store: str | Path | Store | None,
    store_key: str | None,
) -> Explanation:
    """The explanation; arguments as of :func:`~spexjax.explain.explain`.

    ``calls`` counts masks and points on the path, ``max_order`` is 1. A warning is logged where the
    attributions do not add up to what the ends of the path differ by: more points are needed.

    Raises:
      ValueError: if f has no derivatives, or the budget is too small.
      ValueFunctionError, StoreError: as ``explain``.
    """
    known = known_between_masks(f)
    made, steps = design(config, n, budget, seed)
    check_features(features, n)
    path = along(known, n, *integrated_gradients.quadrature(steps), progress)
    off = np.abs(path.attributions.sum(axis=0) - (path.end - path.start))
    scale = np.maximum(np.abs(path.end - path.start), np.abs(path.attributions).max(axis=0))
    if np.any(off > _FAR * scale):
        worst = int(np.argmax(off - _FAR * scale))
        _LOG.warning(
            "integrated gradients of %d steps add up to %.4g, not to %.4g: take more steps.",
            steps, path.attributions[:, worst].sum(), (path.end - path.start)[worst],
        )  # fmt: skip
    with opened(store, f, n, store_key) as journal:
        values = ask(f, made, chunk_size, progress, journal)
    scaled = standardise(values, np.ones(len(made), bool))
    whole = np.asarray(values, np.float64)[made.place_of(True)].reshape(-1)
    found = integrated_gradients.fit(path.attributions, whole, scaled)
    e = explained(made, values, scaled, found, features, f)
    return dataclasses.replace(e, calls=e.calls + steps)
