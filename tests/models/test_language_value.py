"""Questions about contexts: prompts, masks, prefixes and scores beside plain definitions."""

import warnings
from dataclasses import replace
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from spexjax.models.llama.language import LanguageModel, load_language_model
from spexjax.models.llama.model import Llama, LlamaConfig, init_params, unembed
from spexjax.models.llama.prompts import PromptTemplate, multiple_choice, prompt
from spexjax.models.llama.weights import save_llama
from spexjax.models.text.masking import TooLongError
from spexjax.models.values.components import Asked, head_value
from spexjax.models.values.language import language_value
from spexjax.models.values.scores import Attention, Hidden

CONTEXT = "Ann sees Bob . Bob has a cat . The cat sleeps ."
QUESTION = "What does Bob have ?"
WORDS = sorted(set((CONTEXT + " " + QUESTION + " dog True False Context :").split()))
VOCABULARY = ["[PAD]", "[UNK]", "[BOS]", "[EOS]", *WORDS]
CHAT = "{{ bos_token }}{% for m in messages %} user : {{ m['content'] }} {% endfor %}[EOS]"


def tokenizer():
    ids = {word: i for i, word in enumerate(VOCABULARY)}
    made = Tokenizer(models.WordLevel(ids, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.add_special_tokens(VOCABULARY[:4])
    made.post_processor = processors.TemplateProcessing(
        single="[BOS] $A", special_tokens=[("[BOS]", 2)]
    )
    return made


@pytest.fixture(scope="module")
def model():
    config = LlamaConfig(
        vocab_size=len(VOCABULARY), dim=12, n_layers=2, n_heads=4, n_kv_heads=2, head_dim=6,
        hidden_dim=20, max_position_embeddings=40, eos_token_ids=(3,),
    )  # fmt: skip
    shapes = jax.eval_shape(lambda: init_params(config, jax.random.key(0)))
    rng = np.random.default_rng(8)
    params = jax.tree.map(lambda x: jnp.float32(rng.normal(0, 0.4, x.shape)), shapes)
    special = {"bos_token": "[BOS]", "unk_token": "[UNK]"}
    return LanguageModel(config, params, tokenizer(), None, special, "tiny", "plain")


@partial(jax.jit, static_argnums=0)
def all_log_probabilities(config, params, row):
    hidden, _ = Llama(config).apply({"params": params}, row)
    return jax.nn.log_softmax(unembed(config, params, hidden[0]))


def token_by_token(model, text, answer):
    """Log-probabilities of the answer's tokens, each from a pass over all that comes before."""
    ids, found = model.encode(text), []
    for token in model.tokenizer.encode(answer, add_special_tokens=False).ids:
        row = np.zeros((1, 40), np.int32)
        row[0, : len(ids)] = ids
        seen = np.asarray(all_log_probabilities(model.config, model.params, row))
        found.append(float(seen[len(ids) - 1, token]))
        ids.append(token)
    return found


MASKS = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 1], [0, 0, 0]], bool)
SENTENCES = ("Ann sees Bob .", "Bob has a cat .", "The cat sleeps .")


def masked_text(mask, replacement, before=""):
    parts = [s if kept else replacement for s, kept in zip(SENTENCES, mask, strict=True)]
    return " ".join([before, *parts, QUESTION])


@pytest.mark.parametrize("replacement", ["unk", "delete", "dog"])
def test_log_probabilities_are_the_chain_rule(model, replacement):
    answer = "a dog sleeps"
    text = {"unk": "[UNK]", "delete": ""}.get(replacement, replacement)
    want = np.array([token_by_token(model, masked_text(m, text), answer) for m in MASKS])
    template = PromptTemplate("", " {question}")
    f = language_value(
        model, CONTEXT, QUESTION, answer, score="token-log-probabilities", template=template,
        replacement=replacement,
    )  # fmt: skip
    assert f.words == SENTENCES
    np.testing.assert_allclose(f(MASKS), want, atol=2e-5)
    if replacement == "delete":
        total = language_value(model, CONTEXT, QUESTION, answer, replacement="delete")
        np.testing.assert_allclose(total(MASKS), want.sum(axis=1), atol=5e-5)
        mean = language_value(
            model, CONTEXT, QUESTION, answer, replacement="delete", score="mean-log-probability"
        )
        np.testing.assert_allclose(mean(MASKS), want.mean(axis=1), atol=2e-5)
        assert len({f.store_key, total.store_key, mean.store_key}) == 3


