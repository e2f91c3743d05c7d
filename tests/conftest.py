"""Fixtures shared by all tests."""

import os

# Most of the suite's time is compilation of programs that run once: compile them quickly.
os.environ.setdefault("XLA_FLAGS", "--xla_backend_optimization_level=0")

import jax
import pytest


@pytest.fixture
def key():
    return jax.random.key(0, impl="threefry2x32")
