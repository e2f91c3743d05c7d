"""Two processes, four devices each, one model: process 0 explains, and values are those of one."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent

MODEL = """
import sys
import jax
import numpy as np
import spexjax as sx
from test_language_value import CONTEXT, QUESTION, VOCABULARY, tokenizer
from spexjax.models.llama import LlamaConfig, init_params
from spexjax.models.llama.language import LanguageModel
from spexjax.models.llama.sharding import device_mesh, placement
from spexjax.models.llama.weights import load_llama, save_llama
from spexjax.models.values.language import language_value

config = LlamaConfig(
    vocab_size=len(VOCABULARY), dim=16, n_layers=1, n_heads=8, n_kv_heads=4, head_dim=4,
    hidden_dim=24, max_position_embeddings=96, eos_token_ids=(3,),
)
special = {"bos_token": "[BOS]", "unk_token": "[UNK]"}


def question(folder, mesh=None):
    place = None if mesh is None else placement(config, mesh)
    params = load_llama(folder, place=place)[1]
    model = LanguageModel(config, params, tokenizer(), special=special, mesh=mesh)
    asked = (model, "Ann has a dog . " + CONTEXT, QUESTION)
    own = language_value(*asked, max_new_tokens=2).answer
    likely = language_value(*asked, score="log-odds", choices=("Bob", "a cat")).answer
    return language_value(*asked, "a cat", rows=4), [own, likely]
"""
ONE = """
folder = sys.argv[1]
shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
rng = np.random.default_rng(3)
save_llama(folder, config, jax.tree.map(lambda x: np.float32(rng.normal(0, 0.4, x.shape)), shapes))
f, own = question(folder)
masks = np.random.default_rng(4).random((20, f.n)) < 0.5
np.savez(folder + "/one.npz", masks=masks, values=f(masks), own=own)
"""
TWO = """
folder, address, number = sys.argv[1:]
jax.distributed.initialize(address, 2, int(number))
from spexjax.models.distributed.spmd import led

assert jax.device_count() == 8 and jax.local_device_count() == 4
found = {}
for tensor in (8, 4):  # over both hosts; a copy on each
    mesh = device_mesh(tensor, jax.devices())
    f, own = question(folder, mesh)
    kernel = f.model.params["layers"]["attention"]["query"]["kernel"]
    assert {s.data.shape for s in kernel.addressable_shards} == {(1, 16, 32 // tensor)}
    assert f.batch_size == 4 * 8 // tensor
    with led(f) as g:
        assert (g is None) == (number == "1")
        if g is not None:
            masks = np.load(folder + "/one.npz")["masks"]
            found[str(tensor)] = g(masks)
            assert own == np.load(folder + "/one.npz")["own"].tolist()
            for _ in range(2):  # the second time from the store
                e = sx.explain(g, budget=2**f.n, store=folder + "/calls.sqlite",
                               store_key=f"the question, {tensor}")
            assert e.method == "exact" and len(e.features) == f.n
try:
    f.store_key
except ValueError as error:
    assert "give a store_key" in str(error)
if number == "0":
    np.savez(folder + "/two.npz", **found)
"""


def started(script, devices, *arguments):
    flags = f"--xla_force_host_platform_device_count={devices} --xla_backend_optimization_level=0"
    return subprocess.Popen(
        [sys.executable, "-c", MODEL + script, *map(str, arguments)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=HERE,
    )  # fmt: skip


def ended(*processes):
    for process in processes:
        said = process.communicate(timeout=300)[0]
        assert process.returncode == 0, said


@pytest.mark.slow
def test_two_hosts_agree_with_one(tmp_path):
    ended(started(ONE, 1, tmp_path))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{probe.getsockname()[1]}"
    ended(*(started(TWO, 4, tmp_path, address, number) for number in (0, 1)))
    want, found = np.load(tmp_path / "one.npz"), np.load(tmp_path / "two.npz")
    assert sorted(found) == ["4", "8"] and np.ptp(want["values"]) > 0.1
    for values in found.values():
        np.testing.assert_allclose(values, want["values"], atol=2e-5, rtol=1e-4)


def test_one_process_leads_itself():
    from spexjax.models.distributed.spmd import led

    class Sum:
        n, words, broken = 3, ("a", "b", "c"), False

        def __call__(self, masks):
            if self.broken:
                raise OSError("no")
            return masks.sum(axis=1)

    masks = np.eye(3, dtype=bool)
    with led(Sum()) as f:
        assert (f.n, f.words) == (3, Sum.words)
        np.testing.assert_array_equal(f(masks), [1, 1, 1])
        assert len(f(masks[:0])) == 0
    Sum.broken = True
    with pytest.raises(OSError, match="no"), led(Sum()) as f:
        f(masks)
