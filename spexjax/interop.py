"""To and from shapiq and shap; neither is needed unless one of these functions is called.

``explain`` takes a ``shapiq.Game`` as it is (:mod:`spexjax.values.games`). The other way round an
explanation becomes ``shapiq.InteractionValues`` or ``shap.Explanation``, and :func:`approximator`
lets every method of spexjax run inside shapiq's explainers.
"""

from functools import cache
from typing import TYPE_CHECKING, Any

import numpy as np

from spexjax.explain import explain
from spexjax.explanation import Explanation
from spexjax.indices import index_weights
from spexjax.values.games import Played

if TYPE_CHECKING:
    import shap
    import shapiq

# Ours, without case and hyphens, to theirs; the indices that both sides have.
SHAPIQ_NAMES = {
    "sv": "SV",
    "bv": "BV",
    "sii": "SII",
    "bii": "BII",
    "ksii": "k-SII",
    "stii": "STII",
    "fsii": "FSII",
    "fbii": "FBII",
    "moebius": "Moebius",
    "comoebius": "Co-Moebius",
    "jointsv": "JointSV",
}


def to_shapiq(
    explanation: Explanation, index: str = "FBII", max_order: int | None = None
) -> "shapiq.InteractionValues":
    """The interactions of an explanation as ``shapiq.InteractionValues``.

    Args:
      explanation: of one output.
      index: an index that both libraries have.
      max_order: ℓ; the explanation's own if None.

    Returns:
      Sorted tuples of ints to plain floats, the largest order among them ``max_order`` (1 for SV
      and BV). The baseline is the index's value on the empty set; for co-Möbius shapiq puts
      f(0…0) there, and for joint Shapley values, which have none, it stands too.

    Raises:
      ImportError: if shapiq is not installed.
      ValueError: if shapiq has no such index, or the explanation has several outputs.
    """
    try:
        from shapiq import InteractionValues
    except ImportError as error:
        raise ImportError("to_shapiq needs shapiq: pip install shapiq.") from error
    name = SHAPIQ_NAMES.get(index_weights.plain(index))
    if name is None:
        raise ValueError(f"index must be one of {', '.join(SHAPIQ_NAMES.values())}, got {index!r}.")
    ours = "Joint-SV" if name == "JointSV" else index
    found = explanation.interactions(ours, 1 if name in ("SV", "BV") else max_order)
    values = {tuple(sorted(members)): value for members, value in found.to_dict().items()}
    if name in ("Co-Moebius", "JointSV"):
        values[()] = float(explanation.empty)
    values.setdefault((), 0.0)
    return InteractionValues(
        values=values,
        index=name,
        max_order=found.max_order,
        n_players=explanation.n,
        min_order=0,
        estimated=explanation.method != "exact",
        estimation_budget=explanation.calls,
        baseline_value=values[()],
    )


def to_shap(explanation: Explanation) -> "shap.Explanation":
    """The Shapley values of the surrogate as ``shap.Explanation``, for shap's plots.

    Args:
      explanation: of one output, or of K: the values then have shape (n, K).

    Raises:
      ImportError: if shap is not installed.
    """
    try:
        import shap
    except ImportError as error:
        raise ImportError("to_shap needs shap: pip install shap.") from error
    outputs = explanation.num_outputs
    each = [explanation] if outputs is None else [explanation[i] for i in range(outputs)]
    values = np.zeros((explanation.n, len(each)))
    base = np.zeros(len(each))
    for column, one in enumerate(each):
        for members, value in one.interactions("SV", 1).to_dict().items():
            if members:
                values[members[0], column] = value
            else:
                base[column] = value
    return shap.Explanation(
        values=values[:, 0] if outputs is None else values,
        base_values=float(base[0]) if outputs is None else base,
        data=np.array(explanation.features, object),
        feature_names=list(explanation.features),
    )


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
