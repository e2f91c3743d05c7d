"""Value functions: the same numbers as single calls, on one device and on eight."""

import os
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest

from spexjax.explain import explain
from spexjax.models.bert.inside import attention_of, hidden_states
from spexjax.models.text.masking import bucket, masked_rows
from spexjax.models.values.batching import BatchedValue
from spexjax.models.values.devices import default_rows, plan
from spexjax.models.values.scores import Attention, Hidden
from spexjax.models.values.text import value_function
from spexjax.values.calling import chunk_size_of

TEXT = "Her acting never fails to impress, and it isn't bad."


def random_masks(rows, n, seed=0):
    return np.random.default_rng(seed).random((rows, n)) < 0.6


def test_values_are_the_logits_of_the_masked_texts(classifier):
    f = value_function(classifier, TEXT)
    assert f.n == len(f.words) == 12
    masks = random_masks(21, f.n)
    values = f(masks)
    assert values.shape == (21,)
    assert values.dtype == np.float32
    want = [classifier.logits(f.source.masked(mask))[1] for mask in masks]
    np.testing.assert_allclose(values, want, atol=2e-5, rtol=1e-5)
    full = f(np.ones((1, f.n), bool))
    np.testing.assert_allclose(full, classifier.logits(TEXT)[1:], atol=2e-5, rtol=1e-5)
    assert np.ptp(values) > 0.1


@pytest.mark.parametrize("rows", [1, 8, 16])
def test_any_batch_size_gives_the_same(classifier, rows):
    masks = random_masks(17, 12)
    want = value_function(classifier, TEXT)(masks)
    found = value_function(classifier, TEXT, rows=rows)(masks)
    np.testing.assert_allclose(found, want, atol=2e-5, rtol=1e-5)


def test_scores_labels_and_replacements(classifier):
    masks = random_masks(5, 12)
    f = value_function(classifier, TEXT, label=0, score="log-odds")
    g = value_function(classifier, TEXT, label=1, score="log-odds")
    np.testing.assert_allclose(f(masks), -g(masks), atol=1e-6)
    deleted = value_function(classifier, TEXT, replacement="delete")
    want = [classifier.logits(deleted.source.masked(mask, " "))[1] for mask in masks]
    np.testing.assert_allclose(deleted(masks), want, atol=2e-5, rtol=1e-5)


@pytest.mark.parametrize("kind", ["logits", Hidden(1), Hidden(2, 3), Attention(1, 2)])
def test_vectors_hold_the_scalars(classifier, kind):
    masks = random_masks(9, 12)
    f = value_function(classifier, TEXT, score=kind)
    values = f(masks)
    assert values.dtype == np.float32
    if kind == "logits":
        for label in range(2):
            g = value_function(classifier, TEXT, label=label)
            np.testing.assert_allclose(values[:, label], g(masks), atol=1e-6)
    elif isinstance(kind, Hidden):
        assert values.shape == (9, 24)
        rows = masked_rows(f.template, masks)
        want = hidden_states(classifier.config, classifier.params, *rows[:2], kind.layer)
        np.testing.assert_allclose(values, want[:, kind.position], atol=1e-5)
    else:
        assert values.shape == (9, 12)
        rows = masked_rows(f.template, masks)
        weights = np.asarray(
            attention_of(classifier.config, classifier.params, *rows[:2], kind.layer, kind.head)
        )
        np.testing.assert_allclose(weights.sum(1), 1, atol=1e-5)
        want = np.zeros((9, 12))
        for row, feature in enumerate(np.asarray(rows.feature)):
            np.add.at(want[row], feature[feature >= 0], weights[row, feature >= 0])
        np.testing.assert_allclose(values, want, atol=1e-5)


def test_the_explanation_of_a_vector_holds_those_of_its_outputs(classifier):
    text = "Her acting never fails"
    whole = explain(f := value_function(classifier, text, score="logits"), f.n, budget=16)
    for label in range(2):
        g = value_function(classifier, text, label=label)
        part = explain(g, g.n, budget=16).spectrum.to_dict()
        found = whole[label].spectrum.to_dict()
        assert found.keys() == part.keys()
        np.testing.assert_allclose(list(found.values()), list(part.values()), atol=1e-6)


@pytest.mark.parametrize("kind", [Hidden(3), Hidden(1, 99), Attention(2, 0), Attention(0, 3)])
def test_what_the_model_lacks(classifier, kind):
    f = value_function(classifier, TEXT, score=kind)
    with pytest.raises(ValueError, match="must be"):
        f(random_masks(2, f.n))


