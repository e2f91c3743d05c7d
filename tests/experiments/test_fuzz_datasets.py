"""Data files with anything in them: an error that begins with the file, or right values."""

import json

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from spexjax.experiments.data import drop, hotpotqa, mmlu, riddles
from spexjax.experiments.data.records import DataError

quickly = settings(
    max_examples=100, deadline=5000, suppress_health_check=[HealthCheck.function_scoped_fixture]
)

_HOTPOT = [
    {
        "_id": f"id{i}", "question": "Who?", "answer": "é", "type": "bridge", "level": "easy",
        "supporting_facts": [["A", 0], ["B", 1]],
        "context": [["A", ["One."]], ["B", ["Two.", " Three."]]],
    }
    for i in range(2)
]  # fmt: skip
_ANSWER = {"number": "", "date": {"day": "", "month": "", "year": ""}, "spans": ["é"]}
_DROP = {
    name: {
        "passage": "Ten.",
        "qa_pairs": [
            {"query_id": name, "question": "How?", "answer": _ANSWER | {"number": "10"},
             "validated_answers": [_ANSWER]},
        ],
    }
    for name in ("nfl_1", "nfl_2")
}  # fmt: skip
_MMLU = 'What?,1,"2, é",3,4,B\n"Which\n""one""?",a,b,c,d,D\n'
_RIDDLES = f'{",".join(riddles.COLUMNS)}\nA é.,True or False: b.,No,FALSE\n"C\nd",E,f,TRUE\n'


def check_hotpotqa(examples):
    for e in examples:
        assert e.id and e.kind in hotpotqa.KINDS and e.level in hotpotqa.LEVELS
        assert len(e.supporting) == len(set(e.facts))
        for (paragraph, sentence), place in zip(sorted(e.facts), e.supporting, strict=True):
            assert e.sentences[place] == e.paragraphs[paragraph].sentences[sentence]


def check_drop(passages):
    for q in (q for p in passages for q in p.questions):
        for answer in (q.answer, *q.validated):
            assert answer.texts and all(isinstance(text, str) and text for text in answer.texts)
            assert (len(answer.texts) > 1) == (answer.kind == "spans")


def check_mmlu(questions):
    assert all(q.question.strip() and len(q.choices) == 4 for q in questions)
    assert all(0 <= q.right < 4 for q in questions)


def check_riddles(found):
    assert all(isinstance(r.correct, bool) and r.context and r.question for r in found)


def read_mmlu(path):
    return mmlu.read_subject(path, "algebra")


FORMATS = {
    "hotpotqa": (hotpotqa.read_hotpotqa, check_hotpotqa, json.dumps(_HOTPOT, ensure_ascii=False)),
    "drop": (drop.read_drop, check_drop, json.dumps(_DROP, ensure_ascii=False)),
    "mmlu": (read_mmlu, check_mmlu, _MMLU),
    "riddles": (riddles.read_riddles, check_riddles, _RIDDLES),
}
every = pytest.mark.parametrize("name", FORMATS)
every_json = pytest.mark.parametrize("name", ["hotpotqa", "drop"])


def load(path, name, content):
    """Reads bytes that may be anything; None if they are refused, as they should be."""
    read, check, _ = FORMATS[name]
    path.write_bytes(content)
    try:
        found = read(path)
    except DataError as error:
        assert str(error).startswith(f"{path}: ") and len(str(error)) > len(str(path)) + 10
        str(error).encode()
        return None
    check(found)
    return found


@every
def test_the_originals_are_read(tmp_path, name):
    assert len(load(tmp_path / "x", name, FORMATS[name][2].encode())) == 2


@every
@quickly
@given(content=st.binary(max_size=200))
@example(content=b"\x00" * 100)
@example(content=b'[{"_id": "\\ud800"}]')
@example(content=b'{"\\ud800": {}}')
def test_any_bytes(tmp_path, name, content):
    load(tmp_path / "x", name, content)


@every
@quickly
@given(data=st.data())
def test_cut_off(tmp_path, name, data):
    whole = FORMATS[name][2].encode()
    content = whole[: data.draw(st.integers(0, len(whole) - 2))]
    found = load(tmp_path / "x", name, content)
    if name in ("hotpotqa", "drop"):
        assert found is None
    else:  # a table that ends after a row is a table
        assert found is None or len(found) < 2 or content.endswith((b",D", b",TRUE"))


@every
@quickly
@given(data=st.data())
def test_bytes_changed(tmp_path, name, data):
    content = bytearray(FORMATS[name][2].encode())
    for _ in range(data.draw(st.integers(1, 4))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    load(tmp_path / "x", name, bytes(content))


@every
@pytest.mark.parametrize("encoding", ["latin-1", "utf-16", "utf-32"])
def test_other_encodings(tmp_path, name, encoding):
    assert load(tmp_path / "x", name, FORMATS[name][2].encode(encoding)) is None


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.just("\ud800"),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=6,
)  # fmt: skip


def descend(data, root):
    """A random place: what holds it, and the key there."""
    node = root
    while True:
        key = data.draw(
            st.sampled_from(sorted(node) if isinstance(node, dict) else [*range(len(node))])
        )
        child = node[key]
        if not (isinstance(child, dict | list) and child) or data.draw(st.booleans()):
            return node, key
        node = child


@every_json
@quickly
@given(data=st.data())
def test_a_part_replaced(tmp_path, name, data):
    raw = json.loads(FORMATS[name][2])
    node, key = descend(data, raw)
    node[key] = data.draw(json_values)
    load(tmp_path / "x", name, json.dumps(raw).encode())


@every_json
@quickly
@given(data=st.data())
def test_a_part_of_another_kind(tmp_path, name, data):
    """No text is a number, no list an object: always refused (but for an id, which may count)."""
    raw = json.loads(FORMATS[name][2])
    node, key = descend(data, raw)
    others = [None, True, 0.5, -1, [[]], {"a": 1}, 7 if key != "_id" and node[key] != 1 else None]
    wrong = data.draw(st.sampled_from(others))
    # A count may be any integer from 0: 7 is another place, not another kind. All that is known of
    # a date may be left out.
    same = (wrong == 7 and isinstance(node[key], int)) or (key == "date" and wrong == {"a": 1})
    node[key] = wrong
    assert same or load(tmp_path / "x", name, json.dumps(raw).encode()) is None


@every_json
@quickly
@given(data=st.data())
def test_a_field_left_out(tmp_path, name, data):
    raw = json.loads(FORMATS[name][2])
    node, key = descend(data, raw)
    optional = {"validated_answers", "day", "month", "year"}
    if not isinstance(node, dict) or (name == "drop" and node is raw) or key in optional:
        return
    del node[key]
    assert load(tmp_path / "x", name, json.dumps(raw).encode()) is None


@pytest.mark.parametrize("name", ["mmlu", "riddles"])
@quickly
@given(data=st.data())
def test_cells_changed(tmp_path, name, data):
    """A row with a cell more or fewer is refused, whatever stands in it."""
    cell = st.text(st.characters(codec="utf-8", exclude_characters='"\n\r'), max_size=4)
    columns = 6 if name == "mmlu" else 4
    wrong = data.draw(st.lists(cell.filter(lambda c: "," not in c), min_size=1, max_size=9))
    if len(wrong) == columns or wrong == [""]:
        return
    content = FORMATS[name][2] + ",".join(wrong) + "\n"
    assert load(tmp_path / "x", name, content.encode()) is None
