"""Questions about contexts as tasks, and the pruning of heads, with a tiny random model."""

import dataclasses

import jax
import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from spexjax.experiments.data.hotpotqa import Example, Paragraph
from spexjax.experiments.harness.results import Result
from spexjax.experiments.papers import pruning, report
from spexjax.experiments.tasks import hotpotqa as task_hotpotqa
from spexjax.experiments.tasks import questions, registry
from spexjax.experiments.tasks.item import TaskConfig
from spexjax.models.llama.language import load_language_model
from spexjax.models.llama.model import LlamaConfig, init_params
from spexjax.models.llama.weights import save_llama
from spexjax.models.values.components import head_value

EXAMPLE = Example(
    "one", "Where does Ann live ?", "Brno", "bridge", "easy",
    (
        Paragraph("Ann", ("Ann is a cook.", " ", " She lives in Brno.")),
        Paragraph("Brno", tuple(f"Fact {i} of it." for i in range(7))),
    ),
    ((0, 2), (1, 0)), (),
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model of whole words, of which it knows few."""
    path = tmp_path_factory.mktemp("model")
    words = "[PAD] [UNK] [EOS] A B C D True False the of is in".split()
    made = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, unk_token="[UNK]"))
    made.pre_tokenizer = pre_tokenizers.Whitespace()
    made.save(str(path / "tokenizer.json"))
    config = LlamaConfig(
        vocab_size=len(words), dim=8, n_layers=2, n_heads=4, n_kv_heads=4, head_dim=2,
        hidden_dim=8, max_position_embeddings=512,
    )  # fmt: skip
    save_llama(path, config, init_params(config, jax.random.key(1)))
    return path


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    root = tmp_path_factory.mktemp("data")
    (root / "puzzles").mkdir()
    (root / "puzzles" / "puzzles.csv").write_text(
        "context,question,human_answer,correct_answer\n"
        "A farmer has a very big boat and no wolf,True or False: He can cross.,yes,TRUE\n"
    )
    for split, count in (("dev", 3), ("test", 5)):
        (root / "mmlu" / split).mkdir(parents=True)
        lines = "".join(f"What is {split} {i}?,w,x,y,z,{'ABCD'[i % 4]}\n" for i in range(count))
        (root / "mmlu" / split / f"maths_{split}.csv").write_text(lines)
    return root


def test_hotpotqa_shows_titles_and_masks_sentences():
    q = task_hotpotqa.question(EXAMPLE)
    assert q.context.startswith("Title: Ann\nContent: Ann is a cook.")
    texts = [q.context[start:end] for start, end in q.spans]
    assert texts[:3] == ["Ann is a cook.", "She lives in Brno.", "Fact 0 of it."]
    assert q.supporting == (1, 2) and len(q.spans) == 9


def test_joined_leaves_blanks_out():
    text, spans, numbers = questions.joined([("a: ", False), (" b ", True), ("  ", True)])
    assert (text, spans, numbers) == ("a:  b   ", ((4, 5),), (1,))


def test_riddles_of_a_folder(folder, data):
    config = TaskConfig("riddles", ("8-15",), data=str(data), model=str(folder))
    (item,) = registry.items(config)
    assert item.n == 10 and item.words[:2] == ("A", "farmer")
    values = np.asarray(item.f(np.eye(10, dtype=bool)))
    assert np.isfinite(values).all() and np.ptp(values) > 0
    with pytest.raises(ValueError, match="needs a language model"):
        next(registry.items(TaskConfig("riddles", data=str(data))))


def pruned(folder, data, tmp_path, **options) -> pruning.Config:
    """Of eight heads: the budget buys all masks, so that nothing has to be compiled."""
    given = {
        "model": str(folder), "data": str(data), "subjects": ("maths",), "learn": 1, "test": 2,
        "budget": 300, "remove": (0.25, 0.5), "methods": ("lasso", "random"), "seeds": 2,
        "folder": str(tmp_path),
    } | options  # fmt: skip
    return pruning.Config(**given)


def test_pruning_on_mmlu(folder, data, tmp_path):
    config = pruned(folder, data, tmp_path)
    result = pruning.run(config)
    assert {len(c.values["removed"]) for c in result.cells} == {2, 4}
    assert len(result.cells) == 8
    stored = Result.load(result.path)
    assert stored == result and stored.config["protocol"]["task"]["name"] == "mmlu"
    assert "| lasso" in pruning.section(result).markdown()
    assert [len(line.get_xdata()) for line in pruning.draw(result).axes[0].lines[:1]] == [2]
    assert pruning.run(config).cells == result.cells  # read, not done again
    markdown, page = report.write(tmp_path)
    assert "## Pruning: mmlu" in markdown.read_text() and "seeds 2" in page.read_text()


def test_the_accuracy_is_that_of_the_answers(folder, data, tmp_path, monkeypatch):
    """All four choices in turn are right: a model that always says one has a share of them."""
    config = pruned(folder, data, tmp_path, test=4, learn=1, methods=("random",), seeds=1)
    result = pruning.run(config)
    model = load_language_model(str(folder))
    asked = pruning.questions(config, model).test
    for cell in result.cells:
        kept = np.ones((1, 8), bool)
        kept[0, cell.values["removed"]] = False
        right = [head_value(model, [one], "margin", rows=1)(kept)[0] > 0 for one in asked]
        assert cell.values["accuracy"] == np.mean(right)


@pytest.mark.parametrize("learn", [2, 3, 5, 20])
def test_no_question_is_both_learned_from_and_tested_on(folder, data, learn):
    config = pruning.Config(
        model=str(folder), data=str(data), subjects=("maths",), learn=learn, test=100
    )
    found = pruning.questions(config, load_language_model(str(folder)))
    assert len(found.learn) == min(learn, 8)  # three to learn from, and five others
    assert len(found.test) == min(5, 8 - len(found.learn))
    assert not set(found.learn) & set(found.test)


def test_some_layers_heads_are_removed(folder, data, tmp_path):
    config = pruned(folder, data, tmp_path, layers=(1,), methods=("random",), seeds=1)
    result = pruning.run(config)
    assert {cell.n for cell in result.cells} == {4}
    with pytest.raises(ValueError, match="layers must be different ones of 0 to 1"):
        pruning.run(dataclasses.replace(config, layers=(0, 2)))


def test_a_chat_begins_once(folder, data):
    """The template spells what begins a sequence; the tokenizer must not add it again."""
    plain = load_language_model(str(folder))
    plain.tokenizer.post_processor = processors.TemplateProcessing(
        single="in $A", special_tokens=[("in", plain.tokenizer.token_to_id("in"))]
    )
    chat = "in{% for m in messages %} {{ m.content }}{% endfor %}"
    config = pruned(folder, data, folder, test=1)
    for model in (plain, dataclasses.replace(plain, chat_template=chat)):
        (one,) = pruning.questions(config, model).test
        (tokens,) = head_value(model, [one], "margin").tokens
        assert tokens.count(model.tokenizer.token_to_id("in")) == 1
