"""Array aliases and the axis names used in every signature of the library.

Axes: ``n`` features, ``W`` words of 32 bits, ``N`` masks, ``K`` outputs, ``S`` terms (capacity
of a spectrum), ``b`` log2 of the bins, ``B`` = 2^b bins, ``C`` groups, ``D`` = p + 1 delays with
``p`` parity bits, ``t`` the number of errors the code corrects.
"""

from collections.abc import Generator
from typing import Any, Protocol, runtime_checkable

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


@runtime_checkable
class Streaming(Protocol):
    """A value function of many workers: it gets all masks at once, and answers as they do."""

    def stream(
        self, packed: UInt32[np.ndarray, "N W"], n: int, chunk_size: int | None
    ) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
        """Places among the N masks, int64 (rows,), with their values, (rows,) or (rows, K).

        Every place comes once, in any order. What was paid for is given before an error is raised.
        Closing the generator stops the work.

        Args:
          packed: the masks.
          n: number of features.
          chunk_size: masks per call of the model at most; None for the function's own choice.
        """
        ...


@runtime_checkable
class Differentiable(Protocol):
    """A value function that is known between masks, and its derivatives: see
    :mod:`spexjax.methods.integrated_gradients`."""

    def value_and_gradient(
        self, shares: Float[np.ndarray, "N n"], /
    ) -> tuple[Float[np.ndarray, "N *K"], Float[np.ndarray, "N n *K"]]:
        """Values where so much of each feature is there, and what they change by with each share.

        Args:
          shares: float32, from 0 to 1.
        """
        ...


class Errors(Protocol):
    """What knows the errors of an interaction index: see ``spexjax.inference``."""

    def __call__(
        self,
        name: str,
        max_order: int,
        sets: UInt32[np.ndarray, "L W"],
        values: Float[np.ndarray, "L"],
        /,
    ) -> Any:
        """The ``Estimates`` of an index, by its name and order, on packed sets."""
        ...

    def stands(
        self, sets: UInt32[np.ndarray, "L W"], fdr: float, /
    ) -> Bool[np.ndarray, "L"] | None:
        """Which packed sets stand at a false discovery rate; None where nothing could be tested."""
        ...


class Explained(Protocol):
    """What pictures, pages and conversions read of an explanation.

    ``spectrum`` (with ``to_dict()``) and ``interactions(…)`` are of rooms above this one: a
    ``Spectrum`` and ``Interactions``.
    """

    @property
    def spectrum(self) -> Any: ...
    @property
    def n(self) -> int: ...
    @property
    def method(self) -> str: ...
    @property
    def calls(self) -> int: ...
    @property
    def full(self) -> Any: ...
    @property
    def empty(self) -> Any: ...
    @property
    def level(self) -> Any: ...
    @property
    def faithfulness(self) -> Any: ...
    @property
    def faithfulness_interval(self) -> tuple[Any, Any]: ...
    @property
    def features(self) -> tuple[str, ...]: ...
    @property
    def budget(self) -> int: ...
    @property
    def seed(self) -> int | tuple[int, ...]: ...
    @property
    def max_order(self) -> int: ...
    @property
    def num_outputs(self) -> int | None: ...
    @property
    def evidence(self) -> Any: ...
    @property
    def target(self) -> Any: ...
    @property
    def passage(self) -> Any: ...
    @property
    def data(self) -> Any: ...

    def predict(self, masks: Bool[ArrayLike, "N n"]) -> Any: ...

    def interactions(self, index: str = "FBII", max_order: int | None = None) -> Any: ...

    def __getitem__(self, output: int, /) -> "Explained": ...
