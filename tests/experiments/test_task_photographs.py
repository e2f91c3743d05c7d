"""Questions about photographs and captions as tasks, from files in VQAv2's and COCO's layout."""

import json

import numpy as np
import pytest
from PIL import Image

from spexjax.experiments.data import coco
from spexjax.experiments.data.records import DataError
from spexjax.experiments.tasks import photographs, registry
from spexjax.experiments.tasks.item import TaskConfig

QUESTIONS = {
    "info": {"year": 2017},
    "questions": [
        {"image_id": 42, "question": "Is it red? ", "question_id": 42000},
        {"image_id": 73, "question": "How many cups?", "question_id": 73001},
        {"image_id": 99, "question": "What is it?", "question_id": 99002},
    ],
}
ANSWERS = {
    "annotations": [
        {"question_id": 73001, "multiple_choice_answer": "2", "answers": [{"answer": "2"}]},
        {"question_id": 42000, "multiple_choice_answer": "yes"},
        {"question_id": 99002, "multiple_choice_answer": "cup"},
    ]
}
CAPTIONS = {
    "images": [{"id": 7, "file_name": "a.jpg", "height": 3}, {"id": 8, "file_name": "b.jpg"}],
    "annotations": [
        {"id": 2, "image_id": 8, "caption": "a  red\ncup"},
        {"id": 3, "image_id": 7, "caption": "a table"},
        {"id": 4, "image_id": 8, "caption": "another"},
    ],
}


@pytest.fixture
def data(tmp_path):
    def write(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(content))

    write("vqa/v2_OpenEnded_mscoco_val2014_questions.json", QUESTIONS)
    write("vqa/v2_mscoco_val2014_annotations.json", ANSWERS)
    write("coco/captions_val2014.json", CAPTIONS)
    (tmp_path / "vqa" / "val2014").mkdir()
    pixels = np.random.default_rng(0).integers(0, 256, (12, 16, 3), dtype=np.uint8)
    for name in ("vqa/val2014/COCO_val2014_000000000042.jpg", "coco/b.jpg",
                 "vqa/val2014/COCO_val2014_000000000073.jpg"):  # fmt: skip
        Image.fromarray(pixels).save(tmp_path / name)
    return tmp_path


def test_questions_and_captions_are_read(data):
    found = coco.read_vqa(
        data / "vqa/v2_OpenEnded_mscoco_val2014_questions.json",
        data / "vqa/v2_mscoco_val2014_annotations.json",
    )
    assert found[0] == coco.Asked("42000", 42, "Is it red?", "yes")
    assert [a.answer for a in found] == ["yes", "2", "cup"]
    captions = coco.read_captions(data / "coco/captions_val2014.json")
    assert captions == [("3", "a.jpg", "a table"), ("2", "b.jpg", "a red cup")]


@pytest.mark.parametrize(
    ("change", "what"),
    [
        (lambda q, a, c: a["annotations"].pop(), "no answer to question 99002"),
        (lambda q, a, c: q["questions"][0].pop("image_id"), "image_id"),
        (lambda q, a, c: q["questions"][1].update(question=" "), "question"),
        (lambda q, a, c: a["annotations"][0].update(question_id="7"), "int"),
        (lambda q, a, c: c["images"].pop(), "image that is not listed"),
        (lambda q, a, c: c["annotations"][0].update(caption=3), "str"),
    ],
)
def test_broken_files_are_refused(tmp_path, change, what):
    parts = json.loads(json.dumps([QUESTIONS, ANSWERS, CAPTIONS]))
    change(*parts)
    paths = [tmp_path / name for name in ("q.json", "a.json", "c.json")]
    for path, part in zip(paths, parts, strict=True):
        path.write_text(json.dumps(part))
    with pytest.raises(DataError, match=what):
        coco.read_vqa(*paths[:2])
        coco.read_captions(paths[2])


class Counted:
    """Stands for a value function: the number of cells kept."""

    def __init__(self, image, text, cells):
        self.n, self.text = cells[0] * cells[1], text
        self.words = tuple(map(str, range(self.n)))
        self.image = image


def test_items(data, monkeypatch):
    monkeypatch.setattr(photographs, "load_vision_language_model", lambda name: name)
    monkeypatch.setattr(photographs, "load_clip_model", lambda name: name)
    made = {"visual_value": "question", "caption_value": "caption"}
    for name in made:
        monkeypatch.setattr(
            photographs, name, lambda model, image, text, cells: Counted(image, text, cells)
        )
    asked = list(registry.items(TaskConfig("vqa", per_group=5, data=str(data), model="m")))
    # The third question's image is not there.
    assert [i.n for i in asked] == [48, 48, 12, 12] and len({i.name for i in asked}) == 4
    assert {i.f.text for i in asked} == {"Is it red?", "How many cups?"}
    assert asked[0].f.image.shape == (12, 16, 3) and asked[0].supporting is None
    told = list(registry.items(TaskConfig("caption", ("4x3",), data=str(data), model="m")))
    assert [(i.name, i.f.text) for i in told] == [("coco-4x3-2", "a red cup")]
    with pytest.raises(ValueError, match="model must be named"):
        list(registry.items(TaskConfig("vqa", ("8x6",), data=str(data))))
    (data / "coco/b.jpg").unlink()
    with pytest.raises(FileNotFoundError, match="none of the 2 images"):
        list(registry.items(TaskConfig("caption", data=str(data), model="m")))