def test_a_mask_asked_for_twice_and_rows_of_many_lengths(classifier):
    text = "bad " * 60
    f = value_function(classifier, text, replacement="delete", rows=8)
    masks = random_masks(40, f.n, 1) & (np.arange(40)[:, None] % 5 > 0)
    masks = np.concatenate([masks, masks[::3]])
    batches = dict(f._batches(masks[:40]))
    assert len(batches) > 1
    assert sorted(np.concatenate(list(batches.values())).tolist()) == list(range(40))
    short = {len(rows) % 8 for length, rows in batches.items() if length != max(batches)}
    assert short == {0}
    values = f(masks)
    np.testing.assert_array_equal(values[40:], values[:40:3])
    want = [classifier.logits(f.source.masked(mask, " "))[1] for mask in masks[:40:7]]
    np.testing.assert_allclose(values[:40:7], want, atol=2e-5, rtol=1e-5)


def test_no_masks_and_wrong_masks(classifier):
    f = value_function(classifier, TEXT)
    assert f(np.zeros((0, 12), bool)).shape == (0,)
    for wrong in (np.ones((2, 11), bool), np.ones(12, bool), np.ones((2, 12), int)):
        with pytest.raises(ValueError, match="masks must be bool"):
            f(wrong)


def test_errors(classifier):
    with pytest.raises(ValueError, match="label must be 0 to 1"):
        value_function(classifier, TEXT, label=2)
    with pytest.raises(ValueError, match="nothing to explain"):
        value_function(classifier, " ")


def test_texts_of_one_bucket_share_a_program(classifier):
    f = value_function(classifier, "Her acting never fails")
    f(np.ones((1, f.n), bool))
    g = value_function(classifier, "it was bad, bad")
    assert g.program is f.program
    assert g.template.ids.shape == f.template.ids.shape
    compiled = []

    def listen(event, duration, **_):
        if event == "/jax/core/compile/backend_compile_duration":
            compiled.append(duration)

    jax.monitoring.register_event_duration_secs_listener(listen)
    try:
        jax.jit(lambda x: x + 3)(np.float32(1)).block_until_ready()
        assert len(compiled) == 1  # the listener works
        g(random_masks(50, g.n))
        f(random_masks(9, f.n))
        assert len(compiled) == 1
    finally:
        jax.monitoring.unregister_event_duration_listener(listen)


def test_a_text_beyond_the_positions(classifier):
    text = "good acting " * 100
    f = value_function(classifier, text)
    assert f.n == 94
    assert len(f.source.cut) == 106
    full = f(np.ones((1, f.n), bool))
    np.testing.assert_allclose(full, classifier.logits(text)[1:], atol=2e-5, rtol=1e-5)


def test_buckets():
    sizes = [bucket(i) for i in range(1, 2000)]
    assert all(b >= i for i, b in enumerate(sizes, 1))
    assert all(b <= max(8, 1.5 * i) for i, b in enumerate(sizes, 1))
    assert len(set(sizes)) == 17


class Device:
    """As much of a device as the choice of rows looks at."""

    def __init__(self, platform, memory=None):
        self.platform, self.memory = platform, memory

    def memory_stats(self):
        return self.memory


def test_rows_per_batch(classifier):
    config = classifier.config
    assert default_rows(config, 16, [Device("cpu")]) == 128
    assert default_rows(config, 4096, [Device("cpu")]) == 8
    assert default_rows(config, 8, [Device("gpu", {"bytes_limit": 80 << 30})]) == 512
    # 4·(8·24 + 2·40 + 2·3·256) B · 256 tokens ≈ 1.85 MB per row, half of 60 MB of 64 free
    small = {"bytes_limit": 64_000_000, "bytes_in_use": 4_000_000}
    assert default_rows(config, 256, [Device("gpu", small)]) == 16
    assert default_rows(config, 4096, [Device("gpu", {"bytes_limit": 1000})]) == 1
    ample = Device("gpu", {"bytes_limit": 80 << 30})
    assert default_rows(config, 256, [ample, Device("gpu", small)]) == 16  # the fullest decides


def test_memory_is_looked_at_when_the_weights_are_there(classifier, monkeypatch):
    from dataclasses import replace

    from spexjax.models.values import devices

    fresh, seen = replace(classifier), []
    monkeypatch.setattr(
        devices, "default_rows", lambda *_: seen.append(bool(fresh.__dict__.get("_rounded"))) or 8
    )
    value_function(fresh, TEXT)
    assert seen == [True]


