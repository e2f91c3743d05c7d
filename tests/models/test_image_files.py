"""Images from files, and as models want them."""

import numpy as np
import pytest
from PIL import Image

from spexjax.models.vit import reading
from spexjax.models.vit.preprocessing import Preprocessing, preprocessing_from_dict
from spexjax.models.vit.reading import read_image, rgb

COLOURS = np.random.default_rng(0).integers(0, 256, (6, 9, 3), dtype=np.uint8)


def stored(tmp_path, image, name="a.png", **kw):
    Image.fromarray(image).save(tmp_path / name, **kw)
    return tmp_path / name


def test_colours_come_back(tmp_path):
    np.testing.assert_array_equal(read_image(stored(tmp_path, COLOURS)), COLOURS)
    assert read_image(stored(tmp_path, COLOURS[:1, :1])).shape == (1, 1, 3)


def test_grey_and_16_bits(tmp_path):
    grey = COLOURS[..., 0]
    want = np.repeat(grey[..., None], 3, axis=-1)
    np.testing.assert_array_equal(read_image(stored(tmp_path, grey)), want)
    deep = grey.astype(np.uint16) * 257
    np.testing.assert_array_equal(read_image(stored(tmp_path, deep)), want)
    np.testing.assert_array_equal(rgb(grey / 255.0), want)
    Image.fromarray(grey).convert("1").save(tmp_path / "b.png")
    assert set(np.unique(read_image(tmp_path / "b.png"))) <= {0, 255}


def test_what_is_transparent_shows_white(tmp_path):
    clear = np.concatenate([COLOURS, np.zeros((6, 9, 1), np.uint8)], axis=-1)
    assert (read_image(stored(tmp_path, clear)) == 255).all()
    clear[..., 3] = 255
    np.testing.assert_array_equal(read_image(stored(tmp_path, clear)), COLOURS)
    palette = Image.fromarray(COLOURS).quantize(4)
    palette.info["transparency"] = 0
    palette.save(tmp_path / "p.png", transparency=0)
    shown = read_image(tmp_path / "p.png")
    assert (shown[np.asarray(palette) == 0] == 255).all()


def test_it_stands_upright(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # turned by a quarter
    Image.fromarray(COLOURS).save(tmp_path / "t.png", exif=exif)
    np.testing.assert_array_equal(read_image(tmp_path / "t.png"), np.rot90(COLOURS, -1))


def test_large_images_are_scaled_down_with_a_word(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "MOST_PIXELS", 1000)
    monkeypatch.setattr(reading, "_LONGEST", 30)
    path = stored(tmp_path, np.zeros((40, 60, 3), np.uint8))
    with pytest.warns(UserWarning, match=r"60 × 40 pixels; it is scaled down"):
        assert read_image(path).shape == (20, 30, 3)


@pytest.mark.parametrize("name", ["a.png", "a.jpg", "a.bmp"])
def test_broken_files_are_refused_in_one_line(tmp_path, name):
    path = stored(tmp_path, np.repeat(np.repeat(COLOURS, 20, 0), 20, 1), name)
    whole = path.read_bytes()
    for size in (0, 3, len(whole) // 2):
        path.write_bytes(whole[:size])
        with pytest.raises(ValueError, match=r"is not an image|cannot be read") as found:
            read_image(path)
        assert "\n" not in str(found.value)
    with pytest.raises(FileNotFoundError, match="no image file"):
        read_image(tmp_path / "none.png")


@pytest.mark.parametrize(
    ("image", "what"),
    [
        (np.zeros((2, 3, 5), np.uint8), "must be"),
        (np.zeros((0, 3, 3), np.uint8), "must be"),
        (np.zeros((2, 3), np.int64), "uint8, uint16 or floats"),
        (np.full((2, 3), 2.0), "from 0 to 1"),
        (np.full((2, 3), np.nan), "from 0 to 1"),
    ],
)
def test_arrays_that_are_no_images(image, what):
    with pytest.raises(ValueError, match=what):
        rgb(image)


def test_cells_move_with_the_pixels():
    """A map of labels and an image painted with it stay together through resize and crop."""
    labels = np.add.outer(np.arange(8)[:, None].repeat(12, 1).ravel(), [0]).reshape(8, 12)
    labels = (np.arange(8) // 4)[:, None] * 3 + np.arange(12) // 4
    painted = np.repeat((labels * 40)[..., None], 3, axis=-1).astype(np.uint8)
    moves = [
        Preprocessing(size=(16, 24), resample=0),
        Preprocessing(resize="shortest", size=(16, 16), resample=0, crop=(16, 16)),
        Preprocessing(resize="none", crop=(6, 10)),
        Preprocessing(resize="longest", size=(24, 24), square=16, resample=0),
        Preprocessing(to_square=True, size=(24, 24), resample=0, mean=None, std=None),
    ]
    for p in moves:
        seen, placed = p(painted), p.placed(labels)
        there = placed >= 0
        pixels = seen if p.mean is None else seen * 0.5 + 0.5
        np.testing.assert_allclose(pixels[there][:, 0], placed[there] * 40 / 255, atol=1e-6)
        assert there.all() != p.to_square


def test_settings_that_are_not_supported():
    with pytest.raises(ValueError, match="do_rescale"):
        preprocessing_from_dict({"do_rescale": False}, "vit")
    with pytest.raises(ValueError, match="size = "):
        preprocessing_from_dict({"size": {"max_height": 3, "max_width": 4}}, "vit")
    old = preprocessing_from_dict({"size": 30, "crop_size": 24}, "clip")
    assert (old.resize, old.size[0], old.crop) == ("shortest", 30, (24, 24))
