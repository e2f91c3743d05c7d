"""Fixtures shared by all tests."""

import jax
import pytest


@pytest.fixture
def key():
    return jax.random.key(0, impl="threefry2x32")
