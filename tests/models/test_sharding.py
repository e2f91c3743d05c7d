"""Weights spread over forced host devices: the same logits, every shard as small as it can be."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from spexjax.models.llama.model import LlamaConfig, init_params
from spexjax.models.llama.sharding import device_mesh, param_shardings, placement

HERE = Path(__file__).parent

EIGHT = """
import sys
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from spexjax.models.llama import sharding
from spexjax.models.llama import Llama, LlamaConfig, init_params, unembed
from spexjax.models.llama.weights import load_llama, save_llama
from spexjax.models.llama.quantize import quantize
from spexjax.models.nn.devices import Devices

assert jax.local_device_count() == 8
folder = Path(sys.argv[1])
sizes = dict(vocab_size=96, dim=32, n_layers=1, head_dim=8, hidden_dim=48,
             max_position_embeddings=64, bos_token_id=1, eos_token_ids=(2,))
CONFIGS = {
    "tied": LlamaConfig("llama", n_heads=8, n_kv_heads=2, tie_embeddings=True, **sizes),
    "biased": LlamaConfig("qwen2", n_heads=8, n_kv_heads=4, tie_embeddings=False,
                          attention_bias=True, **sizes),
}
ids = np.random.default_rng(0).integers(3, 96, (16, 12)).astype(np.int32)
valid = np.random.default_rng(1).random((16, 12)) < 0.8
valid[:, 0] = True


@partial(jax.jit, static_argnums=0)
def logits(config, params, ids, valid):
    hidden, _ = Llama(config).apply({"params": params}, ids, valid=valid)
    return unembed(config, params, hidden)


for name, config in CONFIGS.items():
    params = jax.device_get(init_params(config, jax.random.key(3)))
    rng = np.random.default_rng(7)  # norms and biases that are not 1 and 0
    params = jax.tree.map(lambda x: np.float32(x + rng.normal(0, 0.1, x.shape)), params)
    save_llama(folder / name, config, params)
    want = np.asarray(logits(config, params, ids, valid))
    assert np.ptp(want) > 1
    tensor = 8 if name == "tied" else 2
    mesh = sharding.device_mesh(tensor)
    assert mesh.shape == {"data": 8 // tensor, "tensor": tensor}
    same, spread = load_llama(folder / name, place=sharding.placement(config, mesh))
    assert same == config
    for path, leaf in jax.tree_util.tree_leaves_with_path(spread):
        parts = {s.data.shape for s in leaf.addressable_shards}
        assert len(parts) == 1, path
        cut = leaf.size // np.prod(parts.pop())
        module = path[-2].key if len(path) > 1 else ""
        few = module in ("key", "value") and config.n_kv_heads < tensor
        whole = few or "norm" in module or (path[-1].key == "bias" and module == "out")
        assert cut == (1 if whole else tensor), (path, cut)
    rows = jax.NamedSharding(mesh, jax.P("data"))
    found = logits(config, spread, *jax.device_put((ids, valid), rows))
    np.testing.assert_allclose(np.asarray(found), want, atol=2e-5, rtol=1e-4)

# The last of them, quantised, and as a program of batches.
codes = quantize(params, config, embeddings=True)
spread = sharding.shard(codes, config, mesh)
kernel = spread["layers"]["gate"]["kernel"]
assert kernel.codes.addressable_shards[0].data.shape == (1, 32, 24)
assert kernel.scale.addressable_shards[0].data.shape == (1, 24)
assert spread["embedding"].codes.addressable_shards[0].data.shape == (48, 32)
found = logits(config, spread, *jax.device_put((ids, valid), rows))
want = logits(config, codes, ids, valid)
np.testing.assert_allclose(np.asarray(found), np.asarray(want), atol=2e-5, rtol=1e-4)


def run(length, params, ids, masks):
    rows = jnp.where(masks, ids[:length], 0)
    hidden, _ = Llama(config).apply({"params": params}, rows)
    return unembed(config, params, hidden[:, -1])[:, :3]


devices = Devices.here(mesh)
assert devices.data_width == 4  # weights are over 2
program = devices.compile(run)
masks = np.random.default_rng(2).random((4, 4, 12)) < 0.5
shared = devices.put((sharding.shard(params, config, mesh), ids[0]))
with jax.transfer_guard("disallow"):
    found = program(12, shared, devices.put_rows(masks))
want = run(12, params, ids[0], masks.reshape(16, 12)).reshape(4, 4, 3)
assert found.shape == want.shape == (4, 4, 3)
assert {s.data.shape for s in found.addressable_shards} == {(1, 4, 3)}
np.testing.assert_allclose(np.asarray(found), want, atol=2e-5, rtol=1e-4)
print("same")
"""


def test_eight_devices_give_the_same_logits(tmp_path):
    flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    done = subprocess.run(
        [sys.executable, "-c", EIGHT, str(tmp_path)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        capture_output=True, text=True, timeout=300, cwd=HERE,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout == "same\n"


def test_shardings_have_the_structure_of_the_parameters():
    config = LlamaConfig(n_layers=1, dim=16, n_heads=4, n_kv_heads=2, head_dim=4, hidden_dim=24,
                         vocab_size=10)  # fmt: skip
    mesh = device_mesh(1, jax.local_devices()[:1])
    shardings = param_shardings(config, mesh)
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    assert jax.tree.structure(shardings) == jax.tree.structure(shapes)
    path = ("layers", "attention", "out", "kernel")
    assert shardings["layers"]["attention"]["out"]["kernel"] == placement(config, mesh)(path)


@pytest.mark.parametrize("tensor", [0, 2, -1])
def test_devices_that_cannot_be_divided(tensor):
    with pytest.raises(ValueError, match="tensor must divide"):
        device_mesh(tensor, jax.local_devices()[:1])
