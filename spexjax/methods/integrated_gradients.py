"""``method="integrated-gradients"``: derivatives on the way from masked to whole.

Sundararajan, Taly, Yan, ICML 2017. Let f̃: [0, 1]ⁿ → R be f with a share of each feature there,
such as embeddings between those of a word and of what stands for it. On the diagonal

    a_i = ∫₀¹ ∂_i f̃(t, …, t) dt,    Σ_i a_i = f̃(1…1) − f̃(0…0),

which is the Aumann–Shapley value of f̃; of the multilinear f̃ it would be the Shapley value (Owen
1972). What is explained is f at masks: f̂(m) = f(1…1) − Σ_i (1 − m_i) a_i stands for it, and
faithfulness is that of f̂ at uniform masks.

It asks f for derivatives, which no design holds, so it is no
:class:`~spexjax.methods.registry.Method`, and ``explain`` alone knows it.
"""

import dataclasses
import json
from typing import Any

import numpy as np
from jaxtyping import Float

from spexjax.codes import gf2
from spexjax.masks import sampling
from spexjax.masks.budget import BudgetError, held_out_size
from spexjax.masks.design import Design
from spexjax.spectra import spectrum
from spexjax.surrogates.fitted import Fit, Standardised
from spexjax.typing import Key

NAME = "integrated-gradients"
_ENDS = 2
_ENOUGH = 256


@dataclasses.dataclass(frozen=True)
class IntegratedGradients:
    """Integrated gradients, of value functions that know their derivatives.

    Those are :class:`~spexjax.typing.Differentiable`: ``models.values.value_function`` and
    ``language_value`` with ``replacement`` "unk" or "mask", or any JAX function of shares, by
    ``sx.values.differentiable``.

    Attributes:
      steps: points on the path, Gauss–Legendre's, as captum takes them. If None, what the budget
        leaves when both ends and the usual share of uniform masks are set aside, and 256 at most.
        All that the budget leaves then are uniform masks, which measure faithfulness.
    """

    steps: int | None = None

    def __post_init__(self) -> None:
        if self.steps is not None and self.steps < 1:
            raise ValueError(f"steps must be at least 1, got {self.steps}.")


def wanted(method: Any) -> IntegratedGradients | None:
    """The configuration, if a name in any case, or the configuration itself, asks for it."""
    if isinstance(method, str) and method.lower() == NAME:
        return IntegratedGradients()
    return method if isinstance(method, IntegratedGradients) else None


def design(config: IntegratedGradients, n: int, budget: int, key: Key) -> tuple[Design, int]:
    """Both ends and uniform masks, all held out; and how many points on the path.

    Raises:
      BudgetError: if there is nothing left for a point; it is a ValueError.
    """
    least = _ENDS + (config.steps or 1)
    if budget < least:
        raise BudgetError(
            f"budget = {budget} is under the {least} calls that both ends and {least - _ENDS} "
            "points on the path between them need."
        )
    left = budget - _ENDS - held_out_size(budget, n)
    steps = config.steps or max(min(left, _ENOUGH), 1)
    made = sampling.sample(key, n, budget - steps, 1, None)
    settings = json.dumps(dataclasses.asdict(config))
    return dataclasses.replace(made, budget=budget, method=NAME, settings=settings), steps


def quadrature(steps: int) -> tuple[Float[np.ndarray, "steps"], Float[np.ndarray, "steps"]]:
    """Points in (0, 1) and weights of the Gauss–Legendre rule: exact to degree 2·steps − 1."""
    points, weights = np.polynomial.legendre.leggauss(steps)
    return (points + 1) / 2, weights / 2


def fit(
    attributions: Float[np.ndarray, "n K"], whole: Float[np.ndarray, "K"], values: Standardised
) -> Fit:
    """f̂(m) = f(1…1) − Σ_i (1 − m_i) a_i, standardised; no mask's value but f(1…1) is used.

    Args:
      attributions: a, float64, in units of f.
      whole: f(1…1), float64.
      values: mean and spread of the values.
    """
    n = len(attributions)
    spread = np.where(values.spread > 0, values.spread, 1.0)
    effects = -attributions / (2 * spread)
    level = (whole - values.level) / spread + effects.sum(axis=0)
    supports = gf2.pack_numpy(np.eye(n + 1, n, -1, dtype=bool), gf2.num_words(n))
    found = spectrum.from_terms(supports, np.concatenate([level[None], effects]).T, n)
    return Fit(found, found)
