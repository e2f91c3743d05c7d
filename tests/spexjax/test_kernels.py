"""Every public kernel: alike with and without jit, under vmap, and compiled once.

A kernel gets these checks by being listed: a function that draws its arguments from a seed, the
arguments that are batched under vmap, and the tolerance (0 where only integers are involved).
"""

import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from test_masks import GOLDEN

from spexjax import masks, metrics
from spexjax.codes import bch, chase, gf2
from spexjax.decoding import spex
from spexjax.regression import fista
from spexjax.spectra import spectrum, transforms
from spexjax.spectra.spectrum import Spectrum

pytestmark = pytest.mark.loose_promotion  # optax mixes dtypes


class Kernel(NamedTuple):
    function: Callable[..., Any]
    arguments: Callable[[np.random.Generator], tuple]
    batched: tuple[int, ...]
    """Positions of the arguments that get a leading axis."""
    tolerance: float = 0.0


def floats(rng, *shape):
    return jnp.asarray(rng.standard_normal(shape), jnp.float32)


def bits(rng, *shape):
    return jnp.asarray(rng.random(shape) < 0.5)


def words(rng, *shape):
    return jnp.asarray(rng.integers(0, 2**32, shape, np.uint32))


DESIGN = masks.coded_design(jax.random.key(1, impl="threefry2x32"), 40, 3, 2, 2)
CODE, N40 = DESIGN.code, jnp.int32(40)
SPECTRUM = Spectrum.from_dict({(): 1.0, (0, 3): -2.0, (5,): 0.5}, 40)


def gram_problem(rng):
    X = floats(rng, 30, 8)
    return X.T @ X / 30, X.T @ floats(rng, 30) / 30, jnp.float32(0.1)


def ridge(G, b, strength):
    return fista.ridge_solve(lambda w: w @ G, b, strength)[0]


def lasso(G, b, strength):
    product = lambda w: w @ G  # noqa: E731
    return fista.lasso_solve(product, b, strength, fista.lipschitz(product, b))[0]


KERNELS = {
    "pack": Kernel(gf2.pack, lambda r: (bits(r, 40),), (0,)),
    "unpack": Kernel(lambda w: gf2.unpack(w, 40), lambda r: (words(r, 2),), (0,)),
    "parity": Kernel(gf2.parity, lambda r: (words(r, 4), words(r, 4)), (0, 1)),
    "matvec": Kernel(gf2.matvec, lambda r: (words(r, 3, 4), words(r, 4)), (1,)),
    "combine": Kernel(gf2.combine, lambda r: (words(r, 3, 4), bits(r, 3)), (1,)),
    "fwht": Kernel(transforms.fwht, lambda r: (floats(r, 64),), (0,), 1e-4),
    "mobius": Kernel(transforms.mobius, lambda r: (floats(r, 16),), (0,), 1e-5),
    "syndromes": Kernel(bch.syndromes, lambda r: (CODE, bits(r, CODE.parity_bits)), (1,)),
    "hard_decode": Kernel(bch.hard_decode, lambda r: (CODE, bits(r, CODE.parity_bits), N40), (1,)),
    "chase_decode": Kernel(
        chase.chase_decode,
        lambda r: (CODE, DESIGN.delays, floats(r, DESIGN.num_delays), N40),
        (2,),
    ),
    "decode": Kernel(spex.decode, lambda r: (DESIGN, floats(r, DESIGN.num_masks)), (1,), 1e-5),
    "predict": Kernel(
        lambda c, m: SPECTRUM.__class__(
            SPECTRUM.supports, c, SPECTRUM.valid, SPECTRUM.n
        ).predict_packed(m),
        lambda r: (floats(r, SPECTRUM.capacity), words(r, 5, 2)),
        (0,),
        1e-5,
    ),
    "merge": Kernel(spectrum.merge, lambda r: (SPECTRUM, SPECTRUM), ()),
    "r2": Kernel(metrics.r2, lambda r: (floats(r, 20), floats(r, 20)), (0, 1), 1e-4),
    "ridge": Kernel(ridge, gram_problem, (1, 2), 1e-4),
    "lasso": Kernel(lasso, gram_problem, (1, 2), 1e-4),
}


