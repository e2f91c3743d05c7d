"""The number of inputs of a value function that knows it, and games of shapiq as value functions.

A game of shapiq has ``n_players`` and takes masks as a value function does, but returns values
less its ``normalization_value``, as a rule f(0…0). Explanations are of the function itself, so
the value is added again: ``e.full`` and ``e.empty`` are what the model says. shapiq is not needed
to recognise a game.
"""

import dataclasses
import numbers
from typing import Any

import numpy as np
from jaxtyping import Bool

from spexjax.typing import ArrayLike


@dataclasses.dataclass(frozen=True, eq=False)
class Played:
    """A game as a value function. Imputers may return numbers as objects: here they are float64.

    Attributes:
      game: what is asked.
      added: what is added to its values.
    """

    game: Any
    added: float = 0.0

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> ArrayLike:
        values = np.asarray(self.game(masks))
        if np.iscomplexobj(values):  # as float64 they would lose their imaginary parts
            raise ValueError("a game must return real numbers, got complex ones.")
        return values.astype(np.float64) + self.added


def is_game(f: Any) -> bool:
    """Whether f is a ``shapiq.Game`` or behaves like one."""
    return callable(f) and hasattr(f, "n_players") and hasattr(f, "normalization_value")


def unwrapped(f: Any, n: int | None) -> tuple[Any, int]:
    """The value function that f stands for, and its number of inputs.

    Args:
      f: a value function, or a game.
      n: the number of inputs; ``f.n_players`` or ``f.n`` if None.

    Raises:
      ValueError: if n is None and f has no such number, or a game has another one.
    """
    own = getattr(f, "n_players", None) if is_game(f) else getattr(f, "n", None)
    if n is None:
        if not isinstance(own, numbers.Integral) or isinstance(own, bool):
            raise ValueError("n must be given: f has no number of inputs (n, or n_players).")
        n = int(own)
    if not is_game(f):
        return f, n
    if n != own:
        raise ValueError(f"n must be the game's n_players = {own}, got {n}.")
    return Played(f, float(f.normalization_value)), n
