"""Components as features: ablations beside surgery on the weights, and the first-order screen."""

from dataclasses import replace
from itertools import islice

import jax
import numpy as np
import pytest
from test_language_value import tokenizer

from spexjax.models.llama.language import LanguageModel, load_language_model
from spexjax.models.llama.model import Llama, LlamaConfig, init_params, unembed
from spexjax.models.mini.two_hop.facts import held_out_examples
from spexjax.models.values.components import (
    Asked,
    Component,
    attribution_patching,
    component_value,
    head_value,
)

PROMPT, OTHER = "Ann sees a cat . Bob sleeps", "The dog has Bob . cat sees"
ASKED = [Asked(PROMPT, "a cat"), Asked("Bob has a dog .", "The dog sleeps")]


@pytest.fixture(scope="module")
def model():
    config = LlamaConfig(
        vocab_size=22, dim=12, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=6, hidden_dim=10,
        max_position_embeddings=40, mlp_bias=True,
    )  # fmt: skip
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    rng = np.random.default_rng(3)
    params = jax.tree.map(lambda x: np.float32(rng.normal(0, 0.4, x.shape)), shapes)
    return LanguageModel(config, params, tokenizer(), None, {"unk_token": "[UNK]"}, "tiny")


def operated(model, change):
    """The model after surgery: ``change`` gets copies of its arrays."""
    params = jax.tree.map(np.array, model.params)
    change(params, params["layers"])
    return replace(model, params=params)


def whole(model, asked=ASKED, **given):
    f = component_value(model, asked, **given)
    return f(np.ones((1, f.n), bool))[0]


def head(params, layers):
    layers["attention"]["out"]["kernel"].reshape(2, 4, 6, 12)[1, 2] = 0


def mlp(params, layers):
    layers["down"]["kernel"][0], layers["down"]["bias"][0] = 0, 0


def layer(params, layers):
    layers["attention"]["out"]["kernel"][1] = 0
    layers["down"]["kernel"][1], layers["down"]["bias"][1] = 0, 0


def neuron(params, layers):
    layers["down"]["kernel"][1, 7] = 0


SURGERY = {
    Component("heads", 1, 2): head,
    Component("mlps", 0): mlp,
    Component("layers", 1): layer,
    Component("neurons", 1, 7): neuron,
}


@pytest.mark.parametrize("component", SURGERY, ids=str)
def test_zero_is_surgery_on_the_weights(model, component):
    f = component_value(model, ASKED, [Component("heads", 0, 0), component])
    found = f(np.array([[True, False], [True, True]]))
    want = whole(operated(model, SURGERY[component]))
    np.testing.assert_allclose(found, [want, whole(model)], atol=2e-5)
    assert abs(found[0] - found[1]) > 1e-3


def test_a_state_without_its_token(model):
    """Zero before the first layer is a token whose embedding is zero."""
    f = component_value(model, ASKED[:1], "states", layers=[0])
    token = model.encode(PROMPT)[2]
    assert f.n == len(model.encode(PROMPT)) and f.words[2] == "L0 @2"

    def blank(params, layers):
        params["embedding"][token] = 0

    assert model.encode(PROMPT + " a cat").count(token) == 1
    want = whole(operated(model, blank), ASKED[:1])
    np.testing.assert_allclose(f(np.arange(f.n)[None] != 2), [want], atol=2e-5)


def test_directions_are_projected_out(model):
    v = np.random.default_rng(0).normal(size=(2, 12)).astype(np.float32)
    v[1] -= v[0] * (v[0] @ v[1]) / (v[0] @ v[0])
    f = component_value(model, ASKED, "directions", directions=([0, 0], v))
    assert f.words == ("L0 D0", "L0 D1")

    def without(params, layers):
        e = params["embedding"]
        e -= np.outer(e @ v[1], v[1]) / (v[1] @ v[1])

    want = whole(operated(model, without))
    np.testing.assert_allclose(f(np.array([[True, False]])), [want], atol=2e-5)
    # At the mean, along the direction, of the tokens that there are.
    g = component_value(model, ASKED, "directions", "mean", directions=([0, 0], v))
    ids = [t for row in g.tokens for t in row]
    mean = np.mean(model.params["embedding"][ids] @ v[1] / (v[1] @ v[1]))

    def moved(params, layers):
        without(params, layers)
        params["embedding"] += mean * v[1]

    want = whole(operated(model, moved))
    np.testing.assert_allclose(g(np.array([[True, False]])), [want], atol=2e-5)


def test_the_mean_of_an_mlp_is_a_bias(model):
    f = component_value(model, ASKED, "mlps", "mean")
    rows = []
    for ids in f.tokens:
        run = jax.jit(lambda ids: Llama(model.config).apply(
            {"params": model.params}, ids, look="mlps", mutable=["inside"]))  # fmt: skip
        rows.append(run(np.array([ids]))[1]["inside"]["mlps"][0][1, 0])
    mean = np.concatenate(rows).mean(axis=0)

    def constant(params, layers):
        layers["down"]["kernel"][1], layers["down"]["bias"][1] = 0, mean

    want = whole(operated(model, constant))
    np.testing.assert_allclose(f(np.array([[True, False]])), [want], atol=2e-5)


