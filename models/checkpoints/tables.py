"""Stored tensors to parameters by a table of names, and back, for models of any size.

Files are memory-mapped and read one parameter at a time, which is converted and placed before the
next is touched: beside the parameters themselves the host holds one of them, if need be of all
layers, and a slab of a file.
Of a tensor that is spread over devices, also those of several hosts, each host reads what its own
devices hold.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from spexjax.models.checkpoints.folders import INDEX, SINGLE, Row, read_json

Place = Callable[[tuple[str, ...]], jax.sharding.Sharding | None]
"""From the path of a parameter to where it is to lie; None for the default device."""

_SLAB_BYTES = 1 << 24
_TILE = 64  # rows that are turned at once: what they are read from and written to stays in a cache
_ALIGNED = 64  # bytes: arrays that begin so are taken over by the CPU's devices, not copied


class Names(NamedTuple):
    """How the tensors of a folder are called.

    Attributes:
      rows: the table of names, one row per tensor that is used.
      what: the kind of model, for errors.
      unused: whether a tensor that is in no row may be there all the same.
      current: a stored name as the table has it; older folders have others.
    """

    rows: Iterable[Row]
    what: str
    unused: Callable[[str], bool] = lambda name: False
    current: Callable[[str], str] = lambda name: name


def load(
    folder: str | Path, names: Names, shapes: Mapping[str, Any], dtype: Any, place: Place | None
) -> dict[str, Any]:
    """The parameters of a folder.

    Args:
      folder: holds ``model.safetensors``, or shards and their index.
      names: the table of names.
      shapes: of the parameters, nested as they are.
      dtype: of the parameters; None keeps each as it is stored.
      place: where parameters are to lie, for models larger than one device; the default device if
        not given.

    Raises:
      FileNotFoundError: if the weights are not there.
      ValueError: if a tensor is missing, unknown or of another shape than the configuration
        implies; it is named.
    """
    dtype = None if dtype is None else jnp.dtype(dtype)
    where = {names.current(k): (file, k) for k, file in _files(Path(folder)).items()}
    table = {row.name: row for row in names.rows}
    for name in table:
        if name not in where:
            raise ValueError(f"Tensor {name!r} is missing from the weights.")
    unknown = [k for k in where if k not in table and not names.unused(k)]
    if unknown:
        raise ValueError(f"Tensor {min(unknown)!r} has no place in a {names.what} model.")
    params: dict[str, Any] = {}
    held: dict[tuple[str, ...], list[tuple[Path, Row]]] = {}
    for name, row in table.items():
        file, stored = where[name]
        held.setdefault(row.path, []).append((file, row._replace(name=stored)))
    for path, tensors in held.items():
        node, want = params, shapes
        for key in path[:-1]:
            node, want = node.setdefault(key, {}), want[key]
        shape = want[path[-1]].shape
        sharding = None if place is None else place(path)
        part = partial(_read if tensors[0][1].layer is None else _stacked, tensors, shape, dtype)
        value = (
            jax.device_put(part((slice(None),) * len(shape)))
            if sharding is None
            else jax.make_array_from_callback(shape, sharding, part)
        )
        node[path[-1]] = value.block_until_ready()  # so that no two tensors are in flight
    return params


def save(
    folder: str | Path,
    rows: Iterable[Row],
    params: Mapping[str, Any],
    raw: Mapping[str, Any],
    dtype: Any = None,
    shard_bytes: int | None = None,
) -> None:
    """Writes ``config.json`` and the weights.

    Args:
      folder: made if it is not there.
      rows: the table of names.
      params: arrays, not quantised.
      raw: the contents of ``config.json``.
      dtype: to store in; None keeps each as it is.
      shard_bytes: begins a new file when one would grow beyond this; one file if not given.
    """
    from safetensors.numpy import save_file

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    shards: list[dict[str, np.ndarray]] = [{}]
    for row in rows:
        value: Any = params
        for part in row.path:
            value = value[part]
        value = value if row.layer is None else value[row.layer]
        value = np.asarray(value).T if row.transpose else np.asarray(value)
        value = np.ascontiguousarray(value, value.dtype if dtype is None else dtype)
        held = sum(v.nbytes for v in shards[-1].values())
        if shard_bytes is not None and shards[-1] and held + value.nbytes > shard_bytes:
            shards.append({})
        shards[-1][row.name] = value
    names = [SINGLE]
    if len(shards) > 1:
        count = len(shards)
        names = [f"model-{i + 1:05}-of-{count:05}.safetensors" for i in range(count)]
        where = {k: name for name, part in zip(names, shards, strict=True) for k in part}
        total = sum(v.nbytes for part in shards for v in part.values())
        write_json(folder / INDEX, {"metadata": {"total_size": total}, "weight_map": where})
    for name, tensors in zip(names, shards, strict=True):
        save_file(tensors, folder / name, metadata={"format": "pt"})
    stored = str(next(iter(shards[0].values())).dtype)
    write_json(folder / "config.json", {**raw, "torch_dtype": stored})


def write_json(path: Path, raw: Mapping[str, Any]) -> None:
    """A JSON object into a file, indented."""
    path.write_text(json.dumps(raw, indent=2) + "\n", encoding="utf-8")


def _stacked(
    tensors: Sequence[tuple[Path, Row]],
    shape: tuple[int, ...],
    dtype: Any,
    place: tuple[slice, ...],
) -> np.ndarray:
    """A part of a parameter of all layers, whose tensors are stored one by one, in order."""
    value: np.ndarray | None = None
    chosen = tensors[place[0]]
    for i, one in enumerate(chosen):
        part = _read([one], shape[1:], dtype, place[1:])
        if value is None:
            value = _empty((len(chosen), *part.shape), part.dtype)
        if part.dtype != value.dtype:
            raise ValueError(f"Tensor {one[1].name!r} is {part.dtype}, others are {value.dtype}.")
        value[i] = part
    assert value is not None  # there is at least one layer
    return value


def _read(
    tensors: Sequence[tuple[Path, Row]],
    shape: tuple[int, ...],
    dtype: Any,
    place: tuple[slice, ...],
) -> np.ndarray:
    """A part of a parameter, from the bytes of the file that hold it.

    Args:
      tensors: the file and the row of the one where the whole is stored.
      shape: of the parameter.
      dtype: of the result; as it is stored if None.
      place: which part of the parameter.
    """
    from safetensors import safe_open

    ((file, row),) = tensors
    if not shape:
        with safe_open(file, "numpy") as stored:
            one = stored.get_tensor(row.name)
        if one.shape:
            raise ValueError(
                f"Tensor {row.name!r} has shape {list(one.shape)}, not that of a number."
            )
        return one if dtype is None else one.astype(dtype)
    turned = slice(None, None, -1 if row.transpose else 1)
    shape, place = shape[turned], place[turned]  # as they are stored
    bounds = [one.indices(size)[:2] for one, size in zip(place, shape, strict=True)]
    (start, end), rest = bounds[0], tuple(slice(*bound) for bound in bounds[1:])
    lengths = tuple(stop - first for first, stop in bounds)
    step = max(_SLAB_BYTES // (4 * math.prod(lengths[1:])), 1)
    value: np.ndarray | None = None
    for at in range(start, end, step):
        # What was read of a mapped file counts as the process's memory until it is closed.
        with safe_open(file, "numpy") as stored:
            whole = stored.get_slice(row.name)
            if (have := tuple(whole.get_shape())) != shape:
                raise ValueError(
                    f"Tensor {row.name!r} has shape {have}, the configuration says {shape}."
                )
            slab = whole[(slice(at, min(at + step, end)), *rest)]
        if value is None:
            value = _empty(lengths[turned], slab.dtype if dtype is None else dtype)
        first = at - start
        rows = _TILE if row.transpose else len(slab)
        for tile in range(0, len(slab), rows):
            part = slab[tile : tile + rows]
            into = slice(first + tile, first + tile + len(part))
            (value.T if row.transpose else value)[into] = part
    assert value is not None  # no parameter is empty
    return value


def _empty(shape: tuple[int, ...], dtype: Any) -> np.ndarray:
    size = math.prod(shape) * np.dtype(dtype).itemsize
    raw = np.empty(size + _ALIGNED, np.uint8)
    start = -raw.ctypes.data % _ALIGNED
    return raw[start : start + size].view(dtype).reshape(shape)


def _files(folder: Path) -> dict[str, Path]:
    """Which file holds each tensor."""
    from safetensors import SafetensorError, safe_open

    single = folder / SINGLE
    if single.is_file():
        files = [single]
    elif (folder / INDEX).is_file():
        listed = read_json(folder / INDEX).get("weight_map", {})
        files = [folder / name for name in sorted(set(listed.values()))]
    else:
        raise FileNotFoundError(f"No {SINGLE} (nor {INDEX}) in {str(folder)!r}.")
    where: dict[str, Path] = {}
    for file in files:
        if not file.is_file():
            raise FileNotFoundError(f"{INDEX} lists {file.name}, which is not in {str(folder)!r}.")
        try:
            with safe_open(file, "numpy") as stored:
                where |= dict.fromkeys(stored.keys(), file)
        except SafetensorError as error:
            raise ValueError(f"{str(file)!r} is not a safetensors file: {error}.") from error
    return where
