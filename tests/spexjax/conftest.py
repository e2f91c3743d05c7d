"""Promotion is strict here: a silent int/float mix in the core is a bug."""

import jax
import pytest


@pytest.fixture(autouse=True)
def strict_promotion(request):
    if "loose_promotion" in request.keywords:
        yield
        return
    with jax.numpy_dtype_promotion("strict"):
        yield
