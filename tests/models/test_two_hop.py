"""The embedded two-hop model: its folder, its answers, and what explanations of them find."""

import warnings
from importlib import resources

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from spexjax.explain import explain
from spexjax.explanation import Explanation
from spexjax.models.cli.main import main
from spexjax.models.llama.language import load_language_model
from spexjax.models.llama.model import Llama, unembed
from spexjax.models.llama.rotary import rotary, rotate
from spexjax.models.mini.two_hop import train as train_two_hop
from spexjax.models.mini.two_hop.evaluate import accuracy, pairs, strongest_set
from spexjax.models.mini.two_hop.grammar import PAD, VOCABULARY
from spexjax.models.mini.two_hop.learner import (
    Settings,
    Stage,
    answer_logits,
    first_weights,
    geometry,
    loss,
    unshared,
)
from spexjax.models.mini.two_hop.train import batches, fit
from spexjax.models.values.language import language_value

EXAMPLES = (
    (
        "The violinist lives in Brno. Leeds sells fine wool. The clerk works in Leeds. "
        "Brno lies in Moravia. The violinist works in Leeds. Brno sells fine glass. "
        "Leeds lies in Devon. The clerk lives in Brno.",
        "Where does the town where the violinist lives lie?",
        "Moravia",
        (0, 3),
    ),
    (
        "Cork sells fine butter. The nurse works in Graz. Graz sells fine salt. "
        "The judge lives in Graz. Graz lies in Tyrol. The nurse lives in Cork. "
        "Cork lies in Kent. The judge works in Cork.",
        "What does the town where the nurse works sell?",
        "salt",
        (1, 2),
    ),
    (
        "Padua lies in Umbria. Lille sells fine lace. The baker works in Lille. "
        "The baker lives in Turin. Turin lies in Piedmont. Lille lies in Flanders. "
        "The diver works in Padua. Turin sells fine silk.",
        "What does the town where the baker lives sell?",
        "silk",
        (3, 7),
    ),
)


@pytest.fixture(scope="module")
def model():
    return load_language_model()


@pytest.mark.parametrize(("context", "question", "answer", "supporting"), EXAMPLES)
def test_explanations_find_the_two_facts(model, context, question, answer, supporting):
    f = language_value(model, context, question)
    assert (f.n, f.answer) == (8, answer)
    e = explain(f, 8, budget=256, method="exact")
    assert strongest_set(e) == supporting
    masks = np.zeros((3, 8), bool)
    masks[1, list(supporting)] = masks[2] = True
    nothing, pair, everything = np.exp(f(masks))
    assert nothing < 0.05 and pair > 0.5 and everything > 0.5


def test_an_answer_that_is_not_told(model):
    context, question, _, (first, _) = EXAMPLES[0]
    kept = [s for i, s in enumerate(context.split(". ")) if i != first]
    assert model.answer(f"{'. '.join(kept)} {question}") == "unknown"


def test_geometry_and_size(model):
    folder = resources.files("spexjax.models.mini") / "two_hop"
    files = {file.name: len(file.read_bytes()) for file in folder.iterdir()}
    assert {"config.json", "model.safetensors", "tokenizer.json", "README.md"} <= files.keys()
    assert sum(files.values()) <= 5_000_000
    assert model.config == geometry(Settings())
    assert model.tokenizer.get_vocab_size() == len(VOCABULARY)
    assert [model.tokenizer.token_to_id(w) for w in VOCABULARY] == list(range(len(VOCABULARY)))