def close(a, b, tolerance):
    if tolerance:
        chex.assert_trees_all_close(a, b, atol=tolerance, rtol=tolerance)
    else:
        chex.assert_trees_all_equal(a, b)


@pytest.mark.parametrize("name", KERNELS)
class TestKernel:
    def test_jit_changes_nothing_and_compiles_once(self, name):
        kernel = KERNELS[name]
        traced = []

        @jax.jit
        def compiled(*arguments):
            traced.append(name)
            return kernel.function(*arguments)

        for seed in (0, 1):
            arguments = kernel.arguments(np.random.default_rng(seed))
            close(compiled(*arguments), kernel.function(*arguments), kernel.tolerance)
        assert len(traced) == 1

    def test_the_same_call_gives_the_same_bits(self, name):
        kernel = KERNELS[name]
        arguments = kernel.arguments(np.random.default_rng(2))
        first, again = (jax.jit(kernel.function)(*arguments) for _ in range(2))
        chex.assert_trees_all_equal(first, again)

    def test_vmap_equals_a_loop(self, name):
        kernel = KERNELS[name]
        if not kernel.batched:
            pytest.skip("nothing to batch")
        rows = [kernel.arguments(np.random.default_rng(seed)) for seed in range(3)]
        fixed = rows[0]
        stacked = tuple(
            jnp.stack([row[i] for row in rows]) if i in kernel.batched else x
            for i, x in enumerate(fixed)
        )
        axes = tuple(0 if i in kernel.batched else None for i in range(len(fixed)))
        together = jax.jit(jax.vmap(kernel.function, axes))(*stacked)
        for i, row in enumerate(rows):
            mixed = [row[j] if j in kernel.batched else fixed[j] for j in range(len(fixed))]
            one = kernel.function(*mixed)
            close(jax.tree.map(lambda x, i=i: x[i], together), one, kernel.tolerance)


def digests():
    """Of what decoding computes, dtypes included; and of the masks that tests of them pin."""
    out = {name: draw(jax.random.key(0, impl="threefry2x32")) for name, (draw, _) in GOLDEN.items()}
    for name in ("combine", "fwht", "mobius", "chase_decode", "decode", "predict", "merge"):
        kernel = KERNELS[name]
        out[name] = jax.jit(kernel.function)(*kernel.arguments(np.random.default_rng(0)))
    leaves = {name: [np.asarray(x) for x in jax.tree.leaves(tree)] for name, tree in out.items()}
    return {
        name: [(str(x.dtype), hashlib.sha256(x.tobytes()).hexdigest()[:16]) for x in arrays]
        for name, arrays in leaves.items()
    }


def test_the_same_bits_where_x64_is_enabled():
    paths = [str(Path(__file__).parent), os.environ.get("PYTHONPATH", "")]
    environment = {
        **os.environ,
        "JAX_ENABLE_X64": "1",
        "JAX_NUMPY_DTYPE_PROMOTION": "strict",
        "PYTHONPATH": os.pathsep.join(filter(None, paths)),
    }
    script = "import json, test_kernels as t; print(json.dumps(t.digests()))"
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found == json.loads(json.dumps(digests()))


def signature(design):
    leaves, structure = jax.tree.flatten(design)
    return structure, tuple((leaf.shape, leaf.dtype) for leaf in leaves)


def test_a_hundred_numbers_of_features_need_eight_programs(key):
    # jit compiles once per structure, shapes and dtypes of its arguments: count those.
    sizes = np.unique(np.geomspace(8, 256, 100).astype(int))
    assert len({signature(masks.coded_design(key, int(n), 8)) for n in sizes}) <= 8


@pytest.mark.slow
def test_decode_really_compiles_once_per_bucket(key):
    spex._decode.clear_cache()
    for n in (130, 150, 170, 200, 130):
        design = masks.coded_design(key, n, 3)
        spex.decode(design, jnp.zeros(design.num_masks))
    assert spex._decode._cache_size() == 1
