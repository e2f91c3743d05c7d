"""Numbers with their errors: what :class:`Estimates` holds, and how it is read."""

import dataclasses
from collections.abc import Callable
from functools import cached_property
from typing import Literal

import numpy as np
from jaxtyping import Float

Method = Literal["auto", "normal", "bootstrap"]
_RESAMPLES = 999
_STREAM = 15  # of the seeds that resampling draws from
_BOOTSTRAPPED = 2048  # numbers at most; the table of draws would not fit
# Kurtosis per unit from which the distribution of a mean is not normal enough
# (``python -m spexjax.experiments errors``).
HEAVY = 0.02


@dataclasses.dataclass(frozen=True, eq=False)
class Estimates:
    """Estimates of numbers about f, from units of evidence that are independent.

    Attributes:
      estimate: float64 (L,), unbiased.
      standard_error: float64 (L,). Its square estimates the variance of ``estimate``.
      units: how many independent units there were; NaN and 0 stand for no evidence.
      heavy: whether the units' tails are too heavy for normal intervals.
      draws: gives what the estimates are means of, float (units, L), and what is added to them.
      estimand: what the numbers are of.
    """

    estimate: Float[np.ndarray, "L"]
    standard_error: Float[np.ndarray, "L"]
    units: int
    heavy: bool = False
    draws: Callable[[], Float[np.ndarray, "units L"]] | None = None
    estimand: str = ""

    def __len__(self) -> int:
        return len(self.estimate)

    @cached_property
    def p_value(self) -> Float[np.ndarray, "L"]:
        """Of the hypothesis that the number is 0, two-sided, by Student's t with units − 1.

        Valid for a set that was named in advance; see
        :func:`spexjax.inference.discover` for sets that were found.
        """
        from scipy.special import stdtr  # here, because importing it takes a fifth of a second

        with np.errstate(divide="ignore", invalid="ignore"):
            ratio = np.abs(self.estimate) / self.standard_error
        ratio = np.where(self.standard_error == 0, np.where(self.estimate == 0, 0, np.inf), ratio)
        return 2 * stdtr(max(self.units - 1, 1), -ratio)

    def interval(
        self, level: float = 0.95, method: Method = "auto"
    ) -> tuple[Float[np.ndarray, "L"], Float[np.ndarray, "L"]]:
        """Lower and upper ends, float64 (L,) each.

        Args:
          level: the nominal coverage of each by itself, not of all together.
          method: "normal" is estimate ± Student's quantile × standard error; "bootstrap" the
            studentised bootstrap over units (Efron, Tibshirani 1993, section 12.5), made to hold
            the normal one; "auto" the latter where tails are heavy.

        Raises:
          ValueError: if the level is not between 0 and 1, or the method unknown.
        """
        if not 0 < level < 1:
            raise ValueError(f"level must be between 0 and 1, got {level}.")
        if method not in ("auto", "normal", "bootstrap"):
            raise ValueError(f"method must be 'auto', 'normal' or 'bootstrap', got {method!r}.")
        from scipy.special import stdtrit

        half = stdtrit(max(self.units - 1, 1), (1 + level) / 2) * self.standard_error
        low, high = self.estimate - half, self.estimate + half
        wanted = method == "bootstrap" or (method == "auto" and self.heavy)
        if not wanted or self.draws is None or not 0 < len(self) <= _BOOTSTRAPPED:
            return low, high
        below, above = self._studentised(level)
        return np.minimum(low, below), np.maximum(high, above)

    def _studentised(self, level: float) -> tuple[np.ndarray, np.ndarray]:
        z = np.asarray(self.draws(), np.float32)  # type: ignore[misc]
        z = z - z.mean(axis=0)
        scale = np.abs(z).max(axis=0)
        z = z / np.where(scale > 0, scale, 1.0)
        U = len(z)
        rng = np.random.default_rng(_STREAM)
        counts = rng.multinomial(U, np.full(U, 1 / U), _RESAMPLES).astype(np.float32)
        mean, square = counts @ z / U, counts @ z**2 / U
        own = np.sqrt(np.mean(z**2, axis=0))
        # A resample that missed what is rare must not divide by nothing.
        spread = np.sqrt(np.maximum(square - mean**2, (0.1 * own) ** 2))
        ratio = mean / np.where(spread > 0, spread, 1.0) * np.sqrt(U)
        tails = np.quantile(ratio, [(1 + level) / 2, (1 - level) / 2], axis=0)
        return self.estimate - tails[0] * self.standard_error, (
            self.estimate - tails[1] * self.standard_error
        )


def unknown(count: int, estimand: str = "") -> Estimates:
    """Where there is no evidence: NaN."""
    return Estimates(np.full(count, np.nan), np.full(count, np.nan), 0, estimand=estimand)


def certain(values: Float[np.ndarray, "L"], estimand: str = "") -> Estimates:
    """Where all masks were asked for: errors of 0."""
    return Estimates(np.asarray(values, float), np.zeros(len(values)), 0, estimand=estimand)
