"""Explanations for shapiq and shap; neither is needed unless one of these functions is called.

The other way round, ``explain`` takes a ``shapiq.Game`` as it is (:mod:`spexjax.values.games`),
and :func:`spexjax.approximator.approximator` runs inside shapiq's explainers.
"""

from typing import TYPE_CHECKING

import numpy as np

from spexjax.indices import index_weights
from spexjax.typing import Explained

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
    explanation: Explained, index: str = "FBII", max_order: int | None = None
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
    baseline = float(explanation.empty) if name in ("Co-Moebius", "JointSV") else found.baseline
    values = {(): baseline} | found.to_dict()
    return InteractionValues(
        values=values,
        index=name,
        max_order=found.max_order,
        n_players=explanation.n,
        min_order=0,
        estimated=explanation.method != "exact",
        estimation_budget=explanation.calls,
        baseline_value=baseline,
    )


def to_shap(explanation: Explained) -> "shap.Explanation":
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
        shapley = one.interactions("SV", 1)
        values[:, column], base[column] = shapley.to_array(), shapley.baseline
    return shap.Explanation(
        values=values[:, 0] if outputs is None else values,
        base_values=float(base[0]) if outputs is None else base,
        data=np.array(explanation.features, object),
        feature_names=list(explanation.features),
    )