def test_the_plan_of_batches():
    assert plan(512, 4, 512) == [(0, 512, 128)]  # not 512 on the first device and nothing else
    assert plan(700, 4, 128) == [(0, 512, 128), (512, 700, 64)]
    assert plan(3, 4, 128) == [(0, 3, 8)]
    assert plan(3, 1, 128) == [(0, 3, 128)]  # one device: one program
    assert plan(0, 4, 128) == []
    assert plan(1, 1, 8, row_cost=1e11) == [(0, 1, 1)]  # not seven rows of padding
    assert plan(11, 1, 8, row_cost=1e11) == [(0, 8, 8), (8, 11, 4)]
    assert plan(7, 1, 8, row_cost=1e12) == [(0, 7, 8)]
    assert plan(9, 4, 8, row_cost=1e11) == [(0, 9, 4)]
    assert plan(1, 1, 8, row_cost=1e9) == [(0, 1, 8)]  # compiling would take longer
    for width in (1, 2, 4, 8):
        for count in range(1, 3000, 37):
            batches = plan(count, width, 64)
            stops = [batch.stop for batch in batches]
            assert [batch.start for batch in batches] == [0, *stops[:-1]] and stops[-1] == count
            padding = [width * b.rows - (b.stop - b.start) for b in batches]
            assert min(padding) >= 0 and not any(padding[:-1])
            if width > 1:  # less than half of the last batch, or as few as there can be
                assert padding[-1] * 2 < width * batches[-1].rows or batches[-1].rows == 8


def test_the_functions_own_chunks_are_full_batches(classifier):
    for rows, want in ((8, 512), (48, 528), (512, 512), (1024, 1024)):
        f = value_function(classifier, TEXT, rows=rows)
        assert chunk_size_of(f) == want and want % f.batch_size == 0


EIGHT = """
from dataclasses import replace
import jax, numpy as np, sys
from spexjax.models.bert.classifier import load_classifier
from spexjax.models.values.text import value_function
assert jax.local_device_count() == 8
model = load_classifier()
f = value_function(model, sys.argv[1])
masks = np.random.default_rng(0).random((700, f.n)) < 0.6
f(masks)
with jax.transfer_guard("disallow"):  # nothing but masks, which are sent explicitly
    np.save(sys.argv[2], f(masks))
on_one = replace(model, params=jax.device_put(model.params))  # as some are loaded
held = {}
for leaf in jax.tree.leaves((on_one.params, on_one.placed)):
    for shard in leaf.addressable_shards:
        held.setdefault(shard.device, {})[shard.data.unsafe_buffer_pointer()] = shard.data.nbytes
size = sum(leaf.nbytes for leaf in jax.tree.leaves(model.params))
assert [sum(held[device].values()) for device in jax.devices()] == [size] * 8  # nowhere twice
batch = f._sent(masks[:130], 32)
assert {shard.data.shape for shard in batch.addressable_shards} == {(1, 32, batch.shape[2])}
counts = np.asarray(batch).any(axis=2).sum(axis=1)
assert counts.max() - counts.min() <= 1 and counts.sum() == 130 - (~masks[:130].any(1)).sum()
"""


def test_eight_devices_agree_with_one(tmp_path):
    from spexjax.models.bert.classifier import load_classifier

    out = tmp_path / "eight.npy"
    flags = "--xla_force_host_platform_device_count=8 --xla_backend_optimization_level=0"
    subprocess.run(
        [sys.executable, "-c", EIGHT, TEXT, str(out)],
        env=os.environ | {"XLA_FLAGS": flags, "JAX_PLATFORMS": "cpu"},
        check=True, timeout=300, cwd=Path(__file__).parent,
    )  # fmt: skip
    f = value_function(load_classifier(), TEXT)
    np.testing.assert_allclose(np.load(out), f(random_masks(700, f.n)), atol=2e-5, rtol=1e-5)


def test_store_keys_differ_where_values_may(classifier):
    f = value_function(classifier, TEXT)
    assert f.store_key == value_function(classifier, TEXT).store_key
    others = [
        value_function(classifier, TEXT + " Good."),
        value_function(classifier, TEXT, label=0),
        value_function(classifier, TEXT, score="margin"),
        value_function(classifier, TEXT, score=Hidden(1)),
        value_function(classifier, TEXT, score=Hidden(2)),
        value_function(classifier, TEXT, replacement="mask"),
        value_function(classifier, TEXT, "sentences"),
        value_function(classifier, TEXT, "tokens"),
        value_function(classifier, TEXT, dtype="bfloat16"),
    ]
    assert len({g.store_key for g in [f, *others]}) == 10


@pytest.mark.parametrize(
    ("tokens", "varies", "rows_of"),
    [(527, 0, 544), (527, 300, 640), (1072, 0, 1088), (300, 0, 320), (766, 0, 766)],
)
def test_long_rows_of_one_length_have_little_padding(tokens, varies, rows_of):
    class Rows(BatchedValue):
        n, longest, rows = 4, 766 if tokens == 766 else 2048, 2
        devices = SimpleNamespace(data_width=1)

        def lengths(self, masks):
            return tokens - varies * ~masks.all(axis=1)

    (length, chosen), *rest = Rows()._batches(np.ones((3, 4), bool))
    assert length == rows_of and len(chosen) == 3 and not rest
