"""The devices on which batches are evaluated: copies of the weights, or one copy spread over all.

What a program needs beside its masks is put on the devices once and stays there; masks travel,
values come back.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding
from jax.sharding import PartitionSpec as P
from jaxtyping import Shaped

from spexjax.compiling import QUICKLY
from spexjax.typing import Array, ArrayLike

DATA, TENSOR = "data", "tensor"


@dataclass(frozen=True)
class Devices:
    """Some devices and how they share the work.

    Attributes:
      mesh: they, on the axes ``"data"``, over which rows are divided, and ``"tensor"``.
      sharded: whether weights are divided along ``"tensor"``; else each device has all of them.
    """

    mesh: Mesh
    sharded: bool = False

    @staticmethod
    def here(mesh: Mesh | None = None) -> "Devices":
        """Those of a mesh over which weights are spread; without one, all of this process, each
        with a copy.
        """
        if mesh is not None:
            return Devices(mesh, sharded=True)
        return Devices(Mesh(np.array(jax.local_devices()).reshape(-1, 1), (DATA, TENSOR)))

    @property
    def data_width(self) -> int:
        """Among how many the rows of a batch are divided."""
        return self.mesh.shape[DATA]

    @property
    def local(self) -> Sequence[jax.Device]:
        """Those that this process sees."""
        return self.mesh.local_devices

    def put(self, tree: Any) -> Any:
        """Arrays on all devices; one that a device holds already is not copied there again.

        Arrays that are spread over these devices stay as they lie.
        """
        everywhere = NamedSharding(self.mesh, P())

        def one(leaf: ArrayLike) -> Array:
            if self.sharded and isinstance(leaf, jax.Array) and len(leaf.sharding.device_set) > 1:
                return leaf
            return _sent(leaf, everywhere)

        return jax.tree.map(one, tree)

    def put_rows(self, masks: Shaped[np.ndarray, "width rows n"]) -> Array:
        """A batch of masks, the first axis divided among the devices."""
        return _sent(masks, NamedSharding(self.mesh, P(DATA)))

    def fetch(self, values: ArrayLike) -> np.ndarray:
        """Values on the host; where a mesh spans several processes, all of them on each."""
        if isinstance(values, jax.Array) and not values.is_fully_addressable:
            if values.is_fully_replicated:
                return np.asarray(values.addressable_data(0))
            from jax.experimental import multihost_utils

            return np.asarray(multihost_utils.process_allgather(values, tiled=True))
        return np.asarray(jax.device_get(values))

    def compile(self, run: Callable[..., Array]) -> Callable[..., Array]:
        """A program over all devices.

        Args:
          run: (static, *shared, masks (rows, n)) to (rows,) or (rows, K).

        Returns:
          (static, shared, masks (width, rows, n)) to (width, rows) or (width, rows, K): ``shared``
          is a tuple of what :meth:`put` gave, ``masks`` are from :meth:`put_rows`.
        """
        if self.sharded:
            return self._on_mesh(run)

        def each(static: Any, shared: tuple, masks: Array) -> Array:
            return run(static, *shared, masks)

        return jax.pmap(
            each, in_axes=(None, None, 0), static_broadcasted_argnums=0, devices=self.local
        )

    def compile_once(self, run: Callable[..., Any]) -> Callable[..., Any]:
        """A program of what is on all devices that gives all of them the same."""
        out = None if self.sharded else NamedSharding(self.mesh, P())
        return jax.jit(run, out_shardings=out, compiler_options=QUICKLY)

    def _on_mesh(self, run: Callable[..., Array]) -> Callable[..., Array]:
        by_rows = NamedSharding(self.mesh, P(DATA))

        @partial(jax.jit, static_argnums=0, out_shardings=by_rows)
        def whole(static: Any, shared: tuple, masks: Array) -> Array:
            flat = jax.lax.with_sharding_constraint(masks.reshape(-1, masks.shape[-1]), by_rows)
            values = run(static, *shared, flat)
            return values.reshape(*masks.shape[:2], *values.shape[1:])

        return whole


def _sent(leaf: ArrayLike, sharding: NamedSharding) -> Array:
    if sharding.is_fully_addressable:
        return jax.device_put(leaf, sharding)
    host = np.asarray(leaf)
    return jax.make_array_from_callback(host.shape, sharding, lambda place: host[place])


def _rounded(params: Any, dtype: Any) -> Any:
    """Wider floats in ``dtype``; what knows itself how to multiply stays as it is."""

    def one(leaf: Any) -> Any:
        known = hasattr(leaf, "product") or hasattr(leaf, "rows")
        if known or not jnp.issubdtype(leaf.dtype, jnp.floating):
            return leaf
        return jnp.asarray(leaf, dtype) if leaf.dtype.itemsize > dtype.itemsize else leaf

    return jax.tree.map(one, params, is_leaf=lambda x: hasattr(x, "product") or hasattr(x, "rows"))


class OnDevices:
    """A model that puts its parameters on the devices once, when they are first needed.

    Attributes:
      params: parameters, a nested mapping.
    """

    params: Mapping[str, Any]

    @cached_property
    def devices(self) -> Devices:
        """All local ones."""
        return Devices.here()

    @property
    def placed(self) -> Mapping[str, Any]:
        """The parameters on the devices."""
        return self.placed_in(jnp.float32)

    def placed_in(self, dtype: Any) -> Mapping[str, Any]:
        """The parameters on the devices, wider floats rounded to ``dtype``: once, not per batch.

        Narrower ones stay, since they are as exact as they are; so do quantised ones.
        """
        kind = jnp.dtype(dtype)
        if kind not in self._rounded:
            self._rounded[kind] = self.devices.put(_rounded(self.params, kind))
        return self._rounded[kind]

    @cached_property
    def _rounded(self) -> dict[Any, Mapping[str, Any]]:
        return {}
