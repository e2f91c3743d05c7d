"""Weights of a Llama over several devices of one host, for models larger than one of them.

Tensor parallelism (Shoeybi et al. 2019, Megatron-LM, §3): the products into the heads and into the
gated layer are cut by output columns, those out of them by input rows, so that a device computes
with its heads and its hidden units and one sum over the devices ends each block. Where devices do
not divide the heads of keys and values, these two small products are on every device. The embedding
and the unembedding are cut by vocabulary. Norms are everywhere.

The compiler finds the sums by itself (GSPMD, Xu et al. 2021): ``Llama``, ``unembed`` and what is
built of them run unchanged on parameters placed like this. On the mesh's other axis rows of a batch
are divided.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding
from jax.sharding import PartitionSpec as P

from spexjax.models.llama.config import LlamaConfig
from spexjax.models.llama.model import init_params
from spexjax.models.llama.quantize import Int8Kernel, Int8Table
from spexjax.models.nn.devices import DATA, TENSOR


def device_mesh(tensor: int | None = None, devices: Sequence[jax.Device] | None = None) -> Mesh:
    """Devices in a grid: rows of a batch over ``"data"``, weights over ``"tensor"``.

    Args:
      tensor: devices that share one copy of the weights; all of them if not given.
      devices: this host's if not given.

    Raises:
      ValueError: if ``tensor`` does not divide the number of devices.
    """
    devices = jax.local_devices() if devices is None else list(devices)
    tensor = len(devices) if tensor is None else tensor
    if tensor < 1 or len(devices) % tensor:
        raise ValueError(f"tensor must divide the {len(devices)} devices, got {tensor}.")
    # Auto: the compiler places what is not said.
    types = (AxisType.Auto, AxisType.Auto)
    return Mesh(np.array(devices).reshape(-1, tensor), (DATA, TENSOR), axis_types=types)


def placement(config: LlamaConfig, mesh: Mesh) -> Callable[[tuple[str, ...]], NamedSharding]:
    """Where each parameter is to lie, as ``load_llama(folder, place=…)`` takes it.

    Args:
      config: the geometry.
      mesh: from :func:`device_mesh`.

    Returns:
      A function from a path, such as ("layers", "attention", "query", "kernel"), to a sharding.
    """
    size = mesh.shape[TENSOR]

    def place(path: tuple[str, ...]) -> NamedSharding:
        return NamedSharding(mesh, _spec(config, size, path))

    return place


def param_shardings(config: LlamaConfig, mesh: Mesh) -> dict[str, Any]:
    """:func:`placement` of all parameters, a pytree of the same structure as theirs."""
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    place = placement(config, mesh)
    return jax.tree.map_with_path(lambda path, _: place(_names(path)), shapes)


def shard(params: Mapping[str, Any], config: LlamaConfig, mesh: Mesh) -> dict[str, Any]:
    """Parameters that are in memory already, quantised or not, spread over the mesh.

    Codes lie as the weights that they stand for, and scales with their outputs.
    """
    place = placement(config, mesh)

    def put(path: Any, leaf: Any) -> Any:
        sharding = place(_names(path))
        if not isinstance(leaf, Int8Kernel | Int8Table):
            return jax.device_put(leaf, sharding)
        lead = (None,) * (leaf.codes.ndim - 2)  # of all layers
        first, second = (*sharding.spec, None, None)[len(lead) :][:2]
        specs = {"codes": P(*lead, first, second), "scale": P(*lead, first)}
        if isinstance(leaf, Int8Kernel):
            scale, kept = P(*lead, second), P(*lead, None, second)
            specs |= {"scale": scale, "kept_at": P(), "kept": kept}
        parts = {k: NamedSharding(mesh, spec) for k, spec in specs.items()}
        return type(leaf)(**{k: jax.device_put(getattr(leaf, k), s) for k, s in parts.items()})

    quantised = (Int8Kernel, Int8Table)
    return jax.tree.map_with_path(put, dict(params), is_leaf=lambda x: isinstance(x, quantised))


def _spec(config: LlamaConfig, size: int, path: tuple[str, ...]) -> P:
    """The axes of one parameter that are cut into ``size`` parts."""
    if path[0] == "layers":
        return P(None, *_spec(config, size, path[1:]))
    module, kind = path[-2] if len(path) > 1 else "", path[-1]
    by_vocabulary = TENSOR if config.vocab_size % size == 0 else None
    by_head = TENSOR if config.n_heads % size == 0 else None
    by_kv_head = TENSOR if config.n_kv_heads % size == 0 else None
    by_unit = TENSOR if config.hidden_dim % size == 0 else None
    columns = {
        "query": by_head,
        "key": by_kv_head,
        "value": by_kv_head,
        "gate": by_unit,
        "up": by_unit,
        "unembed": by_vocabulary,
    }
    inputs = {"out": by_head, "down": by_unit}
    if kind == "embedding":
        return P(by_vocabulary, None)
    if kind == "kernel" and module in inputs:
        return P(inputs[module], None)
    if kind == "kernel":
        return P(None, columns[module])
    if kind == "bias":
        return P(columns.get(module))
    return P()


def _names(path: Any) -> tuple[str, ...]:
    return tuple(str(key.key) for key in path)
