"""Names for value functions that differ whenever their values would."""

import hashlib
import json
from collections.abc import Mapping
from typing import Any

import numpy as np


def fingerprint(name: str, **parts: Any) -> str:
    """A ``store_key``: a readable name, then a digest of everything that determines the values.

    Args:
      name: what to call the function in ``spexjax store info``.
      **parts: texts, numbers, None, arrays, and lists and mappings of them.

    Raises:
      TypeError: for anything else, since its text might not tell two functions apart.
    """
    digest = hashlib.sha256()
    _digest(digest, parts)
    return f"{name} [{digest.hexdigest()[:32]}]"


def _digest(into: Any, part: Any) -> None:
    if isinstance(part, Mapping):
        items = sorted((str(k), v) for k, v in part.items())
        into.update(f"map {len(items)};".encode())
        for key, value in items:
            _digest(into, key)
            _digest(into, value)
    elif isinstance(part, list | tuple):
        into.update(f"list {len(part)};".encode())
        for value in part:
            _digest(into, value)
    elif part is None or isinstance(part, str | bool | int | float):
        text = json.dumps(part)
        into.update(f"json {len(text)};{text}".encode())
    elif hasattr(part, "dtype") and hasattr(part, "shape"):
        array = np.ascontiguousarray(part)
        if array.dtype == object:
            raise TypeError("arrays of objects have no fingerprint.")
        into.update(f"array {array.dtype.str} {array.shape};".encode())
        into.update(array.reshape(-1).view(np.uint8).data)
    else:
        raise TypeError(f"{type(part).__name__} has no fingerprint.")
