"""Every method of spexjax inside shapiq's explainers; shapiq is needed once it is made."""

from functools import cache
from typing import Any

import numpy as np

from spexjax.explain import explain
from spexjax.explanation import Explanation
from spexjax.interop import to_shapiq
from spexjax.values.games import Played


def approximator(
    n: int,
    max_order: int = 2,
    index: str = "k-SII",
    *,
    method: Any = "auto",
    fitted_order: int = 5,
    random_state: int | None = None,
    chunk_size: int = 512,
) -> Any:
    """A ``shapiq.approximator.base.Approximator`` that asks ``explain``.

    For example ``shapiq.TabularExplainer(model, data, approximator=approximator(n, 2, "FSII"))``.

    Args:
      n: number of players.
      max_order: the largest interaction reported, ℓ of the index.
      index: one of SV, BV, SII, BII, k-SII, STII, FSII, FBII.
      method: as in ``explain``: "auto", "spex", "proxyspex" …, or a configuration.
      fitted_order: ``max_order`` of ``explain``: the largest set that is fitted.
      random_state: the seed; 0 if None.
      chunk_size: masks per call of the game.

    Raises:
      ImportError: if shapiq is not installed.
      ValueError: if an argument is out of range.
    """
    try:
        kind = _approximator_class()
    except ImportError as error:
        raise ImportError("approximator needs shapiq: pip install shapiq.") from error
    return kind(n, max_order, index, method, fitted_order, random_state, chunk_size)


@cache
def _approximator_class() -> type:
    """The class is made on demand, since its base is shapiq's."""
    from shapiq.approximator.base import Approximator

    class SpexjaxApproximator(Approximator):
        """``spexjax.explain`` as an approximator of shapiq."""

        valid_indices = ("SV", "BV", "SII", "BII", "k-SII", "STII", "FSII", "FBII")

        def __init__(self, n, max_order, index, method, fitted_order, random_state, chunk_size):
            super().__init__(
                n=n, max_order=max_order, index=index, random_state=random_state,
                sampling_weights=np.ones(n + 1), initialize_dict=False,
            )  # fmt: skip
            self.method, self.fitted_order, self.chunk_size = method, fitted_order, chunk_size
            self.explanation: Explanation | None = None

        def approximate(self, budget, game, *args, **kwargs):
            """Explains a game with ``budget`` calls; ``explanation`` keeps the whole answer.

            A normalised game stays so here: shapiq's explainers add what it takes away.
            """
            self.explanation = explain(
                Played(game), self.n, budget=budget, method=self.method,
                max_order=self.fitted_order, seed=self._random_state or 0,
                chunk_size=self.chunk_size,
            )  # fmt: skip
            found = to_shapiq(self.explanation, self.index, self.max_order)
            self._interaction_lookup = found.interaction_lookup
            return found

    return SpexjaxApproximator
