"""Data attribution on small tasks: scores, planted pairs, resuming, CIFAR-10's files."""

import numpy as np
import pytest

from spexjax.experiments import command
from spexjax.experiments.data.cifar10 import read_cifar10
from spexjax.experiments.harness.results import Result
from spexjax.experiments.papers import data_attribution
from spexjax.experiments.tasks.training_sets import planted, random_features, training_set

pytestmark = pytest.mark.loose_promotion


def run(folder, *options):
    command.main(["data-attribution", "--folder", str(folder), *options])
    (path,) = folder.glob("data-attribution-*.json")
    return Result.load(path)


def test_planted_pairs_interact_as_they_must():
    """By the definition, all others kept: duplicates stand in for each other, an XOR needs both."""
    task = planted(16)
    f = task.value()
    masks = np.ones((64, f.n), bool)
    for j, (pair, _) in enumerate(task.planted):
        masks[4 * j + 1, pair[0]] = masks[4 * j + 2, pair[1]] = False
        masks[4 * j + 3, list(pair)] = False
    values = f(masks)
    for j, (_, sign) in enumerate(task.planted):
        both, one, other, none = values[4 * j : 4 * j + 4, j]
        assert sign * (both - one - other + none) > 0.3


def test_the_experiment_scores_its_methods_and_goes_on(tmp_path, capsys):
    options = ["--task", "planted", "--tests", "16", "--held-out", "30", "--budgets", "200",
               "--methods", "linear", "knn", "influence", "--shares", "0.05"]  # fmt: skip
    result = run(tmp_path, *options)
    said = capsys.readouterr().out
    assert "Paired" not in said and "| linear" in said and "| ceiling" in said
    cells = {(c.method, c.item): c.values for c in result.cells}
    assert len(cells) == 4 * 16
    assert all(-1 <= v["lds"] <= 1 for v in cells.values())
    mean = {m: np.mean([v["lds"] for (k, _), v in cells.items() if k == m]) for m, _ in cells}
    assert mean["ceiling"] > 0.9 and mean["linear"] > 0.5 and mean["influence"] > 0.3
    assert {c.calls for c in result.cells if c.method == "linear"} == {200}
    again = run(tmp_path, *options)
    assert again.cells == result.cells


@pytest.mark.slow
def test_planted_pairs_are_found(tmp_path, capsys):
    result = run(
        tmp_path, "--task", "planted", "--tests", "16", "--held-out", "50", "--budgets", "2000",
        "--methods", "auto", "lasso-1",
    )  # fmt: skip
    auto = [c.values for c in result.cells if c.method == "auto"]
    assert np.mean([v["found"] for v in auto]) >= 0.9
    assert np.mean([v["right sign"] for v in auto]) >= 0.9
    assert "auto − lasso-1" in capsys.readouterr().out


def test_too_small_a_budget_names_what_would_do(tmp_path):
    with pytest.raises(SystemExit, match="at most 50 groups"):
        run(tmp_path, "--task", "planted", "--tests", "2", "--budgets", "100")


def sample(folder, **changed):
    rng = np.random.default_rng(0)
    parts = {
        "x_train": rng.integers(0, 256, (20, 3, 32, 32), np.uint8), "y_train": np.arange(20) % 10,
        "x_test": rng.integers(0, 256, (5, 3, 32, 32), np.uint8), "y_test": np.arange(5),
    }  # fmt: skip
    np.savez(folder / "a.npz", **(parts | changed))
    return parts


def test_cifar_is_read_from_a_sample_and_from_batches(tmp_path):
    parts = sample(tmp_path)
    images = read_cifar10(tmp_path)
    np.testing.assert_array_equal(images.train, parts["x_train"].transpose(0, 2, 3, 1))
    folder = tmp_path / "cifar-10-batches-bin"
    folder.mkdir()
    for name, part in (("data_batch_1", "train"), ("test_batch", "test")):
        rows = parts[f"x_{part}"].reshape(-1, 3072)
        labels = parts[f"y_{part}"].astype(np.uint8)[:, None]
        np.concatenate([labels, rows], axis=1).tofile(folder / f"{name}.bin")
    for ours, theirs in zip(read_cifar10(tmp_path), images, strict=True):
        np.testing.assert_array_equal(ours, theirs)
    (folder / "test_batch.bin").write_bytes(b"\0" * 3000)
    with pytest.raises(ValueError, match="not a multiple"):
        read_cifar10(tmp_path)


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        ({"x_train": np.zeros((20, 32, 32, 3), np.uint8)}, "images must be uint8"),
        ({"y_test": np.arange(6)}, "labels must be 5"),
        ({"y_train": np.full(20, 10)}, "from 0 to 9"),
    ],
)
def test_damaged_samples_are_refused(tmp_path, changed, words):
    sample(tmp_path, **changed)
    with pytest.raises(ValueError, match=words):
        read_cifar10(tmp_path)


def test_missing_data_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="neither"):
        read_cifar10(tmp_path)
    with pytest.raises(ValueError, match="task must be one of"):
        training_set("digit", 4)


def test_random_features_are_the_same_for_the_same_image():
    images = np.random.default_rng(0).integers(0, 256, (6, 32, 32, 3), np.uint8)
    a, b = random_features(images, images[2:4])
    assert a.shape == (6, 256)
    np.testing.assert_allclose(b, a[2:4], atol=1e-4)
    assert data_attribution.Config().task == "digits"