def test_the_command(capsys, tmp_path):
    context, question, _, supporting = EXAMPLES[0]
    (tmp_path / "facts.txt").write_text(context, encoding="utf-8")
    sentences = [s.rstrip(".") + "." for s in context.split(". ")]
    code = main(
        ["explain", "--task", "qa", "--context", str(tmp_path / "facts.txt"), "--question",
         question, "--budget", "256", "--index", "Moebius", "--order", "2", "--top", "1",
         "--html", str(tmp_path / "page.html"), "--json", str(tmp_path / "e.json")]
    )  # fmt: skip
    out = capsys.readouterr().out
    assert code == 0
    first = out.splitlines()[1]
    assert all(sentences[i] in first for i in supporting)
    assert "two-hop" in out and "'Moravia'" in out
    assert question in (tmp_path / "page.html").read_text(encoding="utf-8")
    saved = Explanation.load(tmp_path / "e.json")
    assert [s.rstrip(".") + "." for s in saved.features] == sentences and saved.calls == 256


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--task", "qa", "--question", "Where?"],
            "needs --context F (or --reasoning F) and --question Q",
        ),
        (
            ["--task", "qa", "--context", "F"],
            "needs --context F (or --reasoning F) and --question Q",
        ),
        (["--task", "qa", "--context", "F", "--question", " "], "the question is empty"),
        (["--task", "qa", "--context", "F", "--question", "x", "--answer", ""], "answer is empty"),
        (["text", "--task", "qa", "--context", "F", "--question", "x"], "does not take a text"),
        (["--task", "qa", "--context", "F", "--question", "x", "--label", "1"], "--label"),
        (["--task", "qa", "--context", "F", "--question", "x", "--score", "logit"], "--score"),
        (["--task", "qa", "--context", "F", "--question", "x", "--features", "tokens"], "words"),
        (["--task", "qa", "--context", "F", "--question", "x", "--replacement", "pad"], "delete"),
        (["a text", "--context", "F"], "--context needs --task qa"),
        (["a text", "--score", "log-probability"], "--score"),
    ],
)
def test_one_line_per_mistake(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "F").write_text("Brno lies in Moravia.", encoding="utf-8")
    assert main(["explain", *arguments]) == 2
    err = capsys.readouterr().err
    assert message in err and err.count("\n") == 1


# Both stages have contexts of one padded length: one program.
SMALL = Settings(stages=(Stage(3, 3, 4, 2), Stage(3, 4, 4, 2)), dim=32, n_heads=2, hidden_dim=16,
                 questions=3, warmup=2)  # fmt: skip
started = jax.jit(first_weights, static_argnums=(0, 1))


def test_questions_do_not_see_each_other():
    config = geometry(SMALL)
    params = unshared(config, started(config, SMALL))
    batch = next(batches(SMALL, 0))
    context, questions = batch.context[0], batch.questions[0]
    found = jax.jit(answer_logits, static_argnums=0)(config, params, context, questions)

    @jax.jit
    def whole(ids, last):
        hidden, _ = Llama(config).apply({"params": params}, ids)
        return unembed(config, params, hidden[0, last - jnp.arange(2)[::-1]])

    for question, logits in zip(questions, found, strict=True):
        real = [*context[context != PAD], *question[question != PAD]]
        ids = np.array([real + [PAD] * (len(context) + len(question) - len(real))])
        np.testing.assert_allclose(logits, whole(ids, len(real) - 1), atol=2e-5)


def test_heads_of_the_first_layer_look_back():
    s = Settings()
    config = geometry(s)
    attention = started(config, s)["first"]["attention"]
    query, key = (attention[name]["bias"].reshape(4, 32) for name in ("query", "key"))
    positions = jnp.arange(12)[None]

    def at(bias):
        x = jnp.broadcast_to(bias[None, :, None], (1, 4, 12, 32))
        return rotate(x, *rotary(config, positions))

    scores = jnp.einsum("bhqd,bhkd->hqk", at(query), at(key)) / 32**0.5
    weights = jax.nn.softmax(scores[:, -1], -1)
    np.testing.assert_array_equal(jnp.argmax(weights, -1), 11 - np.arange(1, 5))
    assert weights.max(-1).min() > 0.6


