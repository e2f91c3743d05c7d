"""Photographs with questions or captions: VQAv2's and COCO's JSON.

    vqa/*OpenEnded_mscoco_val2014_questions*.json   vqa/*mscoco_val2014_annotations*.json
    coco/captions_val*.json                         images: anywhere below vqa/ or coco/

VQAv2 (Goyal et al. 2017) asks by the image's number, whose file is ``COCO_val2014_`` and the number
in twelve figures; COCO (Lin et al. 2014; Chen et al. 2015) lists the files of its images.
"""

from pathlib import Path
from typing import NamedTuple

import msgspec

from spexjax.experiments.data.records import Count, DataError, Filled, read_json


class Asked(NamedTuple):
    """A question about a photograph.

    Attributes:
      name: of the question.
      image: the number of its image.
      question: what is asked.
      answer: what most people answered.
    """

    name: str
    image: int
    question: str
    answer: str


class Captioned(NamedTuple):
    """A photograph's file name and one of its captions."""

    name: str
    file: str
    caption: str


class _Question(msgspec.Struct, frozen=True):
    question_id: Count
    image_id: Count
    question: Filled


class _Questions(msgspec.Struct, frozen=True):
    questions: tuple[_Question, ...]


class _Annotation(msgspec.Struct, frozen=True):
    question_id: Count
    multiple_choice_answer: Filled


class _Annotations(msgspec.Struct, frozen=True):
    annotations: tuple[_Annotation, ...]


class _Image(msgspec.Struct, frozen=True):
    id: Count
    file_name: Filled


class _Caption(msgspec.Struct, frozen=True):
    id: Count
    image_id: Count
    caption: Filled


class _Captions(msgspec.Struct, frozen=True):
    images: tuple[_Image, ...]
    annotations: tuple[_Caption, ...]


def read_vqa(questions: str | Path, annotations: str | Path) -> list[Asked]:
    """VQAv2's questions with their answers, in the order of the questions' file.

    Raises:
      DataError: if a file is not what its format says, or a question has no answer.
    """
    asked = read_json(questions, _Questions).questions
    answers = {
        a.question_id: a.multiple_choice_answer
        for a in read_json(annotations, _Annotations).annotations
    }
    missing = [q.question_id for q in asked if q.question_id not in answers]
    if missing:
        raise DataError(f"{annotations}: no answer to question {missing[0]}.")
    return [
        Asked(str(q.question_id), q.image_id, q.question.strip(), answers[q.question_id].strip())
        for q in asked
    ]


def read_captions(path: str | Path) -> list[Captioned]:
    """COCO's captions, the first of each image, in the order of the images.

    Raises:
      DataError: if the file is not what its format says, or a caption's image is not listed.
    """
    found = read_json(path, _Captions)
    first: dict[int, _Caption] = {}
    for caption in found.annotations:
        first.setdefault(caption.image_id, caption)
    files = {image.id: image.file_name for image in found.images}
    unknown = [c.id for i, c in first.items() if i not in files]
    if unknown:
        raise DataError(f"{path}: caption {unknown[0]} is of an image that is not listed.")
    return [
        Captioned(str(first[i].id), name, " ".join(first[i].caption.split()))
        for i, name in files.items()
        if i in first
    ]


def vqa_file(image: int, split: str = "val2014") -> str:
    """The file name of a VQAv2 image."""
    return f"COCO_{split}_{image:012}.jpg"
