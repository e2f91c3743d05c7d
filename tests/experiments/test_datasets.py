"""Loaders of HotpotQA, DROP, MMLU and the riddles: what they read, and what they refuse."""

import json
import os

import pytest

from spexjax.experiments.data import datasets, drop, hotpotqa, mmlu, riddles
from spexjax.experiments.data.records import DataError

HOTPOT = {
    "_id": "5a8b",
    "question": "Did both sing?",
    "answer": "yes",
    "type": "comparison",
    "level": "hard",
    "supporting_facts": [["B", 1], ["A", 0], ["B", 1], ["A", 7], ["Z", 0]],
    "context": [
        ["A", ["Ada sang.", " She danced."]],
        ["Empty", []],
        ["B", ["Bo was born.", " Bo sang."]],
    ],
}


def answer(number="", day="", month="", year="", spans=()):
    date = {"day": day, "month": month, "year": year}
    return {"number": number, "date": date, "spans": list(spans)}


DROP = {
    "nfl_1": {
        "passage": "Ten, then three.",
        "qa_pairs": [
            {"query_id": "q1", "question": "How many?", "answer": answer(number="13"),
             "validated_answers": [answer(number="10"), answer(spans=["Ten"])]},
            {"query_id": "q2", "question": "When?", "answer": answer(month="May", year="1769")},
            {"query_id": "q3", "question": "Who?", "answer": answer(spans=["Ann", "Bob"])},
        ],
    },
    "history_2": {"passage": "Nothing is asked.", "qa_pairs": []},
}  # fmt: skip
MMLU = 'What is 1 + 1?,1,2,3,4,B\n"Commas, and ""quotes""",a,"b\nc",,d,D\n'
RIDDLES = (
    "context,question,human_answer,correct_answer\n"
    '"A farmer, a boat.",True or False: one crossing.,"Yes, one",TRUE\r\n'
    "A trolley.,True or False: wait.,Clearly false,false\n"
)


def write(path, content):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


def write_json(path, content):
    return write(path, json.dumps(content))


def test_hotpotqa(tmp_path):
    (example,) = hotpotqa.read_hotpotqa(write_json(tmp_path / "h.json", [HOTPOT]))
    assert (example.id, example.question, example.answer) == ("5a8b", "Did both sing?", "yes")
    assert (example.kind, example.level) == ("comparison", "hard")
    assert [p.title for p in example.paragraphs] == ["A", "Empty", "B"]
    assert example.sentences == ("Ada sang.", " She danced.", "Bo was born.", " Bo sang.")
    assert example.facts == ((2, 1), (0, 0))
    assert [example.sentences[i] for i in example.supporting] == ["Ada sang.", " Bo sang."]
    assert example.astray == (("A", 7), ("Z", 0))
    numbered = hotpotqa.read_hotpotqa(write_json(tmp_path / "i.json", [HOTPOT | {"_id": 37}]))
    assert numbered[0].id == "37"


def test_drop(tmp_path):
    first, second = drop.read_drop(write_json(tmp_path / "d.json", DROP))
    assert (first.name, first.passage) == ("nfl_1", "Ten, then three.")
    assert [q.answer.kind for q in first.questions] == ["number", "date", "spans"]
    assert [q.answer.texts for q in first.questions] == [("13",), ("May 1769",), ("Ann", "Bob")]
    validated = first.questions[0].validated
    assert [(a.kind, a.texts) for a in validated] == [("number", ("10",)), ("span", ("Ten",))]
    assert first.questions[1].validated == () == second.questions