@pytest.mark.loose_promotion
def test_training_learns_and_goes_on(tmp_path, monkeypatch):
    config = geometry(SMALL)
    saved = []
    whole = fit(config, SMALL, tmp_path / "a.npz", 1e9, saved.append, lambda _: None)
    assert len(saved) == 1
    batch = list(batches(SMALL, 0))[-1]
    start = started(config, SMALL)
    first, later = (jax.tree.map(lambda a, i=i: a[i], whole["layers"]) for i in (0, 1))
    rest = {"embedding": whole["embedding"], "first": first, "later": later, "norm": whole["norm"]}
    cost = jax.jit(loss, static_argnums=(0, 1))
    assert cost(config, SMALL, rest, batch)[0] < cost(config, SMALL, start, batch)[0]

    # Stopped after the fourth step and taken up again: the same weights.
    all_batches = batches

    def some(s, first):
        for i, one in enumerate(all_batches(s, first)):
            if first + i == 4:
                raise KeyboardInterrupt
            yield one

    monkeypatch.setattr(train_two_hop, "batches", some)
    with pytest.raises(KeyboardInterrupt):
        fit(config, SMALL, tmp_path / "b.npz", 0.0, saved.append, lambda _: None)
    monkeypatch.undo()
    again = fit(config, SMALL, tmp_path / "b.npz", 1e9, saved.append, lambda _: None)
    for x, y in zip(jax.tree.leaves(whole), jax.tree.leaves(again), strict=True):
        np.testing.assert_array_equal(x, y)


def test_the_command_sets_what_it_is_told(monkeypatch, tmp_path, capsys):
    asked = []
    monkeypatch.setattr(train_two_hop, "fit", lambda *given: asked.append(given))
    monkeypatch.setattr(train_two_hop, "accuracy", lambda *given: 0.25)
    train_two_hop.main(["--stages", "3:3:4:2", "5:4:8:1", "--decay", "0.5",
                        "--checkpoint", str(tmp_path / "c.npz")])  # fmt: skip
    config, settings, checkpoint, seconds, *_ = asked[0]
    assert settings == Settings(stages=(Stage(3, 3, 4, 2), Stage(5, 4, 8, 1)), decay=0.5)
    assert (config, checkpoint, seconds) == (geometry(settings), tmp_path / "c.npz", 180)
    assert '"32 sentences, 2 hops": 0.25' in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore")
def test_transformers_gives_the_same_logits(model):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch = pytest.importorskip("torch")
        transformers = pytest.importorskip("transformers")
    with resources.as_file(resources.files("spexjax.models.mini") / "two_hop") as folder:
        theirs = transformers.LlamaForCausalLM.from_pretrained(folder).eval()
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    context, question, answer, _ = EXAMPLES[1]
    prompt = f"{context} {question}"
    inputs = tokenizer(prompt, return_tensors="pt")
    ids = np.array(model.encode(prompt), np.int32)[None]
    np.testing.assert_array_equal(inputs["input_ids"].numpy(), ids)
    with torch.no_grad():
        want = theirs(**inputs).logits.numpy()
        said = theirs.generate(**inputs, max_new_tokens=4, do_sample=False)[0, ids.shape[1] :]
    hidden, _ = Llama(model.config).apply({"params": model.params}, ids)
    np.testing.assert_allclose(unembed(model.config, model.params, hidden), want, atol=1e-4)
    assert tokenizer.decode(said, skip_special_tokens=True).strip() == answer


@pytest.mark.slow
@pytest.mark.parametrize("n", [8, 16, 24, 32])
def test_accuracy(model, n):
    for hops in (1, 2):
        assert accuracy(model.config, model.params, n, hops, 400) >= 0.95


@pytest.mark.slow
@pytest.mark.parametrize(("n", "budget"), [(8, 256), (16, 1000), (32, 2000)])
def test_the_strongest_set_is_the_pair(model, n, budget):
    found = pairs(model, n, 20, budget)
    assert found.right >= 19
    assert found.found_when_right >= 0.9 * found.right
