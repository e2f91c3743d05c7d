"""Masks over many workers by an engine that exists: Ray, any executor, JAX's own processes."""

from spexjax.models.distributed.on_executor import executor_value
from spexjax.models.distributed.on_ray import ray_value
from spexjax.models.distributed.remote import RemoteValue
from spexjax.models.distributed.scheduling import WorkerError
from spexjax.models.distributed.spmd import led

__all__ = ["RemoteValue", "WorkerError", "executor_value", "led", "ray_value"]
