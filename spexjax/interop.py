"""Explanations for shapiq and shap; neither is needed unless one of these functions is called.

The other way round, ``explain`` takes a ``shapiq.Game`` as it is (:mod:`spexjax.values.games`),
and :func:`spexjax.approximator.approximator` runs inside shapiq's explainers.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from spexjax.indices import index_weights
from spexjax.typing import ArrayLike, Explained

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


def to_shap(
    explanations: Explained | Sequence[Explained],
    data: ArrayLike | None = None,
    index: str = "SV",
) -> "shap.Explanation":
    """Shapley values as ``shap.Explanation``, for shap's plots.

    They add up to f(1…1) − f(0…0) where the explanation had them for its target, or is exact; those
    of a surrogate add up to what it is at the two ends.

    Args:
      explanations: one, of one output or of K, whose values then have shape (n, K); or several rows
        with the same features, whose values have shape (rows, n) or (rows, n, K).
      data: the row's values, (n,), or (rows, n), which shap's plots colour by; the explanations'
        own if None and they have them; else for one explanation its labels.
      index: any index; its values of order 1.

    Raises:
      ImportError: if shap is not installed.
      ValueError: if data or the rows do not fit together.
    """
    try:
        import shap
    except ImportError as error:
        raise ImportError("to_shap needs shap: pip install shap.") from error
    if isinstance(explanations, Sequence):
        return _rows_to_shap(shap, list(explanations), data, index)
    values, base = _first_order(explanations, index)
    if data is None and explanations.data is not None:
        data = _table([explanations])[0]
    row = np.array(explanations.features, object) if data is None else np.asarray(data)
    if row.shape != (explanations.n,):
        raise ValueError(f"data must have shape ({explanations.n},), got {row.shape}.")
    return shap.Explanation(
        values=values, base_values=base[()], data=row, feature_names=list(explanations.features)
    )


def _rows_to_shap(shap: Any, rows: list[Explained], data: ArrayLike | None, index: str) -> Any:
    if len({(e.features, e.num_outputs) for e in rows}) != 1:
        raise ValueError("explanations must be at least one, all of the same features and outputs.")
    found = [_first_order(e, index) for e in rows]
    if data is None and all(e.data is not None for e in rows):
        data = _table(rows)
    table = None if data is None else np.asarray(data)
    if table is not None and table.shape != (len(rows), rows[0].n):
        raise ValueError(f"data must have shape ({len(rows)}, {rows[0].n}), got {table.shape}.")
    return shap.Explanation(
        values=np.stack([values for values, _ in found]),
        base_values=np.stack([base for _, base in found]),
        data=table,
        feature_names=list(rows[0].features),
    )


def _table(rows: Sequence[Explained]) -> np.ndarray:
    """The values of features, (rows, n): numbers if all are."""
    found = [list(e.data) for e in rows]
    numbers = all(not isinstance(value, str) for row in found for value in row)
    return np.array(found, float if numbers else object)


def _first_order(
    explanation: Explained, index: str
) -> tuple[Float[np.ndarray, "n *K"], Float[np.ndarray, "*K"]]:
    """The values of an index on single inputs, and on none."""
    outputs = explanation.num_outputs
    each = [explanation] if outputs is None else [explanation[i] for i in range(outputs)]
    # An index of order ℓ has other values on single inputs at other ℓ: here it is 1.
    found = [one.interactions(index, 1) for one in each]
    values = np.stack([ix.to_array() for ix in found], axis=-1)
    base = np.array([ix.baseline for ix in found])
    return (values[:, 0], base[0]) if outputs is None else (values, base)