def test_a_long_prefix_is_computed_once(model):
    template = PromptTemplate("Context : The dog sleeps . ", " {question}")
    f = language_value(model, CONTEXT, QUESTION, "a cat", template=template)
    assert f.start == 7  # [BOS] and six words
    before = "Context : The dog sleeps ."
    want = [sum(token_by_token(model, masked_text(m, "[UNK]", before), "a cat")) for m in MASKS]
    np.testing.assert_allclose(f(MASKS), want, atol=5e-5)


def test_log_odds(model):
    both = {"choices": ("True", "False"), "score": "log-odds"}
    f = language_value(model, CONTEXT, QUESTION, "True", **both)
    g = language_value(model, CONTEXT, QUESTION, "False", **both)
    np.testing.assert_allclose(f(MASKS), -g(MASKS), atol=1e-5)
    true = [token_by_token(model, masked_text(m, "[UNK]"), "True")[0] for m in MASKS]
    false = [token_by_token(model, masked_text(m, "[UNK]"), "False")[0] for m in MASKS]
    np.testing.assert_allclose(f(MASKS), np.subtract(true, false), atol=2e-5)
    assert language_value(model, CONTEXT, QUESTION, **both).answer == (
        "True" if true[0] > false[0] else "False"
    )
    margin = language_value(model, CONTEXT, QUESTION, "True", **(both | {"score": "margin"}))
    np.testing.assert_allclose(margin(MASKS), f(MASKS), atol=1e-5)  # with two choices the same
    rest = language_value(model, CONTEXT, QUESTION, "True", score="log-odds")
    p = np.exp(true)
    np.testing.assert_allclose(rest(MASKS), np.log(p / (1 - p)), atol=2e-4)


def test_its_own_answer(model):
    f = language_value(model, CONTEXT, QUESTION, max_new_tokens=3)
    want = model.answer(f"{CONTEXT} {QUESTION}", 3)
    assert f.answer == want
    assert np.isclose(f(MASKS)[0], sum(token_by_token(model, masked_text(MASKS[0], ""), want)))


def test_a_part_of_the_answer(model):
    """Given the rest of it up to there; what follows is not read."""
    answer = "a dog sleeps Bob"
    given = {"template": PromptTemplate("", " {question}"), "replacement": "delete"}
    each = np.array([token_by_token(model, masked_text(m, ""), answer) for m in MASKS])
    f = language_value(model, CONTEXT, QUESTION, answer, answer_span="dog sleeps", **given)
    np.testing.assert_allclose(f(MASKS), each[:, 1:3].sum(axis=1), atol=5e-5)
    assert f.answer == answer and "'dog sleeps' in 'a dog sleeps Bob'" in f.description
    whole = language_value(model, CONTEXT, QUESTION, answer, **given)
    assert whole.store_key != f.store_key
    for span, message in (("dogs", "0 times"), (" ", "empty"), ("s", "2 times")):
        with pytest.raises(ValueError, match=message):
            language_value(model, CONTEXT, QUESTION, "sleeps a dog", answer_span=span)
    with pytest.raises(ValueError, match="choices"):
        language_value(model, CONTEXT, QUESTION, "True", score="log-odds", answer_span="True",
                       choices=("True", "False"))  # fmt: skip


def test_the_divergence_from_what_the_whole_prompt_says(model):
    """Beside the two distributions of both tokens, from rows without prefix or template."""
    answer = [model.tokenizer.token_to_id(word) for word in ("a", "cat")]

    def distributions(mask):
        ids = model.encode(masked_text(mask, "[UNK]")) + answer[:1]
        row = np.zeros((1, 40), np.int32)
        row[0, : len(ids)] = ids
        found = np.asarray(all_log_probabilities(model.config, model.params, row))
        return found[len(ids) - 2 : len(ids)]

    p = distributions(MASKS[0])
    want = [-np.sum(np.exp(p) * (p - distributions(mask))) for mask in MASKS]
    f = language_value(model, CONTEXT, QUESTION, "a cat", score="negative-kl", template="plain")
    np.testing.assert_allclose(f(MASKS), want, atol=2e-5)
    assert f(MASKS)[0] == pytest.approx(0, abs=1e-6) and min(want) < -1e-3


def test_steps_of_a_chain_of_thought(model):
    chats = replace(model, chat_template=CHAT)
    asked = prompt(chats, CONTEXT, QUESTION, "reasoning")
    assert asked.before.endswith("[EOS]") and QUESTION in asked.before  # the model's own turn
    assert asked.context == CONTEXT and asked.after == "\n\nAnswer:" and asked.marked
    plain = prompt(model, CONTEXT, QUESTION, "reasoning")
    assert plain.before == QUESTION + "\n\n" and not plain.marked
    f = language_value(model, CONTEXT, QUESTION, "cat", template="reasoning")
    assert f.words == SENTENCES and f.start == 1 + len(QUESTION.split())


