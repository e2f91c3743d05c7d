"""Loading holds little more than the model: measured in a process of its own."""

import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from spexjax.models.llama.model import LlamaConfig, init_params
from spexjax.models.llama.weights import save_llama

CONFIG = LlamaConfig(
    vocab_size=16000, dim=512, n_layers=8, n_heads=8, n_kv_heads=2, head_dim=64,
    hidden_dim=3072, tie_embeddings=True,
)  # fmt: skip
CHILD = """
import sys
import jax
import jax.numpy as jnp
import safetensors
from spexjax.models.llama.weights import load_llama

def peak():  # of this process alone; getrusage would begin at its parent's
    with open("/proc/self/status") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM"))

jax.block_until_ready(jnp.ones(3))
before = peak()
dtype = {"stored": None, "bfloat16": jnp.bfloat16}[sys.argv[2]]
_, params = load_llama(sys.argv[1], dtype)
print(peak() - before, sum(x.nbytes for x in jax.tree.leaves(params)))
"""


@pytest.fixture(scope="module", params=[None, 60_000_000], ids=["one file", "shards"])
def folder(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("large")
    shapes = jax.eval_shape(lambda: init_params(CONFIG, jax.random.key(0)))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda x: rng.standard_normal(x.shape, np.float32), shapes)
    save_llama(folder, CONFIG, params, shard_bytes=request.param)
    return folder


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").is_file(), reason="no /proc")
@pytest.mark.parametrize("dtype", ["stored", "bfloat16"])
def test_peak_of_the_host(folder, dtype):
    run = subprocess.run(
        [sys.executable, "-c", CHILD, str(folder), dtype],
        capture_output=True, text=True, check=True, timeout=120,
    )  # fmt: skip
    grown, size = map(int, run.stdout.split())
    assert size > 100e6
    # Not less either: else the measurement, not the loading, would be at fault.
    assert 0.9 * size < grown < 1.3 * size