def test_resampled_activations_are_those_of_the_other_prompt(model):
    asked = [Asked(PROMPT, "a cat", other=OTHER)]
    f = component_value(model, asked, ("heads", "mlps"), "resample")
    nothing, everything = np.zeros((1, f.n), bool), np.ones((1, f.n), bool)
    same = component_value(model, [Asked(PROMPT, "a cat", other=PROMPT)], ("heads", "mlps"),
                           "resample")  # fmt: skip
    np.testing.assert_allclose(same(nothing), same(everything), atol=1e-5)
    assert abs(f(nothing) - f(everything)) > 1e-3
    # All states before the first layer: what the model says of the other prompt.
    g = component_value(model, asked, "states", "resample", layers=[0])
    want = whole(model, [Asked(OTHER, "a cat")])
    np.testing.assert_allclose(g(np.zeros((1, g.n), bool)), [want], atol=2e-5)
    # Without another prompt, that of the next question.
    h = component_value(model, [Asked(PROMPT, "cat"), Asked(OTHER, "cat")], "states", "resample",
                        layers=[0], each=True)  # fmt: skip
    values = h(np.stack([np.zeros(h.n, bool), np.ones(h.n, bool)]))
    np.testing.assert_allclose(values[0], values[1, ::-1], atol=2e-5)


def test_the_divergence_from_the_whole_model(model):
    f = component_value(model, ASKED[:1], "mlps", score="negative-kl")
    g = component_value(model, ASKED[:1], "mlps", score="log-odds")
    masks = np.array([[True, True], [False, True]])
    found = f(masks)
    assert found[0] == pytest.approx(0, abs=1e-6) and found[1] < -1e-3
    ids = np.array([f.tokens[0]])

    def said(model):
        hidden, _ = jax.jit(Llama(model.config).apply)({"params": model.params}, ids)
        return np.asarray(jax.nn.log_softmax(unembed(model.config, model.params, hidden)))[0, -2:]

    p, q = said(model), said(operated(model, mlp))
    np.testing.assert_allclose(found[1], -np.sum(np.exp(p) * (p - q)), atol=2e-5)
    assert g.store_key != f.store_key


@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_the_screen_is_a_derivative(model, ablation):
    """Beside differences: neurons scaled by 1 ± h in the weights that read them."""
    f = component_value(model, ASKED, "neurons", ablation)
    found, i, h = attribution_patching(f), 13, 1e-2
    assert found.shape == (f.n,) == (20,) and str(f.components[i]) == "L1 N3"
    mean = 0.0
    if ablation == "mean":
        mean = f.bases[0]["neurons"][1, 0, 3]

    def scaled(size):
        def change(params, layers):
            layers["down"]["bias"][1] += (1 - size) * mean * layers["down"]["kernel"][1, 3]
            layers["down"]["kernel"][1, 3] *= size

        return whole(operated(model, change))

    np.testing.assert_allclose(found[i], (scaled(1 - h) - scaled(1 + h)) / (2 * h), rtol=0.02)
    few = component_value(model, ASKED, "neurons", ablation, most=4)
    best = np.argsort(-np.abs(attribution_patching(f, 0.75)))[:4]
    assert few.components == tuple(f.components[i] for i in sorted(best))
    masks = np.random.default_rng(0).random((5, 4)) < 0.5
    wide = np.ones((5, f.n), bool)
    wide[:, sorted(best)] = masks
    np.testing.assert_allclose(few(masks), f(wide), atol=1e-5)


def test_what_is_refused(model):
    for given, message in (
        ({"components": "tails"}, "components must be"),
        ({"components": [Component("heads", 0, 4)]}, "no component L0 H4"),
        ({"components": [Component("mlps", 0)] * 2}, "different"),
        ({"components": "directions"}, "needs directions"),
        ({"components": "states"}, "same number of tokens"),
        ({"ablation": "dust"}, "ablation must be"),
        ({"ablation": "mean", "rescale": True}, "rescale"),
        ({"most": 0}, "at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            component_value(model, ASKED, **given)
    with pytest.raises(ValueError, match="two questions"):
        component_value(model, ASKED[:1], ablation="resample")
    with pytest.raises(ValueError, match="rescale"):
        attribution_patching(head_value(model, ASKED))


@pytest.mark.slow
@pytest.mark.parametrize("ablation", ["zero", "mean"])
def test_the_screen_finds_what_matters_in_the_embedded_model(ablation):
    """Of the 20 neurons that cost most, each ablated by itself, 18 or more."""
    examples = islice(held_out_examples(0, 8, 2), 16)
    asked = [Asked(f"{e.context} {e.question}", e.answer) for e in examples]
    f = component_value(load_language_model(), asked, "neurons", ablation)
    whole, *single = f(np.concatenate([np.ones((1, f.n), bool), ~np.eye(f.n, dtype=bool)]))

    def largest(values, count):
        return set(np.argsort(-np.abs(values))[:count].tolist())

    matter = largest(np.array(single) - whole, 20)
    assert len(matter & largest(attribution_patching(f), 40)) >= 18
    assert len(matter & largest(attribution_patching(f, 0.75), 20)) >= 18