def test_mmlu(tmp_path):
    for name in ("zoology", "abstract_algebra"):
        write(tmp_path / "test" / f"{name}_test.csv", MMLU)
    write(tmp_path / "dev" / "zoology_dev.csv", MMLU)
    assert mmlu.subjects(tmp_path) == ["abstract_algebra", "zoology"]
    questions = mmlu.read_mmlu(tmp_path)
    assert [(q.subject, q.number) for q in questions] == [
        ("abstract_algebra", 0), ("abstract_algebra", 1), ("zoology", 0), ("zoology", 1),
    ]  # fmt: skip
    assert questions[0].choices == ("1", "2", "3", "4") and questions[0].right == 1
    assert questions[1].question == 'Commas, and "quotes"' and questions[1].answer == "D"
    assert questions[1].choices == ("a", "b\nc", "", "d")
    assert {q.subject for q in mmlu.read_mmlu(tmp_path, only=("zoology",))} == {"zoology"}
    assert len(mmlu.read_mmlu(tmp_path, "dev")) == 2
    with pytest.raises(FileNotFoundError, match=r"val has no file SUBJECT_val\.csv"):
        mmlu.read_mmlu(tmp_path, "val")
    with pytest.raises(ValueError, match="split must be one of dev, val, test, got 'train'"):
        mmlu.read_mmlu(tmp_path, "train")
    with pytest.raises(ValueError, match="subjects are abstract_algebra, zoology, got 'law'"):
        mmlu.read_mmlu(tmp_path, only=["law"])


def test_riddles(tmp_path):
    first, second = riddles.read_riddles(write(tmp_path / "p.csv", "\ufeff" + RIDDLES))
    assert first == ("A farmer, a boat.", "True or False: one crossing.", "Yes, one", True)
    assert second.correct is False


def changed(base, path, value):
    """A copy with the value at a path of keys replaced."""
    copy = json.loads(json.dumps(base))
    *parents, last = path
    node = copy
    for key in parents:
        node = node[key]
    if value is ...:
        del node[last]
    else:
        node[last] = value
    return copy


@pytest.mark.parametrize(
    "path,value,message",
    [
        (["_id"], "", r"Expected `str` matching regex .* - at `\$\[0\]._id`"),
        (["_id"], True, r"Expected `int \| str`, got `bool` - at `\$\[0\]._id`"),
        (["_id"], -1, r"Expected `int` >= 0 - at `\$\[0\]._id`"),
        (["question"], ..., r"missing required field `question` - at `\$\[0\]`"),
        (["answer"], None, r"Expected `str`, got `null` - at `\$\[0\].answer`"),
        (["type"], "hop", r"Invalid enum value 'hop' - at `\$\[0\].type`"),
        (["level"], 3, r"Expected `str`, got `int` - at `\$\[0\].level`"),
        (["supporting_facts"], {}, r"Expected `array`, got `object`"),
        (["supporting_facts", 0], ["A"], r"of length 2 - at `\$\[0\].supporting_facts\[0\]`"),
        (["supporting_facts", 0, 1], "1", r"Expected `int`.*supporting_facts\[0\]\[1\]`"),
        (["supporting_facts", 0, 1], -1, r"Expected `int` >= 0 .*supporting_facts\[0\]\[1\]`"),
        (["context"], [], r"There must be paragraphs with sentences - at `\$\[0\]`"),
        (["context"], [["A", []]], r"There must be paragraphs with sentences - at `\$\[0\]`"),
        (["context", 1, 0], "A", r"Titles of paragraphs must differ - at `\$\[0\]`"),
        (["context", 0, 1], "Ada.", r"Expected `array`, got `str` .*context\[0\]\[1\]`"),
        (["context", 0, 1, 1], 5, r"Expected `str`, got `int` .*context\[0\]\[1\]\[1\]`"),
        (["context", 0, 1, 1], "\ud800", "surrogate"),
    ],
)
def test_hotpotqa_refuses(tmp_path, path, value, message):
    file = write_json(tmp_path / "h.json", [changed(HOTPOT, path, value)])
    with pytest.raises(DataError, match=message) as error:
        hotpotqa.read_hotpotqa(file)
    assert str(error.value).startswith(f"{file}: ")


