"""How much a device is given at once."""

import jax

from spexjax.models.bert.model import Config
from spexjax.models.llama.config import LlamaConfig

# Tokens per device and batch: on CPUs what the caches hold, elsewhere what keeps the device busy.
_TOKENS = {"cpu": 1 << 11}
_TOKENS_ELSEWHERE = 1 << 16
_SHARE_OF_MEMORY = 0.5


def default_rows(config: Config | LlamaConfig, length: int, device: jax.Device) -> int:
    """Masks per device and batch for rows of ``length`` tokens: a power of two, 1 to 512.

    As many as keep the device busy, if half of the memory that it says is free can hold the
    states, the hidden layer and the attention weights of one layer, in float32.
    """
    rows = max(_TOKENS.get(device.platform, _TOKENS_ELSEWHERE) // length, 8)
    memory = device.memory_stats() or {}
    if "bytes_limit" in memory:
        per_token = 4 * (8 * config.dim + 2 * config.hidden_dim + 2 * config.n_heads * length)
        free = memory["bytes_limit"] - memory.get("bytes_in_use", 0)
        rows = min(rows, int(_SHARE_OF_MEMORY * free) // (per_token * length))
    return min(1 << max(rows, 1).bit_length() - 1, 512)
