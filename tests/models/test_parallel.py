"""Value functions: the same numbers as single calls, on one device and on four."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest

from spexjax.models.masking import bucket
from spexjax.models.parallel import default_rows, value_function

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
    assert default_rows(16, "cpu") == 128
    assert default_rows(4096, "cpu") == 8
    assert default_rows(8, "gpu") == 512


FOUR = """
import jax, numpy as np, sys
from spexjax.models.classifier import load_classifier
from spexjax.models.parallel import value_function
assert jax.local_device_count() == 4
f = value_function(load_classifier(), sys.argv[1])
masks = np.random.default_rng(0).random((700, f.n)) < 0.6
np.save(sys.argv[2], f(masks))
"""


def test_four_devices_agree_with_one(tmp_path):
    from spexjax.models.classifier import load_classifier

    out = tmp_path / "four.npy"
    flags = {"XLA_FLAGS": "--xla_force_host_platform_device_count=4", "JAX_PLATFORMS": "cpu"}
    subprocess.run(
        [sys.executable, "-c", FOUR, TEXT, str(out)],
        env=os.environ | flags, check=True, timeout=300, cwd=Path(__file__).parent,
    )  # fmt: skip
    f = value_function(load_classifier(), TEXT)
    np.testing.assert_allclose(np.load(out), f(random_masks(700, f.n)), atol=2e-5, rtol=1e-5)