@pytest.mark.parametrize(
    "path,value,message",
    [
        (["nfl_1", "passage"], " ", r"'nfl_1': Expected `str` matching regex .*`\$\.passage`"),
        (["nfl_1"], [], r"'nfl_1': Expected `object`, got `array`"),
        (["nfl_1", "qa_pairs"], None, r"Expected `array`, got `null` .*\.qa_pairs`"),
        (["nfl_1", "qa_pairs", 0, "query_id"], ..., "missing required field `query_id`"),
        (["nfl_1", "qa_pairs", 0, "answer", "number"], 13, r"got `int` .*answer\.number`"),
        (["nfl_1", "qa_pairs", 1, "answer", "date"], "May", r"got `str` .*answer\.date`"),
        (["nfl_1", "qa_pairs", 1, "answer", "date", "day"], 1, r"got `int` .*answer\.date\.day`"),
        (["nfl_1", "qa_pairs", 1, "answer", "date"], {}, r"a number, a date or spans .*answer`"),
        (["nfl_1", "qa_pairs", 2, "answer", "spans", 1], "", r"regex .*answer\.spans\[1\]`"),
        (["nfl_1", "qa_pairs", 2, "answer", "spans"], [], r"a number, a date or spans .*answer`"),
        (["nfl_1", "qa_pairs", 0, "validated_answers", 1, "spans"], [], r"validated_answers\[1\]`"),
        (["a b"], {}, r"'a b': Object missing required field `passage`"),
    ],
)
def test_drop_refuses(tmp_path, path, value, message):
    file = write_json(tmp_path / "d.json", changed(DROP, path, value))
    with pytest.raises(DataError, match=message) as error:
        drop.read_drop(file)
    assert str(error.value).startswith(f"{file}: ")


@pytest.mark.parametrize(
    "read,content,message",
    [
        (hotpotqa.read_hotpotqa, b"\xff[]", "not UTF-8 text at byte 0"),
        (hotpotqa.read_hotpotqa, "[", "truncated"),
        (hotpotqa.read_hotpotqa, "[1,", "Expected `object`, got `int`"),
        (hotpotqa.read_hotpotqa, '[{"x": ' + "[" * 100_000, "nested too deeply"),
        (hotpotqa.read_hotpotqa, "{}", "Expected `array`, got `object`"),
        (drop.read_drop, "[]", "Expected `object`, got `array`"),
    ],
)
def test_files_that_are_not_json(tmp_path, read, content, message):
    file = write(tmp_path / "x.json", content)
    with pytest.raises(DataError, match=message) as error:
        read(file)
    assert str(error.value).startswith(f"{file}: ")


@pytest.mark.parametrize(
    "content,message",
    [
        (b"a,1,2,3,4,\xe9\n", "not UTF-8 text at byte 10"),
        ("", "there must be a question"),
        ("a,1,2,3,4,A\nb,1,2,3,4\n", r"record 2 \(to line 2\): there must be 6 cells, got 5"),
        ("a,1,2,3,4,A,\n", "there must be 6 cells, got 7"),
        ("a,1,2,3,4,E\n", "the answer must be A, B, C or D, got 'E'"),
        ("a,1,2,3,4,AB\n", "the answer must be A, B, C or D, got 'AB'"),
        ("a,1,2,3,4,\n", "the answer must be A, B, C or D, got ''"),
        (" ,1,2,3,4,A\n", "the question must not be blank"),
        ('a,1,2,3,4,A\n"b,1,2,3,4,A\n', "line 2: unexpected end of data"),
        ("a" * 200_000 + ",1,2,3,4,A\n", "line 1: field larger than field limit"),
    ],
)
def test_mmlu_refuses(tmp_path, content, message):
    file = write(tmp_path / "s_test.csv", content)
    with pytest.raises(DataError, match=message) as error:
        mmlu.read_subject(file, "s")
    assert str(error.value).startswith(f"{file}: ")


