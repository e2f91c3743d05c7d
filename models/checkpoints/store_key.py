"""The ``store_key`` of texts under models: all that their values depend on, weights included."""

import hashlib
import re
import weakref
from collections.abc import Mapping
from dataclasses import asdict, dataclass, is_dataclass
from pathlib import Path
from typing import Any

import jax
import numpy as np

from spexjax.store.fingerprint import fingerprint

_hashes: "weakref.WeakKeyDictionary[Any, str]" = weakref.WeakKeyDictionary()


def text_store_key(model: Any, description: str, **parts: Any) -> str:
    """The key of one text under one model, for a journal of calls.

    Args:
      model: has ``config``, a dataclass, and ``params``, a nested mapping of arrays; their hash
        is kept for as long as the model lives. If it has ``read``, a :class:`Read` of these very
        parameters, the hash is that of the files.
      description: how the function is called in ``spexjax store info``; part of the key too.
      **parts: text, features, scoring and whatever else changes a value: texts, numbers, arrays,
        dataclasses, and lists, tuples and mappings of them.
    """
    if model not in _hashes:
        read = getattr(model, "read", None)
        if read is not None and read.params is model.params and read.folder.is_dir():
            _hashes[model] = read.hash()
        else:
            _hashes[model] = weights_hash(model.params)
    return fingerprint(
        description,
        weights=_hashes[model],
        config=plain(model.config),
        parts={name: plain(part) for name, part in parts.items()},
    )


@dataclass(frozen=True, eq=False)
class Read:
    """Parameters as they were read from a folder.

    Attributes:
      params: they.
      folder: holds safetensors files.
      dtype: that they were read as; None for that of the files.
    """

    params: Mapping[str, Any]
    folder: Path
    dtype: Any

    def hash(self) -> str:
        """SHA-256 over the names and contents of the files, and the dtype.

        A file of the hub's cache is called by its contents, and is not read.
        """
        digest = hashlib.sha256(f"read as {self.dtype};".encode())
        for file in sorted(self.folder.glob("*.safetensors")):
            found = file.resolve().name
            if not re.fullmatch("[0-9a-f]{64}", found):
                with file.open("rb") as stored:
                    found = hashlib.file_digest(stored, "sha256").hexdigest()
            digest.update(f"{file.name} {found};".encode())
        return digest.hexdigest()


def weights_hash(params: Mapping[str, Any]) -> str:
    """SHA-256 over all names, dtypes, shapes and bytes of parameters, in order of name.

    Raises:
      ValueError: if a part of them lies on another host.
    """
    digest = hashlib.sha256()
    leaves = jax.tree_util.tree_leaves_with_path(params)
    for path, leaf in sorted(leaves, key=lambda item: jax.tree_util.keystr(item[0])):
        if isinstance(leaf, jax.Array) and not leaf.is_fully_addressable:
            raise ValueError(
                "weights that are spread over several hosts cannot be hashed on one: give a "
                "store_key that names the model and the question."
            )
        array = np.ascontiguousarray(leaf)
        head = f"{jax.tree_util.keystr(path)} {array.dtype} {array.shape};"
        digest.update(head.encode())
        digest.update(array.reshape(-1).view(np.uint8).data)
    return digest.hexdigest()


def plain(part: Any) -> Any:
    """Dataclasses and named tuples as mappings with their class's name, the rest as it is."""
    if is_dataclass(part) and not isinstance(part, type):
        return {"class": type(part).__name__, **{k: plain(v) for k, v in asdict(part).items()}}
    if isinstance(part, tuple) and hasattr(part, "_asdict"):
        return {"class": type(part).__name__, **{k: plain(v) for k, v in part._asdict().items()}}
    if isinstance(part, Mapping):
        return {str(k): plain(v) for k, v in part.items()}
    if isinstance(part, list | tuple):
        return [plain(v) for v in part]
    return part
