"""One model over several hosts: process 0 asks, the others evaluate along.

Where the weights do not fit on one host, ``jax.distributed`` joins the hosts into one mesh
(:func:`~spexjax.models.llama.sharding.device_mesh` of ``jax.devices()``), and every process must
run the same programs with the same masks. Only process 0 has a budget and a store.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import numpy as np
from jax.experimental.multihost_utils import broadcast_one_to_all
from jaxtyping import Bool, Float

from spexjax.codes import gf2


@contextmanager
def led(f: Any) -> Iterator[Any]:
    """On process 0 the value function; on the others None, at the end of what process 0 asks.

    All processes enter with the same function, whose model is spread over all of them. Process 0
    runs the body; the others evaluate with it all the while, and have nothing to do in theirs. If
    a process ends before, JAX ends the others; with a store a second run goes on.

    Args:
      f: a value function of whose masks, bool (N, n), the number n is ``f.n``.

    Yields:
      f with its attributes, to be called on process 0 only, or None.
    """
    if jax.process_index() > 0:
        _follow(f)
        yield None
        return
    leader = _Leader(f)
    try:
        yield leader
    finally:
        if not leader.failed:
            broadcast_one_to_all(np.int32(0))


class _Leader:
    """f on process 0: tells the others before it evaluates."""

    def __init__(self, f: Any):
        self.f, self.failed = f, False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.f, name)

    def __call__(self, masks: Bool[np.ndarray, "N n"], /) -> Float[np.ndarray, "N *K"]:
        if len(masks) == 0:  # the others must run what this one does
            return self(np.ones((1, self.f.n), bool))[:0]
        broadcast_one_to_all(np.int32(len(masks)))
        broadcast_one_to_all(gf2.pack_numpy(masks, gf2.num_words(self.f.n)))
        self.failed = True  # what fails here fails on all
        values = self.f(masks)
        self.failed = False
        return values


def _follow(f: Any) -> None:
    width = gf2.num_words(f.n)
    while count := int(broadcast_one_to_all(np.int32(0))):
        packed = np.asarray(broadcast_one_to_all(np.zeros((count, width), np.uint32)))
        f(gf2.unpack_numpy(packed, f.n))
