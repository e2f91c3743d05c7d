"""Hugging Face safetensors folders to Flax parameters and back, by a table of names.

A row of the table joins a stored module (``pre_classifier``) to a path in the parameters. Dense
weights are stored (out, in) and used (in, out); embeddings and norms keep their shape. Every
tensor of the folder must be in the table and every row in the folder, with the shape that the
configuration implies; anything else is an error that names the tensor.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from spexjax.models.bert.families import AnyConfig, from_dict, init_params, rows, to_dict
from spexjax.models.checkpoints.folders import SINGLE, config_json, read_tensors

# Older folders also hold the constant 0, 1, 2, … and call a norm's scale and shift so.
_CONSTANTS = tuple(f"{name}.embeddings.position_ids" for name in ("bert", "distilbert", "roberta"))
# The masked language model's pooler, which no RoBERTa classifier reads.
_UNUSED = ("roberta.pooler.dense.weight", "roberta.pooler.dense.bias")
_OLD_SUFFIXES = {".gamma": ".weight", ".beta": ".bias"}


def params_from_tensors(config: AnyConfig, tensors: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """Flax parameters, float32, from tensors by their stored names.

    Raises:
      ValueError: naming a tensor that is missing, unknown, or of another shape than the
        configuration implies.
    """
    tensors = {_current_name(k): v for k, v in tensors.items()}
    tensors = {k: v for k, v in tensors.items() if k not in (*_CONSTANTS, *_UNUSED)}
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    params: dict[str, Any] = {}
    for name, path, transpose, _ in rows(config):
        if name not in tensors:
            raise ValueError(f"Tensor {name!r} is missing from the weights.")
        value = np.asarray(tensors.pop(name))
        value = value.T if transpose else value
        node, want = params, shapes
        for part in path[:-1]:
            node, want = node.setdefault(part, {}), want[part]
        want = want[path[-1]].shape
        if value.shape != want:
            have, want = (s[::-1] if transpose else s for s in (value.shape, want))
            raise ValueError(f"Tensor {name!r} has shape {have}, the configuration says {want}.")
        node[path[-1]] = np.ascontiguousarray(value, np.float32)
    if tensors:
        raise ValueError(f"Tensor {min(tensors)!r} has no place in a {config.family} classifier.")
    return params


def tensors_from_params(config: AnyConfig, params: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The inverse of :func:`params_from_tensors`."""
    tensors = {}
    for name, path, transpose, _ in rows(config):
        value: Any = params
        for part in path:
            value = value[part]
        tensors[name] = np.ascontiguousarray(np.asarray(value).T if transpose else value)
    return tensors


def read_config(folder: str | Path) -> AnyConfig:
    """The configuration stored in ``folder/config.json``.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if it describes a model that is not supported.
    """
    return from_dict(config_json(folder))


def load(folder: str | Path) -> tuple[AnyConfig, dict[str, Any]]:
    """Configuration and float32 parameters of a Hugging Face folder.

    Raises:
      FileNotFoundError: if ``config.json`` or the weights are not there.
      ValueError: if the model is not supported or a tensor does not fit; it is named.
    """
    config = read_config(folder)
    return config, params_from_tensors(config, read_tensors(folder))


def save(
    folder: str | Path,
    config: AnyConfig,
    params: Mapping[str, Any],
    dtype: np.typing.DTypeLike = np.float32,
) -> None:
    """Writes ``config.json`` and ``model.safetensors``, stored in ``dtype``, into ``folder``."""
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    tensors = {k: v.astype(dtype) for k, v in tensors_from_params(config, params).items()}
    save_file(tensors, folder / SINGLE, metadata={"format": "pt"})
    text = json.dumps(to_dict(config), indent=2)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")


def _current_name(name: str) -> str:
    for old, new in _OLD_SUFFIXES.items():
        if name.endswith(old):
            return name.removesuffix(old) + new
    return name
