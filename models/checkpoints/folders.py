"""Hugging Face folders: their JSON, and their safetensors in one file or in shards."""

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

SINGLE, INDEX = "model.safetensors", "model.safetensors.index.json"


class Row(NamedTuple):
    """A stored tensor: its name, its place in the parameters, whether it is transposed.

    Where the parameters of all layers are one array, ``layer`` is its place on the first axis.
    """

    name: str
    path: tuple[str, ...]
    transpose: bool
    layer: int | None = None


def config_json(folder: str | Path) -> dict[str, Any]:
    """The contents of ``folder/config.json``.

    Raises:
      FileNotFoundError: if there is none.
      ValueError: if it does not hold a JSON object.
    """
    path = Path(folder) / "config.json"
    if not path.is_file():
        raise FileNotFoundError(f"No config.json in {str(folder)!r}.")
    return read_json(path)


def read_tensors(folder: str | Path) -> dict[str, np.ndarray]:
    """All tensors of ``model.safetensors``, or of the shards its index lists.

    Raises:
      FileNotFoundError: if the folder has neither, or lacks a shard.
      ValueError: if a shard and the index disagree on a tensor.
    """
    folder = Path(folder)
    if (folder / SINGLE).is_file():
        return _read_file(folder / SINGLE)
    if not (folder / INDEX).is_file():
        raise FileNotFoundError(f"No {SINGLE} (nor {INDEX}) in {str(folder)!r}.")
    where = read_json(folder / INDEX).get("weight_map", {})
    tensors: dict[str, np.ndarray] = {}
    for shard in sorted(set(where.values())):
        if not (folder / shard).is_file():
            raise FileNotFoundError(f"{INDEX} lists {shard}, which is not in {str(folder)!r}.")
        held = _read_file(folder / shard)
        listed = {name for name, file in where.items() if file == shard}
        if held.keys() != listed:
            name = min(held.keys() ^ listed)
            raise ValueError(f"Tensor {name!r}: {shard} and {INDEX} disagree on where it is.")
        tensors |= held
    return tensors


def _read_file(path: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(path)
    except SafetensorError as error:
        raise ValueError(f"{str(path)!r} is not a safetensors file: {error}.") from error


def read_json(path: Path) -> dict[str, Any]:
    """The JSON object in a file.

    Raises:
      ValueError: if it holds something else.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ValueError(f"{str(path)!r} is not JSON: {error}.") from error
    if not isinstance(raw, dict):
        raise ValueError(f"{str(path)!r} does not hold a JSON object.")
    return raw
