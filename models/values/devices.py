"""How much the devices are given at once."""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import jax
import jax.numpy as jnp

from spexjax.models.nn.devices import OnDevices

# Tokens per device and batch: on CPUs what the caches hold, elsewhere what keeps the device busy.
_TOKENS = {"cpu": 1 << 11}
_TOKENS_ELSEWHERE = 1 << 16
_SHARE_OF_MEMORY = 0.5
_FEWEST = 8
# Multiplications and additions that a processor does in the time of compiling one more program.
_PROGRAM = 2e11


class Geometry(Protocol):
    """What the memory of a transformer's layer follows from."""

    @property
    def dim(self) -> int:
        """Of the residual stream."""

    @property
    def hidden_dim(self) -> int:
        """Of the layer between."""

    @property
    def n_heads(self) -> int:
        """Of the attention."""


def default_rows(config: Geometry, length: int, devices: Sequence[jax.Device]) -> int:
    """Masks per device and batch for rows of ``length`` tokens: a power of two, 1 to 512.

    As many as keep a device busy, if half of the memory that each says is free can hold the
    states, the hidden layer and the attention weights of one layer, in float32. So the weights
    should be on the devices before it is asked.
    """
    rows = max(_TOKENS.get(devices[0].platform, _TOKENS_ELSEWHERE) // length, 8)
    per_token = 4 * (8 * config.dim + 2 * config.hidden_dim + 2 * config.n_heads * length)
    for device in devices:
        memory = device.memory_stats() or {}
        if "bytes_limit" in memory:
            free = memory["bytes_limit"] - memory.get("bytes_in_use", 0)
            rows = min(rows, int(_SHARE_OF_MEMORY * free) // (per_token * length))
    return min(1 << max(rows, 1).bit_length() - 1, 512)


def rows_for(model: OnDevices, *passes: tuple[Geometry, int], dtype: Any = jnp.float32) -> int:
    """:func:`default_rows` of the pass that needs most: its geometry and its rows' tokens.

    The parameters are put on the devices, as ``dtype`` wants them, before it is asked how much
    memory is free.
    """
    jax.block_until_ready(model.placed_in(dtype))
    return min(default_rows(config, length, model.devices.local) for config, length in passes)


class Batch(NamedTuple):
    """Masks ``start`` to ``stop``, evaluated as ``rows`` per device, padding among them."""

    start: int
    stop: int
    rows: int


def plan(count: int, width: int, rows: int, row_cost: float = 0.0) -> list[Batch]:
    """How many masks each of ``width`` devices gets in each batch.

    Full batches of ``rows`` per device, and one for the rest: so many rows, halved as often as all
    devices together still hold it, that no device works while others have nothing but padding. Not
    under 8, and on one device not under ``rows``: a further program costs more than the padding.
    Unless rows are so long, or the model so large, that a processor has the program compiled before
    it is done with the padding.

    Args:
      count: of masks.
      width: devices.
      rows: per device.
      row_cost: multiplications and additions that a row takes on a CPU; 0 elsewhere.
    """
    full = count // (width * rows)
    batches = [Batch(i * width * rows, (i + 1) * width * rows, rows) for i in range(full)]
    start = full * width * rows
    if start < count:
        least, fits = rows, -(-(count - start) // width)
        while least // 2 >= fits and least > 1:
            least //= 2
        if (rows - least) * row_cost > _PROGRAM:
            rows = least
        while width > 1 and rows // 2 >= max(_FEWEST, fits):
            rows //= 2
        batches.append(Batch(start, count, rows))
    return batches
