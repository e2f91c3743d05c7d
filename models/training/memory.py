"""How many models are trained at once."""

from collections.abc import Iterator, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.extend import core

from spexjax.models.training.training import Recipe, objective

# Bytes of the models that a device trains at once: on CPUs what the caches hold, elsewhere what
# keeps the device busy (``python -m spexjax.experiments retraining --rows …``).
_BYTES = {"cpu": 1 << 21}
_BYTES_ELSEWHERE = 1 << 33
_SHARE_OF_MEMORY = 0.5
_MOST = 4096


def models_at_once(
    recipe: Recipe, x: jax.ShapeDtypeStruct, y: jax.ShapeDtypeStruct, devices: Sequence[jax.Device]
) -> int:
    """Models per device that are trained together: a power of two, 1 to 4 096.

    Args:
      recipe: how.
      x, y: shapes of all training points and their labels.
      devices: of which each must hold so many.
    """
    allowed = float(_BYTES.get(devices[0].platform, _BYTES_ELSEWHERE))
    for device in devices:
        memory = device.memory_stats() or {}
        if "bytes_limit" in memory:
            free = memory["bytes_limit"] - memory.get("bytes_in_use", 0)
            allowed = min(allowed, _SHARE_OF_MEMORY * free)
    models = max(int(allowed / bytes_of_a_model(recipe, x, y)), 1)
    return min(1 << models.bit_length() - 1, _MOST)


def bytes_of_a_model(recipe: Recipe, x: jax.ShapeDtypeStruct, y: jax.ShapeDtypeStruct) -> int:
    """The state of its optimizer, and all that one step computes, as if nothing were reused."""
    rows = len(x) if recipe.batch is None else recipe.batch
    xb, yb = (jax.ShapeDtypeStruct((rows, *a.shape[1:]), a.dtype) for a in (x, y))
    params = jax.eval_shape(recipe.init, jax.random.key(0))
    state = jax.eval_shape(recipe.optimizer.init, params)
    weights = jax.ShapeDtypeStruct((rows,), jnp.float32)

    def slope(params: Any, x: Any, y: Any, weights: Any) -> Any:
        return jax.grad(lambda p: objective(recipe, p, x, y, weights))(params)

    traced = jax.make_jaxpr(slope)(params, xb, yb, weights)
    computed = sum(map(_bytes, _values(traced.jaxpr)))
    return computed + 2 * sum(map(_bytes, jax.tree.leaves((params, state))))


def _values(jaxpr: core.Jaxpr) -> Iterator[Any]:
    """What every equation gives, those inside others too."""
    for equation in jaxpr.eqns:
        inside = [p for p in equation.params.values() if isinstance(p, core.ClosedJaxpr)]
        for closed in inside:
            yield from _values(closed.jaxpr)
        if not inside:
            yield from (v.aval for v in equation.outvars)


def _bytes(array: Any) -> int:
    return int(np.prod(array.shape, dtype=np.int64)) * array.dtype.itemsize
