"""Fixtures shared by all tests."""

import os
from importlib.metadata import version

# Most of the suite's time is compilation of programs that run once: compile them quickly.
HASTE = "--xla_backend_optimization_level=0"
if tuple(map(int, version("jax").split(".")[:2])) < (0, 11):  # 0.11.1 has no such flag
    HASTE += " --xla_cpu_use_fusion_emitters=false"
os.environ.setdefault("XLA_FLAGS", HASTE)
# There is a worker for every core: threads of BLAS would wait for each other, ten times as long.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # of processes that tests start

from pathlib import Path

import jax
import pytest
import scipy.linalg  # noqa: F401 (has a BLAS of its own, which must be there to be found)
import threadpoolctl

threadpoolctl.threadpool_limits(1, "blas")

# Every compiled program is mapped into memory, and Linux grants a process 65 530 maps.
_MOST_MAPS = 20_000


@pytest.fixture
def key():
    return jax.random.key(0, impl="threefry2x32")


@pytest.fixture(autouse=True, scope="module")
def room_for_programs():
    """Lets go of compiled programs between the files of tests, when there are many."""
    yield
    maps = Path("/proc/self/maps")
    if maps.exists() and maps.read_bytes().count(b"\n") > _MOST_MAPS:
        jax.clear_caches()
