"""What is asked of a trained model: one number per test point."""

from collections.abc import Callable
from typing import Literal, get_args

import jax
from jaxtyping import Float, Int

from spexjax.models.training.training import Loss
from spexjax.models.values import scores
from spexjax.typing import Array

Score = Literal["margin", "log-odds", "loss"]


def score(
    kind: Score, logits: Float[Array, "K classes"], labels: Int[Array, "K"], loss: Loss
) -> Float[Array, "K"]:
    """The scores of test points.

    Args:
      kind: "margin", the right class's logit less the best other one, positive where it is
        predicted; "log-odds", log p − log(1 − p) of the right class; "loss", that of training.
      logits, labels: of the test points.
      loss: of training.
    """
    if kind == "loss":
        return loss(logits, labels)
    one: Callable = scores.margin if kind == "margin" else scores.log_odds
    return jax.vmap(one)(logits, labels)


def check(kind: str) -> None:
    """Raises ``ValueError`` unless there is such a score."""
    if kind not in get_args(Score):
        raise ValueError(f"score must be one of {', '.join(get_args(Score))}, got {kind!r}.")