@partial(jax.jit, static_argnums=0)
def inside(config, params, row):
    run = partial(Llama(config).apply, {"params": params}, row, mutable=["inside"])
    states, weights = (run(look=look)[1]["inside"][look][0] for look in ("states", "weights"))
    return states[1], weights  # before layer 1, and of it


def test_the_inside(model):
    """Beside one pass over each masked prompt as a text, without prefix, template and answer."""
    hidden, attention = [], []
    for mask in MASKS:
        ids = model.encode(masked_text(mask, "[UNK]"))
        row = np.zeros((1, 40), np.int32)
        row[0, : len(ids)] = ids
        states, weights = inside(model.config, model.params, row)
        hidden.append(states[0, len(ids) - 1])
        looks = np.asarray(weights).reshape(4, 40, 40)[2, len(ids) - 1]
        sizes = [len(s.split()) if kept else 1 for s, kept in zip(SENTENCES, mask, strict=True)]
        ends = 1 + np.cumsum(sizes)  # [BOS] comes first
        attention.append([looks[e - s : e].sum() for e, s in zip(ends, sizes, strict=True)])
    f = language_value(model, CONTEXT, QUESTION, "a cat", score=Hidden(1), template="plain")
    np.testing.assert_allclose(f(MASKS), hidden, atol=2e-5)
    f = language_value(model, CONTEXT, QUESTION, "a cat", score=Attention(1, 2), template="plain")
    np.testing.assert_allclose(f(MASKS), attention, atol=1e-5)


def test_a_chat_template_surrounds_the_context(model):
    chats = LanguageModel(
        model.config, model.params, model.tokenizer, CHAT, model.special, "chatty", "question"
    )
    asked = prompt(chats, CONTEXT, QUESTION)
    assert asked.marked and asked.before == "[BOS] user : "
    assert asked.text.endswith("possible. [EOS]") and "Answer:" not in asked.text
    f = language_value(chats, CONTEXT, QUESTION, "a cat", template="plain")
    assert f.source.ids[0] == 2 and f.source.ids[1] != 2
    assert f.words == SENTENCES
    with pytest.raises(ValueError, match="system"):
        prompt(model, CONTEXT, QUESTION, system="Be brief.")


def test_a_chat_begins_once(model):
    chats = replace(model, chat_template=CHAT)
    asked = prompt(chats, CONTEXT, QUESTION, "plain")
    assert chats.encode(asked.text, asked.marked).count(2) == 1
    f = head_value(chats, [Asked(asked, "cat"), Asked(asked, "cat", ("cat", "dog"))])
    assert [row.count(2) for row in f.tokens] == [1, 1]
    # Without the tokenizer's own [BOS] the text is the prompt of a model that adds none.
    bare = replace(model, tokenizer=tokenizer())
    bare.tokenizer.post_processor = processors.TemplateProcessing(single="$A")
    (want,) = token_by_token(bare, asked.text, "cat")
    np.testing.assert_allclose(f(np.ones((1, f.n), bool)), want, atol=2e-5)
    assert chats.answer(asked.text, 3, marked=True) == bare.answer(asked.text, 3)


def test_rows_are_halved_when_memory_runs_out(model):
    f = language_value(model, CONTEXT, QUESTION, "a cat", rows=4)
    want = f(MASKS)
    program, tried = f.program, []

    def full(length, shared, masks):
        tried.append(masks.shape[1])
        if masks.shape[1] > 1:
            raise jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED: Out of memory")
        return program(length, shared, masks)

    f.program = full
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        np.testing.assert_allclose(f(MASKS), want, atol=1e-5)
    assert tried[:3] == [4, 2, 1] and f.rows == 1
    assert len(said) == 2 and "no memory" in str(said[0].message)
    f.program = lambda *_: (_ for _ in ()).throw(jax.errors.JaxRuntimeError("RESOURCE_EXHAUSTED"))
    with pytest.raises(jax.errors.JaxRuntimeError):
        f(MASKS)


