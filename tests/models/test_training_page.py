"""The digits that ship with the package, the page with their thumbnails, and the command."""

import base64
import re

import numpy as np
import pytest

import spexjax as sx
from spexjax.models.cli.main import main
from spexjax.models.training.digits import load_digits, split
from spexjax.models.training.page import Pictures, render, thumbnail


def explanation(n=4):
    def f(masks):
        return 2.0 * masks[:, 0] - 3.0 * masks[:, 1] * masks[:, 2] + 0.5 * masks[:, :3].all(axis=1)

    return sx.explain(f, n, budget=2**n)


def pictures(points=4, **options):
    images = np.linspace(0, 1, points * 64).reshape(points, 8, 8)
    given = {"feature": np.arange(points), "names": None, **options}
    return Pictures(images, np.arange(points) % 3, test=images[0], label=2, **given)


def test_the_digits_are_those_of_scikit_learn():
    theirs = pytest.importorskip("sklearn.datasets").load_digits()
    images, labels = load_digits()
    np.testing.assert_array_equal(images * 16, theirs.images)
    np.testing.assert_array_equal(labels, theirs.target)


def test_a_split_is_balanced_and_shares_nothing():
    (x, y), (x_test, _) = split(50, 40)
    assert np.bincount(y).tolist() == [5] * 10 and x.shape == (50, 8, 8)
    rows = {image.tobytes() for image in x}
    assert not rows & {image.tobytes() for image in x_test}
    np.testing.assert_array_equal(split(50, 60)[1][0][:40], x_test)
    for bad in ((55, 4), (0, 4), (50, 0), (50, 1750)):
        with pytest.raises(ValueError, match="must be"):
            split(*bad)


def test_a_thumbnail_is_its_image():
    image = pytest.importorskip("matplotlib.image")
    import io

    shown = thumbnail(np.array([[0.0, 1.0], [0.5, 0.25]]))
    raw = base64.b64decode(shown.removeprefix("data:image/png;base64,"))
    pixels = image.imread(io.BytesIO(raw))
    assert pixels.shape == (2, 2, 4)
    np.testing.assert_allclose(pixels[:, :, 0], [[1, 0], [0.5, 0.75]], atol=0.01)  # ink is dark
    colour = thumbnail(np.random.default_rng(0).random((3, 3, 3)))
    assert image.imread(io.BytesIO(base64.b64decode(colour.split(",")[1]))).shape[:2] == (3, 3)


def test_the_page_shows_points_and_pairs_with_their_signs():
    page = render(explanation(), pictures(), "a model & more", index="Moebius")
    assert "a model &amp; more" in page and "http" not in page.replace("http-equiv", "")
    sections = page.split("<h2>")[1:]
    assert [s.split("<")[0] for s in sections] == [
        "The strongest points", "The strongest pairs", "Larger sets",
    ]  # fmt: skip
    found = [re.findall(r'<li class="(\w)">.*?<b>(.*?)</b>', s, re.S) for s in sections]
    assert [[sign for sign, _ in section] for section in found] == [["p"], ["m"], ["p"]]
    assert float(found[0][0][1]) == 2 and float(found[1][0][1].replace("−", "-")) == -3
    members = re.findall(r"<figcaption>(.*?)</figcaption>", sections[1])
    assert members == ["1 (no. 1)", "2 (no. 2)"]
    assert "<script" not in page


def test_groups_show_some_of_their_points_and_names_are_escaped():
    feature = np.repeat(np.arange(4), 6)
    shown = pictures(24, feature=feature, names=["<b>", "one", "two"])
    page = render(explanation(), shown, "model")
    assert "&lt;b&gt;, one, two (no. 0, 6 points)" in page and "<b>," not in page
    assert "groups of points" in page
    with pytest.raises(ValueError, match="which of the 4 features"):
        render(explanation(), pictures(3), "model")


def test_the_command_explains_training_digits(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", str(tmp_path))
    asked = ["explain", "--task", "data", "--points", "10", "--budget", "1024", "--test", "3"]
    assert main([*asked, "--store", "s.sqlite", "--json", "e.json", "--order", "2"]) == 0
    said = capsys.readouterr().out
    assert "1024 trainings for 10 points" in said and "a 3 (no. 3)" in said
    page = (tmp_path / "explanation.html").read_text()
    assert "test digit 3" in page and page.count("<img") > 10
    e = sx.Explanation.load(tmp_path / "e.json")
    assert e.n == 10 and e.method == "exact"


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--points", "15"], "multiple of 10"),
        (["--test", "300"], "from 0 to 299"),
        (["--budget", "150"], "cannot see 100 points"),
        (["a text"], "does not take a text"),
        (["--model", "m"], "does not take --model"),
        (["--per-line"], "does not take a file of many texts"),
    ],
)
def test_wrong_options_are_named(options, words, capsys):
    assert main(["explain", "--task", "data", *options]) == 2
    assert words in capsys.readouterr().err


def test_options_of_data_need_its_task(capsys):
    assert main(["explain", "good", "--points", "10"]) == 2
    assert "--points needs --task data" in capsys.readouterr().err
