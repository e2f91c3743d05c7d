"""What goes wrong while a value function is asked, and the values that had come by then."""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt32

from spexjax.typing import ArrayLike


class Kept(NamedTuple):
    """What had been paid for when a run broke off."""

    masks: UInt32[np.ndarray, "done W"]
    values: Float[np.ndarray, "done *K"] | None
    """None if nothing had come."""
    stored: str | None
    """The journal's file that has it, or None."""

    def __str__(self) -> str:
        count = 0 if self.values is None else len(self.values)
        return f"{count} values from before are in {self.stored or 'the exception'}."


class ValueFunctionError(RuntimeError):
    """The value function failed or returned something unusable; what was paid for is kept.

    Attributes:
      chunk: index of the chunk that failed.
      masks: uint32 (done, W), the packed masks whose values had come before.
      values: float32 or float64, (done,) or (done, K), those values; None if there are none.
      failed_masks: uint32 (rows, W), the masks that were asked for.
    """

    def __init__(self, message: str, chunk: int, kept: Kept, failed_masks: np.ndarray):
        super().__init__(f"{message} ({kept})")
        self.chunk, self.masks, self.values = chunk, kept.masks, kept.values
        self.failed_masks = failed_masks


class Interrupted(KeyboardInterrupt):
    """Ctrl-C during a run; ``masks`` and ``values`` hold what was paid for, as in the above."""

    def __init__(self, kept: Kept):
        super().__init__(f"Interrupted; {kept}")
        self.masks, self.values = kept.masks, kept.values


class PartialValues(Exception):
    """Raised by a value function that breaks off with some values in hand, so that they are kept.

    Args:
      values: (rows,) or (rows, K), NaN at the masks without a value.
      cause: why it broke off; a KeyboardInterrupt stops the run as ctrl-C does.
    """

    def __init__(self, values: ArrayLike, cause: BaseException):
        super().__init__(str(cause))
        self.values, self.cause = values, cause