def test_a_context_too_long(model):
    long = " ".join(["Ann sees Bob ."] * 12)
    with pytest.raises(TooLongError, match=r"12 features 4 would be lost.*truncate"):
        language_value(model, long, QUESTION, "a cat")
    f = language_value(model, long, QUESTION, "a cat", truncate=True)
    assert f.n == 8 and len(f.source.cut) == 4
    short = " ".join(["Ann sees Bob ."] * 8)
    same = language_value(model, short, QUESTION, "a cat")
    np.testing.assert_array_equal(f(np.ones((1, 8), bool)), same(np.ones((1, 8), bool)))
    with pytest.raises(TooLongError, match="none would be left"):
        language_value(model, "Bob " * 3, "cat " * 60, "a cat", features="words", truncate=True)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"context": " "}, "context is empty"),
        ({"question": ""}, "question is empty"),
        ({"answer": ""}, "answer is empty"),
        ({"score": "loudness"}, "score must be"),
        ({"template": "drip"}, "did you mean 'drop'"),
        ({"replacement": "a dog"}, "one token"),
        ({"features": "letters"}, "features must be"),
        ({"features": [(3, 999)]}, "not within"),
        ({"choices": ("True", "False")}, "log-odds"),
        ({"choices": ("True", "True"), "score": "log-odds"}, "different first tokens"),
        ({"choices": ("dog", "cat"), "score": "log-odds"}, "one of the choices"),
        ({"score": Hidden(7)}, "no layer 7"),
    ],
)
def test_what_is_refused(model, change, message):
    given = {"context": CONTEXT, "question": QUESTION, "answer": "a"} | change
    with pytest.raises(ValueError, match=message):
        language_value(model, **given)(MASKS)


def test_multiple_choice():
    assert multiple_choice("Which?", ["x", "y"]) == "Which?\nA. x\nB. y"
    with pytest.raises(ValueError, match="2 to 10"):
        multiple_choice("Which?", ["x"])


def test_heads_as_features(model):
    asked = [
        Asked(f"{CONTEXT} {QUESTION}", "a cat"),
        Asked(f"{CONTEXT} The cat sleeps", "False", ("True", "False")),
    ]
    f = head_value(model, asked, layers=[1])
    assert f.n == 4 and f.words == ("L1 H0", "L1 H1", "L1 H2", "L1 H3")
    all_kept = np.ones((1, 4), bool)
    want = [sum(token_by_token(model, one.prompt, one.answer)) for one in asked]
    np.testing.assert_allclose(f(all_kept), np.mean(want), atol=5e-5)
    # With one head left of layer 1: its part of the output's kernel, four times.
    layers = model.params["layers"]
    kernel = np.array(layers["attention"]["out"]["kernel"]).reshape(2, 4, 6, 12)
    kernel[1] *= np.array([0, 0, 4, 0]).reshape(4, 1, 1)
    attention = layers["attention"] | {"out": {"kernel": jnp.asarray(kernel.reshape(2, 24, 12))}}
    pruned = replace(model, params=model.params | {"layers": layers | {"attention": attention}})
    want = [sum(token_by_token(pruned, one.prompt, one.answer)) for one in asked]
    np.testing.assert_allclose(f(np.array([[0, 0, 1, 0]], bool)), np.mean(want), atol=5e-5)
    assert head_value(model, asked).n == 8
    odds = head_value(model, asked[1:], "log-odds", layers=[0])
    one = asked[1]
    true, false = (token_by_token(model, one.prompt, a)[0] for a in ("True", "False"))
    np.testing.assert_allclose(odds(all_kept), false - true, atol=2e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"asked": []}, "at least one"),
        ({"asked": [Asked("cat", "")]}, "empty"),
        ({"layers": [2]}, "layers must be"),
        ({"score": "token-log-probabilities"}, "a number"),
    ],
)
def test_heads_that_are_refused(model, change, message):
    with pytest.raises(ValueError, match=message):
        head_value(model, **({"asked": [Asked("cat", "a")]} | change))
    with pytest.raises(TooLongError, match="positions"):
        head_value(model, [Asked("cat " * 50, "a")])


def test_a_model_from_files_is_known_by_them(model, tmp_path):
    """Not by arrays that would have to leave their device; other arrays are other weights."""
    save_llama(tmp_path, model.config, model.params)
    model.tokenizer.save(str(tmp_path / "tokenizer.json"))

    def key(of):
        return language_value(of, CONTEXT, QUESTION, "a cat").store_key

    read = load_language_model(tmp_path)
    assert read.read.params is read.params
    assert (
        key(read) == key(load_language_model(tmp_path)) != key(replace(read, params=model.params))
    )
    assert key(load_language_model(tmp_path, "bfloat16")) != key(read)
    # A cache that calls files by their contents is believed.
    name = "ab" * 32
    (tmp_path / "blobs").mkdir()
    (tmp_path / "model.safetensors").rename(tmp_path / "blobs" / name)
    (tmp_path / "model.safetensors").symlink_to(tmp_path / "blobs" / name)
    before = key(load_language_model(tmp_path))
    with (tmp_path / "blobs" / name).open("r+b") as file:
        file.seek(-4, 2)
        file.write(b"abcd")
    assert key(load_language_model(tmp_path)) == before
