"""What the experiments explain: texts by length, tables, functions with known sets."""

import numpy as np
import pytest

from spexjax.experiments.data import texts
from spexjax.experiments.data.texts import Text
from spexjax.experiments.tasks import registry
from spexjax.experiments.tasks import synthetic as task_synthetic
from spexjax.experiments.tasks.item import TaskConfig


def length(text: str) -> int:
    return len(text.split())


def test_the_packages_own_texts_fill_every_group():
    own = texts.own_texts()
    assert len(own) == 12
    for low, high in texts.LENGTHS:
        found = list(texts.of_length(own, low, high, 3, 0, length))
        assert len(found) == 3 and len({t.text for t in found}) == 3
        assert all(low <= length(t.text) <= high for t in found)


def test_joined_texts_come_after_single_ones_and_are_whole():
    pool = [Text("a", "one two"), Text("b", "three four five"), Text("c", "six seven eight nine")]
    found = list(texts.of_length(pool, 4, 5, 3, 0, length))
    assert found[0] == pool[2]
    assert {t.name for t in found[1:]} <= {"a+b", "b+a"}
    assert {t.text for t in found[1:]} <= {"one two three four five", "three four five one two"}


def test_more_texts_begin_with_the_same():
    own = texts.own_texts()
    few, more = (list(texts.of_length(own, 16, 31, k, 5, length)) for k in (2, 4))
    assert more[:2] == few
    assert list(texts.of_length(own, 16, 31, 4, 6, length)) != more


def test_folders_of_texts(tmp_path):
    with pytest.raises(FileNotFoundError, match="sst2/dev"):
        texts.read_folder(tmp_path)
    (tmp_path / "sst2").mkdir()
    (tmp_path / "sst2" / "dev.tsv").write_text("sentence\tlabel\na fine film\t1\n")
    (tmp_path / "imdb").mkdir()
    (tmp_path / "imdb" / "test.tsv").write_text(
        'Sentiment\tText\nNegative\t"No ""plot"".<br />None."\n'
    )
    for side in ("pos", "neg"):
        (tmp_path / "aclImdb" / "test" / side).mkdir(parents=True)
        path = tmp_path / "aclImdb" / "test" / side / "7_8.txt"
        path.write_text(f"Très {side}.<br /><br />Yes", encoding="utf-8")
    assert texts.read_folder(tmp_path) == [
        Text("sst2-0", "a fine film"),
        Text("imdb-test-0", 'No "plot". None.'),
        Text("acl-pos-7_8", "Très pos. Yes"),
        Text("acl-neg-7_8", "Très neg. Yes"),
    ]


def test_texts_as_value_functions():
    (item,) = registry.items(TaskConfig("sentiment", ("16-31",), 1))
    assert item.group == "16-31" and 16 <= item.n <= 31 and len(item.words) == item.n
    values = item.f(np.array([[True] * item.n, [False] * item.n]))
    assert values.shape == (2,) and values[0] != values[1]


def test_rows_of_tables():
    pytest.importorskip("sklearn")
    found = list(registry.items(TaskConfig("tabular", ("wine-forest", "diabetes-boosting"), 2)))
    assert [i.n for i in found] == [13, 13, 10, 10] and found[2].words[2] == "bmi"
    for item in found:
        all_kept, none = item.f(np.array([[True] * item.n, [False] * item.n]))
        assert np.isfinite(all_kept) and np.isfinite(none)
    assert len({i.f(np.zeros((1, 10), bool))[0] for i in found[2:]}) == 1  # the same background


def test_evidence_depends_on_its_supporting_inputs_most():
    f = task_synthetic.evidence(64, 3)
    marked = task_synthetic.supporting(64, 3)
    effect = np.zeros(64)
    for members, value in f.fourier().items():
        for i in members:
            effect[i] += value**2
    assert len(marked) == 8
    in_sets = [i for i in np.argsort(-effect)[:6] if i in marked]
    assert len(in_sets) >= 5


def test_synthetic_groups_name_their_families():
    found = list(registry.items(TaskConfig("synthetic", ("peaks-64", "evidence-16"), 2)))
    assert [i.name for i in found] == ["peaks-64-0", "peaks-64-1", "evidence-16-0", "evidence-16-1"]
    assert {len(s) for s in found[0].f.fourier()} == {3, 4, 5}
    assert found[0].supporting is None and len(found[2].supporting) == 8


def test_unknown_names_are_corrected():
    with pytest.raises(ValueError, match="did you mean 'sentiment'"):
        registry.items(TaskConfig("sentimant"))
    with pytest.raises(ValueError, match="did you mean '8-15'"):
        registry.items(TaskConfig("sentiment", ("8-16",)))
