"""The ``store_key`` of texts under models: all that their values depend on, weights included."""

import hashlib
import weakref
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from typing import Any

import jax
import numpy as np

from spexjax.store.fingerprint import fingerprint

_hashes: "weakref.WeakKeyDictionary[Any, str]" = weakref.WeakKeyDictionary()


def text_store_key(model: Any, description: str, **parts: Any) -> str:
    """The key of one text under one model, for a journal of calls.

    Args:
      model: has ``config``, a dataclass, and ``params``, a nested mapping of arrays; their hash
        is kept for as long as the model lives.
      description: how the function is called in ``spexjax store info``; part of the key too.
      **parts: text, features, scoring and whatever else changes a value: texts, numbers, arrays,
        dataclasses, and lists, tuples and mappings of them.
    """
    if model not in _hashes:
        _hashes[model] = weights_hash(model.params)
    return fingerprint(
        description,
        weights=_hashes[model],
        config=plain(model.config),
        parts={name: plain(part) for name, part in parts.items()},
    )


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
