"""Is it the model, or would any model do? Statistics of re-initialised models."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from spexjax.typing import Explained

Statistic = Callable[[Explained], float]


class ModelNull(NamedTuple):
    """A statistic of a model's explanation beside those of models without what it learned."""

    statistic: float
    null: Float[np.ndarray, "R"]
    p_value: float


def model_null(
    explain: Callable[[Any], Explained],
    f: Any,
    make_f: Callable[[Any], Any],
    keys: Iterable[Any],
    statistic: Statistic,
) -> ModelNull:
    """Compares a model with others that could not have learned what it did.

    A random network depends on its inputs as truly as a trained one, so no test over masks tells
    them apart, and a method that explains both alike explains neither ("The Dead Salmons of AI
    Interpretability", arXiv 2512.18792). The same explanation is made of f and of R models drawn
    under the null hypothesis that f is one of them: p = (1 + #{T_r ≥ T})/(1 + R), which is valid
    for any statistic.

    Args:
      explain: explains a value function, always with the same masks:
        ``lambda f: sx.explain(f, budget=500, seed=0)``.
      f: the value function of the model in question.
      make_f: a key to a value function of a model of the null hypothesis: the same architecture
        with random parameters (``model.randomised(key)`` of a ``TextClassifier`` or
        ``LanguageModel``), or trained on shuffled labels.
      keys: R of them; p is at least 1/(1 + R).
      statistic: large where an explanation has found something: :func:`explained_variance`,
        :func:`strongest`, or any function of an explanation.

    Raises:
      ValueError: if there are no keys, or a statistic is NaN.
    """
    observed = float(statistic(explain(f)))
    null = np.array([float(statistic(explain(make_f(key)))) for key in keys])
    if not len(null):
        raise ValueError("keys must hold at least one key.")
    if np.isnan(observed) or np.isnan(null).any():
        raise ValueError("the statistic is NaN for some models: no comparison is possible.")
    return ModelNull(observed, null, float((1 + np.sum(null >= observed)) / (1 + len(null))))


def explained_variance(order: int) -> Statistic:
    """The share of the variance of f that sets of at most ``order`` inputs explain.

    The faithfulness R² of the surrogate times their share of its energy Σ F(S)² (Parseval).

    Raises:
      ValueError: if the order is below 1.
    """
    if order < 1:
        raise ValueError(f"order must be at least 1, got {order}.")

    def statistic(e: Explained) -> float:
        squares = e.interactions("Fourier", max(order, e.max_order)).values ** 2
        sizes = e.interactions("Fourier", max(order, e.max_order)).sizes()
        total = squares.sum()
        share = squares[sizes <= order].sum() / total if total else 0.0
        return max(float(e.faithfulness), 0.0) * float(share)

    return statistic


def strongest(index: str = "FBII", order: int = 2) -> Statistic:
    """The largest |value| of an index on sets of exactly ``order`` inputs, in units of f."""

    def statistic(e: Explained) -> float:
        values = e.interactions(index, max(order, e.max_order)).order(order).values
        return float(np.abs(values).max(initial=0.0))

    return statistic
