"""``evaluate``: the values of a function at the masks of a design; the only place that asks it."""

from pathlib import Path

from jaxtyping import Float

from spexjax import values
from spexjax.masks.design import Design
from spexjax.store import Journal, Store, opened
from spexjax.typing import ArrayLike, ValueFunction
from spexjax.values import OnDevice
from spexjax.values.games import unwrapped


def evaluate(
    f: ValueFunction | OnDevice,
    design: Design,
    *,
    chunk_size: int | None = None,
    progress: bool = False,
    store: str | Path | Store | None = None,
    store_key: str | None = None,
) -> Float[ArrayLike, "N *K"]:
    """Asks a value function for all masks of a design, in its order.

    Args:
      f: (rows, n) bool NumPy array to (rows,) or (rows, K) numbers; True keeps an input. A JAX
        function marked by ``spexjax.values.on_device`` gets device arrays instead. Of a
        ``shapiq.Game`` the values before normalisation are asked for.
      design: from :func:`spexjax.design`.
      chunk_size, progress, store, store_key: as in :func:`spexjax.explain`.

    Returns:
      (N,) or (N, K); float32 or float64 as f gave it, on the device if f is.

    Raises:
      ValueFunctionError: if f fails or returns something unusable; it holds what was paid for.
      StoreError: if the store cannot be used, or f has no ``store_key``.
    """
    f, n = unwrapped(f, design.n)
    with opened(store, f, n, store_key) as journal:
        return ask(f, design, chunk_size, progress, journal)


def ask(
    f: ValueFunction | OnDevice,
    design: Design,
    chunk_size: int | None,
    progress: bool,
    journal: Journal | None,
) -> Float[ArrayLike, "N *K"]:
    """:func:`evaluate` with a journal that is open already, or none."""
    return values.evaluate(f, design.packed, design.n, chunk_size, progress, journal)
