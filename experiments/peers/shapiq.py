"""shapiq's SPEX and ProxySPEX as surrogates, on masks that they draw themselves.

shapiq returns indices; what predicts is the Möbius transform that it computes on the way, so that
is taken where it is handed over, and the (slow) conversion to an index is left out and not timed.
"""

import warnings
from importlib.util import find_spec
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from spexjax.experiments.harness.timing import timed
from spexjax.experiments.harness.watched import Watched
from spexjax.typing import ValueFunction


class Surrogate(NamedTuple):
    """f(m) = Σ_{S⊆m} M(S), found in ``seconds`` without the function's own time."""

    members: Bool[np.ndarray, "S n"]
    values: Float[np.ndarray, "S"]
    seconds: float

    def predict(self, masks: Bool[np.ndarray, "N n"]) -> Float[np.ndarray, "N"]:
        """The surrogate at masks."""
        missing = (~masks).astype(np.float32) @ self.members.T.astype(np.float32)
        return (missing == 0) @ self.values


class _Captured(Exception):
    """Carries the Möbius transform out of shapiq."""


def available() -> bool:
    """Whether shapiq is installed (it is not imported)."""
    return find_spec("shapiq") is not None


def surrogate(
    name: Literal["SPEX", "ProxySPEX"],
    f: ValueFunction,
    n: int,
    budget: int,
    seed: int = 0,
) -> Surrogate | None:
    """shapiq's surrogate with its default settings; None where the budget is too small for it.

    Raises:
      ImportError: if shapiq is not installed.
    """
    if not available():
        raise ImportError("shapiq is not installed: pip install shapiq.")
    import shapiq

    class Capturing(getattr(shapiq, name)):  # type: ignore[misc]
        def _process_moebius(self, moebius_transform):
            raise _Captured(moebius_transform)

    def found(g: ValueFunction) -> dict[tuple[int, ...], float] | None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                made = Capturing(n=n, index="FBII", max_order=2, random_state=seed)
                made.approximate(budget, g)
            except _Captured as done:
                return done.args[0]
            except ValueError:
                if watched.asked:
                    raise
                return None  # a budget that is too small is refused before anything is asked
        raise RuntimeError(f"shapiq's {name} makes no Möbius transform any more.")

    watched = Watched(f)
    seconds, moebius = timed(lambda: found(watched))
    if moebius is None:
        return None
    members = np.zeros((len(moebius), n), bool)
    for row, support in zip(members, moebius, strict=True):
        row[list(support)] = True
    values = np.array(list(moebius.values()), float)
    return Surrogate(members, values, seconds - watched.seconds)
