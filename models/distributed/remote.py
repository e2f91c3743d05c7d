"""A value function whose model lives in workers; made by ``ray_value`` and ``executor_value``."""

import dataclasses
from collections.abc import Generator, Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt32

from spexjax import values
from spexjax.codes import gf2
from spexjax.models.distributed.scheduling import Slot, answers, size_of_chunks
from spexjax.models.distributed.worker import About


@dataclasses.dataclass(frozen=True, eq=False)
class RemoteValue:
    """f(m), asked of many workers at once; ``sx.explain`` takes it as any value function.

    ``explain`` keeps the budget and the store, and every chunk is in the store as soon as a
    worker has answered. Its ``chunk_size`` is the number of masks that a worker gets at a time; if
    None every worker is to have eight chunks, none smaller than a batch of the model.

    Attributes:
      slots: whom to ask.
      workers: how many work on chunks at once.
      about: what the function says of itself.
      lost: errors that mean that a worker is gone, so that another one is asked.
    """

    slots: Sequence[Slot]
    workers: int
    about: About
    lost: tuple[type[BaseException], ...] = ()

    @property
    def n(self) -> int | None:
        """The number of features, if the function knows it."""
        return self.about.n

    @property
    def words(self) -> tuple[str, ...] | None:
        """The features' names, if it has some."""
        return self.about.words

    @property
    def description(self) -> str | None:
        """What the function is, in words, if it says so."""
        return self.about.description

    @property
    def store_key(self) -> str | None:
        """The function's own, if it has one."""
        return self.about.store_key

    def stream(
        self, packed: UInt32[np.ndarray, "N W"], n: int, chunk_size: int | None = None
    ) -> Generator[tuple[np.ndarray, np.ndarray], None, None]:
        """Places and values as workers give them; see :class:`~spexjax.typing.Streaming`.

        Raises:
          WorkerError: if the function fails, or no worker is left.
        """
        about = self.about
        size = size_of_chunks(
            len(packed), self.workers, chunk_size, about.chunk_size, about.batch_size
        )
        return answers(self.slots, packed, n, size, about.store_key, self.lost)

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> Float[np.ndarray, "N *K"]:
        """Values, (N,) or (N, K), of masks, bool, (N, n); True keeps a feature.

        Raises:
          ValueFunctionError: if not all values could be had; it holds those that came.
        """
        packed = gf2.pack_numpy(np.asarray(masks, bool), gf2.num_words(masks.shape[1]))
        return np.asarray(values.evaluate(self, packed, masks.shape[1]))
