"""Compiling what a fit will run while the function that it explains is at work.

Shapes follow from the design, so nothing need wait for values. A program that is needed before it
is ready is waited for, not compiled twice: JAX sees to that.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import jax

from spexjax.masks.design import Design
from spexjax.methods import registry
from spexjax.steps import seed_key

_WORKERS = 2
# Set for one thread alone they make other programs, which would be compiled for nothing.
_SETTINGS = (
    "jax_enable_x64", "jax_numpy_dtype_promotion", "jax_numpy_rank_promotion",
    "jax_default_matmul_precision", "jax_default_device", "jax_debug_nans", "jax_disable_jit",
)  # fmt: skip
_started: set[tuple] = set()


@contextmanager
def compiling(design: Design) -> Iterator[None]:
    """Compiles the programs of the design's fit in the background, until the block is left."""
    programs = registry.METHODS[design.method].programs
    coded = design.coded
    shapes = (
        design.method, design.settings, design.max_order, design.packed.shape,
        int(design.held_out.sum()), coded and (coded.groups, coded.num_delays, coded.b),
    )  # fmt: skip
    if programs is None or design.exhaustive or shapes in _started:
        yield
        return
    _started.add(shapes)
    config = registry.from_json(design.method, design.settings)
    pool = ThreadPoolExecutor(_WORKERS, "spexjax-compile")

    wanted = _settings()

    def start() -> None:
        if _settings() != wanted:
            return
        # What fails here fails again, and is told, where the program is run.
        for program in programs(config, design, seed_key(design.seed)):
            pool.submit(program.compile)

    pool.submit(start)
    try:
        yield
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _settings() -> tuple[Any, ...]:
    """What of JAX's configuration holds in this thread."""
    return tuple(getattr(jax.config, name) for name in _SETTINGS)
