"""shapiq's SPEX and ProxySPEX as surrogates, on masks that they draw themselves.

shapiq returns indices; what predicts is the Möbius transform that it computes on the way, so that
is taken where it is handed over, and the (slow) conversion to an index is left out and not timed.
"""

import time
import warnings
from collections.abc import Callable
from importlib.util import find_spec
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float


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
    f: Callable[[Bool[np.ndarray, "N n"]], Float[np.ndarray, "N"]],
    n: int,
    budget: int,
    seed: int = 0,
) -> Surrogate | None:
    """shapiq's surrogate with its default settings; None where the budget is too small for it.

    Raises:
      ImportError: if shapiq is not installed.
    """
    if not available():
        raise ImportError("shapiq is not installed: pip install 'spexjax[peers]'.")
    import shapiq

    class Capturing(getattr(shapiq, name)):  # type: ignore[misc]
        def _process_moebius(self, moebius_transform):
            raise _Captured(moebius_transform)

    spent = 0.0

    def timed(masks: np.ndarray) -> np.ndarray:
        nonlocal spent
        start = time.perf_counter()
        values = np.asarray(f(np.asarray(masks).astype(bool)), float)
        spent += time.perf_counter() - start
        return values

    start = time.perf_counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            Capturing(n=n, index="FBII", max_order=2, random_state=seed).approximate(budget, timed)
        except _Captured as done:
            moebius = done.args[0]
        except ValueError as error:
            if "nsufficient budget" in str(error):
                return None
            raise
    seconds = time.perf_counter() - start - spent
    members = np.zeros((len(moebius), n), bool)
    for row, support in zip(members, moebius, strict=True):
        row[list(support)] = True
    return Surrogate(members, np.array(list(moebius.values()), float), seconds)
