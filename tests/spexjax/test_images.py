"""Images as value functions."""

import numpy as np
import pytest

from spexjax import values


@pytest.fixture(params=[(10, 14), (10, 14, 3)])
def image(request):
    return np.random.default_rng(0).random(request.param).astype(np.float32)


def total(images):
    return images.reshape(len(images), -1).sum(axis=1)


def test_the_grid_covers_the_image_in_reading_order(image):
    f = values.image_grid(total, image, 3, 4)
    assert f.n == 12 and f.cells.shape == image.shape[:2]
    assert f.cells[0, 0] == 0 and f.cells[0, -1] == 3 and f.cells[-1, 0] == 8
    sizes = np.bincount(f.cells.reshape(-1))
    assert sizes.min() >= 9 and sizes.max() <= 16
    assert (np.diff(f.cells, axis=0) >= 0).all() and (np.diff(f.cells, axis=1) >= 0).all()


def test_masked_cells_show_their_mean(image):
    f = values.image_grid(total, image, 2, 2)
    mask = np.array([True, False, True, True])
    shown = f.masked(mask[None])[0]
    hidden = f.cells == 1
    np.testing.assert_array_equal(shown[~hidden], image[~hidden])
    mean = image[hidden].mean(axis=0)
    np.testing.assert_allclose(shown[hidden], np.broadcast_to(mean, shown[hidden].shape), rtol=1e-5)
    # So that a sum over pixels does not change.
    masks = np.random.default_rng(1).random((20, 4)) < 0.5
    np.testing.assert_allclose(f(masks), image.sum(), rtol=1e-5)
    assert f(masks).dtype == np.float32 and shown.dtype == image.dtype


def test_masked_cells_are_blurred_or_replaced(image):
    from scipy.ndimage import gaussian_filter

    f = values.image_grid(total, image, 2, 2, "blur")
    sigma = 0.5 * np.sqrt(10 * 14 / 4)
    channels = np.atleast_3d(image)
    blurred = np.stack(
        [
            gaussian_filter(c.astype(float), sigma, mode="nearest")
            for c in np.moveaxis(channels, 2, 0)
        ],
        axis=2,
    ).reshape(image.shape)
    np.testing.assert_allclose(f.masked(np.zeros((1, 4), bool))[0], blurred, rtol=1e-5)
    assert blurred.std() < 0.5 * image.std()
    black = values.image_grid(total, image, 2, 2, np.zeros_like(image))
    masks = np.eye(4, dtype=bool)
    cells = [image[black.cells == i].sum() for i in range(4)]
    np.testing.assert_allclose(black(masks), cells, rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32, np.int64])
def test_values_are_as_the_prediction_gave_them(dtype):
    image = np.random.default_rng(0).random((8, 8))
    f = values.image_grid(lambda images: total(images).astype(dtype), image, 2, 2)
    got = f(np.eye(4, dtype=bool))
    assert got.dtype == dtype
    np.testing.assert_array_equal(got, total(f.masked(np.eye(4, dtype=bool))).astype(dtype))


def test_integers_stay_integers():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    for replacement in ("mean", "blur"):
        f = values.image_grid(total, image, 2, 2, replacement)
        assert f.masked(np.zeros((1, 4), bool)).dtype == np.uint8
    assert abs(f.replaced.astype(float).mean() - image.mean()) < 8


def test_segments_of_any_shape_and_label(image):
    labels = np.where(np.add.outer(np.arange(10), np.arange(14)) % 3 == 0, 7, -2)
    f = values.image_cells(total, image, labels, np.zeros_like(image))
    assert f.n == 2
    np.testing.assert_allclose(
        f(np.eye(2, dtype=bool)), [image[labels == -2].sum(), image[labels == 7].sum()], rtol=1e-5
    )


def test_large_batches_are_cut():
    sizes = []

    def count(images):
        sizes.append(len(images))
        return total(images)

    image = np.ones((2048, 2048), np.uint8)
    f = values.image_grid(count, image, 2, 2, np.zeros_like(image))
    got = f(np.array([[1, 0, 0, 0]] * 5 + [[1, 1, 0, 0]], bool))
    assert sizes == [4, 2]
    np.testing.assert_array_equal(got, [2**20] * 5 + [2**21])


def test_the_store_key_is_the_name_and_the_pixels(image):
    def key(name="m", image=image, rows=2, replacement="mean"):
        return values.image_grid(total, image, rows, 2, replacement, name).store_key

    keys = [key(), key("n"), key(image=image + 1), key(rows=3), key(replacement="blur")]
    assert len(set(keys)) == 5 and key() == keys[0] and key(name=None) is None


@pytest.mark.parametrize(
    "changes,message",
    [
        ({"image": np.zeros(5)}, "image must be numbers"),
        ({"image": np.zeros((0, 5))}, "image must be numbers"),
        ({"image": np.full((5, 5), "x")}, "image must be numbers"),
        ({"rows": 6}, "rows, cols must be 1 to 5, 5, got 6, 2"),
        ({"cols": 0}, "rows, cols"),
        ({"replacement": "noise"}, "replacement must be one of"),
        ({"replacement": np.zeros((4, 5))}, "the image's shape"),
    ],
)
def test_arguments_are_checked(changes, message):
    arguments = {"predict": total, "image": np.zeros((5, 5)), "rows": 2, "cols": 2} | changes
    with pytest.raises(ValueError, match=message):
        values.image_grid(**arguments)


@pytest.mark.parametrize("cells", [np.zeros((4, 5), int), np.zeros((5, 5))])
def test_segments_are_checked(cells):
    with pytest.raises(ValueError, match="cells must be integers"):
        values.image_cells(total, np.zeros((5, 5)), cells)