@pytest.mark.parametrize(
    "old,new,message",
    [
        ("context,question", "question,context", "the first line must be context,question,human"),
        ("false", "no", r"record 3 \(to line 3\): correct_answer must be TRUE or FALSE, got 'no'"),
        ("A trolley.", "", r"record 3 \(to line 3\): context must not be blank"),
    ],
)
def test_riddles_refuse(tmp_path, old, new, message):
    file = write(tmp_path / "p.csv", RIDDLES.replace(old, new))
    with pytest.raises(DataError, match=message):
        riddles.read_riddles(file)


def test_folders(tmp_path, monkeypatch):
    monkeypatch.delenv(datasets.VARIABLE, raising=False)
    with pytest.raises(ValueError, match="pass --data DIR, or set SPEXJAX_DATA"):
        datasets.load_drop()
    with pytest.raises(FileNotFoundError, match=r"has no drop/drop_dataset_dev\*.json"):
        datasets.load_drop(tmp_path)
    write(tmp_path / "drop" / "drop_dataset_dev_subset.json", "")
    write_json(tmp_path / "drop" / "drop_dataset_dev.json", DROP)
    write_json(tmp_path / "hotpotqa" / "hotpot_dev_distractor_v1.json", [HOTPOT])
    write_json(tmp_path / "hotpotqa" / "hotpot_train_v1.1.json", [HOTPOT] * 2)
    write(tmp_path / "mmlu" / "dev" / "zoology_dev.csv", MMLU)
    write(tmp_path / "puzzles" / "puzzles.csv", RIDDLES)
    monkeypatch.setenv(datasets.VARIABLE, str(tmp_path))
    assert len(datasets.load_drop()) == 2
    assert len(datasets.load_hotpotqa()) == 1 and len(datasets.load_hotpotqa(None, "train")) == 2
    assert len(datasets.load_mmlu(split="dev")) == 2
    assert len(datasets.load_riddles()) == 2
    with pytest.raises(FileNotFoundError, match="elsewhere has no"):
        datasets.load_riddles(tmp_path / "elsewhere")


def real(load):
    """A real data set, or a skip."""
    if not os.environ.get(datasets.VARIABLE):
        pytest.skip(f"{datasets.VARIABLE} is not set")
    try:
        return load()
    except FileNotFoundError as error:
        pytest.skip(str(error))


def test_real_hotpotqa():
    examples = real(datasets.load_hotpotqa)
    assert len({e.id for e in examples}) == len(examples) >= 200
    for e in examples:
        titles = {e.paragraphs[p].title for p, _ in e.facts}
        assert e.astray == () and len(titles) == 2 <= len(e.supporting) == len(e.facts)
    first = next(e for e in examples if e.id == "5a8b57f25542995d1e6f1371")
    assert first.answer == "yes" and first.supporting == (3, 16)
    assert first.sentences[3].startswith("Scott Derrickson (born July 16, 1966) is an American")


def test_real_drop():
    passages = real(datasets.load_drop)
    questions = [q for p in passages for q in p.questions]
    assert len(passages) >= 100 and len({q.id for q in questions}) == len(questions)
    assert {q.answer.kind for q in questions} == {"number", "date", "span", "spans"}
    known = next(q for q in questions if q.id == "317027fa-76bd-43b9-9184-76c32d8db236")
    assert known.answer.texts == ("Brady", "Palmer")
    assert known.validated[0].texts == ("Tom Brady", "Carson Palmer")


def test_real_mmlu():
    questions = real(datasets.load_mmlu)
    examples = real(lambda: datasets.load_mmlu(split="dev"))
    assert {q.subject for q in examples} == {q.subject for q in questions}
    assert len(examples) == 5 * len({q.subject for q in examples})
    assert {q.answer for q in questions} == set("ABCD")
    assert sum(q.subject == "abstract_algebra" for q in questions) == 100


def test_real_riddles():
    trolley = real(datasets.load_riddles)[-1]
    assert trolley.context.startswith("A runaway trolley is heading away from five people")
    assert trolley.human_answer == "Clearly false" and trolley.correct is False
