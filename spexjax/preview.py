"""What a run will ask for, before anything is paid."""

from pathlib import Path
from typing import Any, NamedTuple

import jax

from spexjax import integrated
from spexjax.codes import gf2
from spexjax.methods import integrated_gradients
from spexjax.steps import design
from spexjax.store import Store, key_of
from spexjax.values.calling import chunk_size_of

_VALUE_BYTES = 4


class Cost(NamedTuple):
    """What :func:`preview` found."""

    n: int
    masks: int
    """Masks that the method wants values of."""
    stored: int
    """Those that the store already has."""
    chunk_size: int
    memory: int
    """Bytes on the host for masks, values of one output and the matrix that is fitted."""
    gradients: int = 0
    """Points at which the function is asked for its derivatives."""

    @property
    def calls(self) -> int:
        """Masks that the function will be asked for."""
        return self.masks - self.stored

    @property
    def chunks(self) -> int:
        """Calls of the function with up to ``chunk_size`` masks each."""
        return -(-self.calls // self.chunk_size)

    def __str__(self) -> str:
        stored = f"; {self.stored:,} more are in the store" if self.stored else ""
        beside = f" and {self.gradients:,} gradients" if self.gradients else ""
        return (
            f"{self.calls:,} model calls{beside} for {self.n:,} features, up to "
            f"{self.chunk_size:,} at once{stored}; about {_readable(self.memory)} of memory beside "
            "the model"
        )


def preview(
    n: int,
    *,
    budget: int,
    method: Any = "auto",
    target: str | tuple[str, int] | None = None,
    max_order: int = 5,
    seed: int | jax.Array = 0,
    chunk_size: int | None = None,
    store: str | Path | None = None,
    store_key: str | None = None,
    f: Any = None,
) -> Cost:
    """Says what :func:`spexjax.explain` will ask for. No value function is called.

    Args:
      n, budget, method, target, max_order, seed, chunk_size, store, store_key: as for ``explain``;
        a store that does not exist is not made.
      f: the value function, asked for its ``store_key`` and ``chunk_size`` only.

    Raises:
      ValueError: as ``explain``.
    """
    chunk_size = chunk_size_of(f, chunk_size)
    config, gradients = integrated_gradients.wanted(method), 0
    if config is not None and target is None:
        made, gradients = integrated.design(config, n, budget, seed)
    else:
        made = design(
            n, budget=budget, method=method, target=target, max_order=max_order, seed=seed
        )
    packed = made.packed
    stored = 0
    if store is not None:
        name = key_of(f, store_key)
        if Path(store).exists():
            with Store(store, read_only=True) as file:
                if any(entry.key == name for entry in file.functions()):
                    stored = int(file.journal(name, n).known(packed).sum())
    rows, words = packed.shape
    matrix = rows * gf2.WORD * words * (1 + _VALUE_BYTES)
    memory = packed.nbytes + rows * _VALUE_BYTES + min(chunk_size, rows) * n + matrix
    return Cost(n, rows, stored, chunk_size, memory, gradients)


def _readable(size: int) -> str:
    for unit in ("bytes", "kB", "MB"):
        if size < 1000:
            return f"{size:.0f} {unit}"
        size /= 1000  # type: ignore[assignment]
    return f"{size:.1f} GB"
