"""The embedded model that looks: its folder, its answers, and what explanations of them find."""

import warnings
from importlib import resources
from itertools import islice

import numpy as np
import pytest

from spexjax.explanation import Explanation
from spexjax.models.cli.main import main
from spexjax.models.mini.vqa import grammar as g
from spexjax.models.mini.vqa.drawing import picture
from spexjax.models.mini.vqa.evaluate import accuracy, pairs
from spexjax.models.mini.vqa.learner import Settings, geometry
from spexjax.models.mini.vqa.scenes import held_out_examples
from spexjax.models.values.image_question import visual_value
from spexjax.models.vit.reading import read_image
from spexjax.models.vlm.language import load_vision_language_model

ABOUT_TWO = (g.LEFT, g.RIGHT, g.ABOVE, g.BELOW)
QUESTION = "Is the red circle left of the blue square?"


@pytest.fixture(scope="module")
def model():
    return load_vision_language_model()


@pytest.fixture(scope="module")
def folder():
    with resources.as_file(resources.files("spexjax.models.mini") / "vqa") as path:
        yield path


def test_it_answers_what_it_was_not_asked_in_training(model):
    found = accuracy(model, 10, seed=9)
    assert found["all"] >= 0.97 and len(found) == 11


def test_it_says_so_if_it_cannot_see(model, folder):
    image = read_image(folder / "example.png")
    assert model.answer(image, QUESTION) == "yes"
    assert model.answer(image, "Is the red cross left of the blue square?") == "unknown"
    assert model.answer(image, "How many green shapes are there?") == "2"


@pytest.mark.slow
def test_the_strongest_set_is_the_deciding_pair(model):
    assert pairs(model, 4, 700, "proxyspex", seed=3) == (4, 4, 0, 0)


def test_the_value_is_an_and_of_two_cells(model):
    for i, example in enumerate(islice(held_out_examples(6, 4, 9, ABOUT_TWO), 4)):
        f = visual_value(model, picture(example.objects, i), example.question, cells=(6, 6))
        masks = np.random.default_rng(i).random((64, 36)) < 0.7
        both = masks[:, list(example.cells)].all(1)
        values = np.exp(f(masks))
        assert values[both].min() > 0.5 and values[~both].max() < 0.2


def test_geometry_and_size(model, folder):
    files = {file.name: file.stat().st_size for file in folder.iterdir() if file.is_file()}
    assert {"config.json", "preprocessor_config.json", "tokenizer.json"} < files.keys()
    assert {"model.safetensors", "README.md", "example.png"} < files.keys()
    assert sum(files.values()) <= 5_000_000
    assert model.config == geometry(Settings()) and model.name == "shapes"
    assert [model.tokenizer.token_to_id(w) for w in g.VOCABULARY] == list(range(len(g.VOCABULARY)))


def test_the_command(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code = main(["explain", "--image", "example", "--question", QUESTION, "--budget", "600",
                 "--method", "proxyspex", "--index", "Moebius", "--order", "2", "--top", "1",
                 "--html", "page.html", "--json", "e.json"])  # fmt: skip
    out, err = capsys.readouterr()
    assert code == 0, err
    first = next(line for line in out.splitlines() if "r2c2" in line)
    assert "r4c5" in first and f"shapes, log-probability of 'yes' to '{QUESTION}'" in out
    assert Explanation.load(tmp_path / "e.json").n == 36
    assert "data:image/" in (tmp_path / "page.html").read_text(encoding="utf-8")


@pytest.mark.filterwarnings("ignore")
def test_transformers_gives_the_same_logits(model, folder):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
        transformers = pytest.importorskip("transformers")
    theirs = transformers.AutoModelForImageTextToText.from_pretrained(folder).eval()
    image = model.preprocessing(read_image(folder / "example.png"))
    asked = model.prompt(QUESTION)
    with torch.no_grad():
        pixels = torch.tensor(np.moveaxis(image, -1, 0)[None, None])
        ids = torch.tensor(asked.ids[None].astype(np.int64))
        logits = theirs(input_ids=ids, pixel_values=pixels).logits[0, -1].numpy()
    f = visual_value(model, read_image(folder / "example.png"), QUESTION, cells=(6, 6))
    log_p = logits - np.log(np.exp(logits - logits.max()).sum()) - logits.max()
    np.testing.assert_allclose(f(np.ones((1, 36), bool))[0], log_p[g.YES], atol=1e-4)
