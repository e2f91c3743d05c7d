"""Array aliases and the axis names used in every signature of the library.

Axes: ``n`` features, ``W`` words of 32 bits, ``N`` masks, ``K`` outputs, ``S`` terms (capacity
of a spectrum), ``b`` log2 of the bins, ``B`` = 2^b bins, ``C`` groups, ``D`` = p + 1 delays with
``p`` parity bits, ``t`` the number of errors the code corrects.
"""

from typing import Protocol

import jax
import numpy as np
from jaxtyping import Bool, Float, UInt32

Array = jax.Array
ArrayLike = jax.Array | np.ndarray

Masks = Bool[ArrayLike, "N n"]
Packed = UInt32[ArrayLike, "... W"]
Values = Float[ArrayLike, "N"] | Float[ArrayLike, "N K"]
Key = jax.Array


class ValueFunction(Protocol):
    """A model seen from outside: masks in (``True`` keeps an input), one value or K values out."""

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> ArrayLike: ...
