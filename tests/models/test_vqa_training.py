"""How the model that looks is trained."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax.models.llama.model import Llama, unembed
from spexjax.models.mini.loop import optimizer
from spexjax.models.mini.vqa import grammar as g
from spexjax.models.mini.vqa import train
from spexjax.models.mini.vqa.folder import model_of, save_model
from spexjax.models.mini.vqa.learner import (
    PREFIX,
    Settings,
    Stage,
    first_weights,
    geometry,
    loss,
    read,
)
from spexjax.models.mini.vqa.train import batches, fit
from spexjax.models.vlm.language import load_vision_language_model
from spexjax.models.vlm.model import image_embeddings, merged

SMALL = Settings(stages=(Stage(3, 2, 4), Stage(3, 2, 6)), dim=32, n_heads=2, tower_layers=1,
                 layers=3, hidden_dim=16, rows=2, questions=3, warmup=2)  # fmt: skip
started = jax.jit(first_weights, static_argnums=(0, 1))


@pytest.fixture(scope="module")
def weights():
    return started(geometry(SMALL), SMALL)


def test_questions_are_read_as_prompts_are(weights):
    config, params = geometry(SMALL), weights["model"]
    batch = next(batches(SMALL, 0))
    image, questions = batch.images[0], batch.questions[0]
    found = jax.jit(read, static_argnums=0)(config, params, image, questions)

    @jax.jit
    def whole(ids, last):
        states = merged(params, ids, ids == config.image_token_id,
                        image_embeddings(config, params, image[None]))  # fmt: skip
        hidden, _ = Llama(config.text).apply({"params": params["text"]}, states)
        return unembed(config.text, params["text"], hidden[0, last - jnp.arange(2)[::-1]])

    for question, logits in zip(questions, found.logits, strict=True):
        real = [*PREFIX, *question[question != g.PAD]]
        ids = np.array([real + [g.PAD] * (51 - len(real))])
        np.testing.assert_allclose(logits, whole(ids, len(real) - 1), atol=2e-5)
    asked = model_of(config, params).prompt(g.text_of(questions[0][:-1]))
    np.testing.assert_array_equal(asked.ids, [*PREFIX, *questions[0][:-1][questions[0][:-1] > 0]])


def test_the_folder_is_read_as_it_was_written(weights, tmp_path):
    config = geometry(SMALL)
    save_model(tmp_path, config, weights["model"])
    again, want = load_vision_language_model(tmp_path), model_of(config, weights["model"])
    assert again.config == config
    assert (again.preprocessing, again.prompt_template) == (want.preprocessing, "plain")
    assert again.special == want.special
    assert again.tokenizer.to_str() == want.tokenizer.to_str()
    for x, y in zip(*map(jax.tree.leaves, (again.params, weights["model"])), strict=True):
        np.testing.assert_array_equal(x, y)


@pytest.mark.loose_promotion
def test_stacked_layers_are_updated_as_single_ones_are():
    weights, grads = np.random.default_rng(0).normal(size=(2, 3, 6, 4)).astype(np.float32)

    def updated(kernels, grads):
        update = optimizer(SMALL)
        trees = [{k: {"kernel": a} for k, a in part.items()} for part in (kernels, grads)]
        return update.update(trees[1], update.init(trees[0]), trees[0])[0]

    stacked = updated({"all": weights}, {"all": grads})["all"]["kernel"]
    single = updated(*({str(i): a for i, a in enumerate(part)} for part in (weights, grads)))
    for i, found in enumerate(stacked):
        np.testing.assert_allclose(found, single[str(i)]["kernel"], atol=1e-6)


@pytest.mark.slow
@pytest.mark.loose_promotion
def test_training_learns_and_goes_on(weights, tmp_path, monkeypatch):
    config = geometry(SMALL)
    saved = []
    whole = fit(config, SMALL, tmp_path / "a.npz", 1e9, saved.append, lambda _: None)
    assert len(saved) == 1
    batch = list(batches(SMALL, 0))[-1]
    cost = jax.jit(loss, static_argnums=(0, 1))
    after = cost(config, SMALL, {"model": whole, "guides": weights["guides"]}, batch, 0.0)[0]
    assert after < cost(config, SMALL, weights, batch, 0.0)[0]

    # Stopped after the fourth step and taken up again: the same weights.
    all_batches = batches

    def some(s, first):
        for i, one in enumerate(all_batches(s, first)):
            if first + i == 4:
                raise KeyboardInterrupt
            yield one

    monkeypatch.setattr(train, "batches", some)
    with pytest.raises(KeyboardInterrupt):
        fit(config, SMALL, tmp_path / "b.npz", 0.0, saved.append, lambda _: None)
    monkeypatch.undo()
    again = fit(config, SMALL, tmp_path / "b.npz", 1e9, saved.append, lambda _: None)
    for x, y in zip(*map(jax.tree.leaves, (whole, again)), strict=True):
        np.testing.assert_array_equal(x, y)


def test_the_command_sets_what_it_is_told(monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(train, "fit", lambda *given: asked.append(given))
    monkeypatch.setattr(train, "accuracy", lambda *given: {"all": 0.25})
    train.main(["--stages", "3:3:4", "5:4:8", "--decay", "0.5",
                "--checkpoint", str(tmp_path / "c.npz")])  # fmt: skip
    config, settings, checkpoint, seconds, *_ = asked[0]
    assert settings == Settings(stages=(Stage(3, 3, 4), Stage(5, 4, 8)), decay=0.5)
    assert (config, checkpoint, seconds) == (geometry(settings), tmp_path / "c.npz", 180)
    assert '"all": 0.25' in capsys.readouterr().out
