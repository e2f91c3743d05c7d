"""Compiling and importing what a fit will use while the function that it explains is at work.

Shapes follow from the design, so nothing need wait for values. A program that is needed before it
is ready is waited for, not compiled twice: JAX sees to that.
"""

import importlib
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from spexjax.masks.design import Design
from spexjax.methods import registry
from spexjax.steps import seed_key
from spexjax.workers import settings

_WORKERS = 2
# Where they are used they are imported late, since this takes a third of a second.
_MODULES = ("scipy.special", "scipy.linalg", "scipy.optimize")
_started: set[tuple] = set()


@contextmanager
def compiling(design: Design) -> Iterator[None]:
    """Imports and compiles for the design's fit in the background, until the block is left."""
    programs = registry.METHODS[design.method].programs
    coded = design.coded
    shapes = (
        design.method, design.settings, design.max_order, design.packed.shape,
        int(design.held_out.sum()), coded and (coded.groups, coded.num_delays, coded.b),
    )  # fmt: skip
    if design.exhaustive or shapes in _started:
        yield
        return
    _started.add(shapes)
    wanted = settings()
    pool = ThreadPoolExecutor(_WORKERS, "spexjax-compile")

    def start() -> None:
        if programs is None:
            return
        if settings() != wanted:  # other programs, which would be compiled for nothing
            return
        config = registry.from_json(design.method, design.settings)
        # What fails here fails again, and is told, where the program is run.
        for program in programs(config, design, seed_key(design.seed)):
            pool.submit(program.compile)

    pool.submit(start)
    for module in _MODULES:
        pool.submit(importlib.import_module, module)
    try:
        yield
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
