"""Rows of tables as value functions, against loops over the definition."""

import numpy as np
import pytest

from spexjax import values


@pytest.fixture
def data():
    return np.random.default_rng(0).standard_normal((60, 5))


def predict(rows):
    return np.stack([rows[:, 0] * rows[:, 1], np.sin(rows[:, 2:]).sum(axis=1)], axis=1)


def definition(x, background, mask):
    rows = background.copy()
    for i in range(len(x)):
        if mask[i]:
            rows[:, i] = x[i]
    return predict(rows).mean(axis=0)


@pytest.mark.parametrize("replacement", ["sample", "mean"])
def test_masked_features_come_from_the_background(data, replacement):
    x, background = data[0], data[1:]
    f = values.tabular(predict, x, background, replacement)
    masks = np.random.default_rng(1).random((30, 5)) < 0.5
    rows = background if replacement == "sample" else background.mean(axis=0, keepdims=True)
    expected = [definition(x, rows, m) for m in masks]
    assert f.n == 5 and f(masks).dtype == np.float64
    np.testing.assert_allclose(f(masks), expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(f(np.ones((1, 5), bool))[0], predict(x[None])[0], rtol=1e-12)


def test_a_small_effect_on_a_large_prediction_is_kept(data):
    f = values.tabular(lambda rows: np.float64(rows[:, 0] > 0) + 1e8, data[0], data[1:])
    share = (data[1:, 0] > 0).mean()
    assert 0.1 < share < 0.9 and data[0, 0] > 0
    np.testing.assert_allclose(f(np.eye(5, dtype=bool)[:2]) - 1e8, [1, share], atol=1e-6)


def test_complex_predictions_are_refused(data):
    f = values.tabular(lambda rows: rows[:, 0] * 1j, data[0], data[1:])
    with pytest.raises(ValueError, match="must return real numbers"):
        f(np.ones((1, 5), bool))


def test_a_fixed_baseline_and_a_scalar_prediction(data):
    f = values.tabular(lambda rows: rows.sum(axis=1), data[0], np.zeros(5))
    masks = np.random.default_rng(1).random((9, 5)) < 0.5
    np.testing.assert_allclose(f(masks), masks @ data[0], rtol=1e-5)


def test_samples_are_rows_of_the_background_the_same_for_all_masks(data):
    seen = []

    def remember(rows):
        seen.append(rows)
        return rows[:, 0]

    f = values.tabular(remember, data[0], data[1:], samples=7, seed=3)
    f(np.zeros((4, 5), bool))
    blocks = seen[0].reshape(4, 7, 5)
    assert all((block == blocks[0]).all() for block in blocks)
    assert {tuple(row) for row in blocks[0]} <= {tuple(row) for row in data[1:]}
    assert len(np.unique(blocks[0], axis=0)) == 7
    again = values.tabular(remember, data[0], data[1:], samples=7, seed=3)
    np.testing.assert_array_equal(again.background, f.background)
    assert (values.tabular(remember, data[0], data[1:], samples=7).background != f.background).any()


def test_large_batches_are_cut(data, monkeypatch):
    sizes = []

    def count(rows):
        sizes.append(len(rows))
        return rows[:, 0]

    f = values.tabular(count, data[0], data)
    masks = np.random.default_rng(1).random((500, 5)) < 0.5
    whole = f(masks)
    assert max(sizes) <= 8192 and sum(sizes) == 500 * 60
    np.testing.assert_allclose(whole[499:], f(masks[499:]), rtol=1e-6)


def test_columns_may_be_words():
    x, background = np.array(["red", "big"]), np.array([["blue", "small"], ["red", "small"]])
    f = values.tabular(lambda rows: (rows == "red").sum(axis=1), x, background, name="m")
    np.testing.assert_array_equal(f(np.array([[1, 1], [0, 1], [1, 0]], bool)), [1, 0.5, 1])
    assert f.store_key.startswith("m [")


def test_the_store_key_is_the_name_and_the_data(data):
    def key(name="m", x=data[0], background=data[1:], **options):
        return values.tabular(predict, x, background, name=name, **options).store_key

    assert key(name=None) is None
    keys = [key(), key("other"), key(x=data[1]), key(background=data[2:]),
            key(replacement="mean"), key(samples=5), key(samples=5, seed=1)]  # fmt: skip
    assert len(set(keys)) == len(keys) and key() == keys[0]


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"x": np.zeros((1, 5))}, "x must be"),
        ({"background": np.zeros((3, 4))}, "x must be"),
        ({"background": np.zeros((0, 5))}, "at least one row"),
        ({"samples": 0}, "at least one row"),
        ({"replacement": "median"}, "replacement must be one of"),
    ],
)
def test_arguments_are_checked(data, changes, message):
    with pytest.raises(ValueError, match=message):
        values.tabular(**{"predict": predict, "x": data[0], "background": data} | changes)


def test_one_answer_per_row(data):
    f = values.tabular(lambda rows: rows[:1, 0], data[0], data)
    with pytest.raises(ValueError, match="one answer per row"):
        f(np.ones((2, 5), bool))
