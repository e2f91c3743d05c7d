"""Photographs of CIFAR-10 as items, and the small ViT that is trained on them."""

import jax
import numpy as np
import pytest

from spexjax.experiments.tasks import registry
from spexjax.experiments.tasks.cifar10_training import main, varied
from spexjax.experiments.tasks.item import TaskConfig
from spexjax.models.vit.classifier import load_image_classifier


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Two classes that a model tells apart by their brightness."""
    folder = tmp_path_factory.mktemp("data")
    (folder / "cifar10").mkdir()
    rng = np.random.default_rng(0)
    parts = {}
    for name, count in (("train", 40), ("test", 12)):
        labels = rng.integers(2, size=count)
        images = rng.integers(0, 60, (count, 3, 32, 32)) + 190 * labels[:, None, None, None]
        parts |= {f"x_{name}": images.astype(np.uint8), f"y_{name}": labels}
    np.savez(folder / "cifar10" / "sample.npz", **parts)
    return folder


@pytest.mark.loose_promotion
def test_a_model_is_trained_and_explained(data, tmp_path, capsys):
    main(["--out", str(tmp_path), "--data", str(data), "--dim", "16", "--layers", "1", "--heads",
          "2", "--steps", "30", "--batch", "16", "--rate", "1e-2"])  # fmt: skip
    assert "100.0% of 12 test photographs" in capsys.readouterr().out
    model = load_image_classifier(tmp_path)
    assert model.label_names[:2] == ("airplane", "automobile")
    config = TaskConfig("cifar10", per_group=2, data=str(data), model=str(tmp_path))
    items = list(registry.items(config))
    assert [(item.group, item.n) for item in items] == [("8x8", 64)] * 2 + [("4x4", 16)] * 2
    assert all(item.f.kind == "log-odds" and item.supporting is None for item in items)
    assert items[0].name.removeprefix("cifar10-8x8") == items[2].name.removeprefix("cifar10-4x4")


def test_a_model_must_be_named(data):
    with pytest.raises(ValueError, match="cifar10_training"):
        list(registry.items(TaskConfig("cifar10", data=str(data))))


def test_photographs_vary():
    images = np.random.default_rng(1).integers(0, 256, (20, 32, 32, 3)).astype(np.uint8)
    seen = np.asarray(varied(jax.random.key(0), images))
    assert seen.shape == images.shape and np.abs(seen).max() <= 1
    middle = images[:, 8:24, 8:24].astype(np.float32) / 127.5 - 1
    found = set()
    for part, whole in zip(middle, seen, strict=True):
        # Somewhere in what is seen lies the middle, as it is or mirrored, up to brightness.
        fits = {
            (mirror, down, right): np.corrcoef(
                whole[down : down + 16, right : right + 16].ravel(),
                (part[:, ::-1] if mirror else part).ravel(),
            )[0, 1]
            for mirror in (False, True) for down in range(4, 13) for right in range(4, 13)
        }  # fmt: skip
        best = max(fits, key=fits.get)
        assert fits[best] > 0.95
        found.add(best)
    assert {mirror for mirror, _, _ in found} == {False, True} and len(found) > 10
