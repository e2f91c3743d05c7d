"""Pictures as tasks: questions about them ("vqa") and captions of them ("caption").

Questions are about generated shapes, group "shapes", unless a model is named: see
:mod:`~spexjax.experiments.tasks.shapes`. Photographs need ``--data`` (VQAv2 or COCO, see
:mod:`spexjax.experiments.data.coco`) and ``--model``: a SmolVLM, Idefics3 or LLaVA, or a CLIP. The
inputs are cells of a grid, blurred where they are masked (Kang et al. 2025, section 6: 8 × 6
cells); of a caption its words too (Butler et al. 2025). The value of a question is the
log-probability of the model's own answer, of a caption its score. A group is a grid, columns by
rows. Nobody has marked which cells of a photograph support an answer.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np

from spexjax.experiments.data import coco, datasets
from spexjax.experiments.tasks import shapes
from spexjax.experiments.tasks.item import Item, TaskConfig, chosen
from spexjax.models.clip.captions import load_clip_model
from spexjax.models.values.image import MaskedImage
from spexjax.models.values.image_caption import caption_value
from spexjax.models.values.image_question import visual_value
from spexjax.models.vit.reading import read_image
from spexjax.models.vlm.language import load_vision_language_model

GRIDS = ("8x6", "4x3")
GROUPS = (shapes.GROUP, *GRIDS)


class Shown(NamedTuple):
    """A photograph's name, its file, and what is said about it."""

    name: str
    file: str
    text: str


def questions(config: TaskConfig) -> Iterator[Item]:
    """``per_group`` questions about shapes, or about photographs for every grid."""
    groups = config.groups or ((shapes.GROUP,) if config.model is None else GRIDS)
    grids = tuple(group for group in groups if group != shapes.GROUP)
    name = _model(config) if grids else config.model
    model = load_vision_language_model(name)
    if shapes.GROUP in groups:
        yield from shapes.items(config, model)
    if not grids:
        return
    asked = coco.read_vqa(
        datasets.find(config.data, "vqa/*_questions*.json"),
        datasets.find(config.data, "vqa/*annotations*.json"),
    )
    found = [Shown(a.name, coco.vqa_file(a.image), a.question) for a in asked]

    def value(image: np.ndarray, text: str, cells: tuple[int, int]) -> MaskedImage:
        return visual_value(model, image, text, cells=cells)

    yield from _items(replace(config, groups=grids), "vqa", found, value)


def captions(config: TaskConfig) -> Iterator[Item]:
    """``per_group`` photographs with a caption, for every grid."""
    model = load_clip_model(_model(config))
    listed = coco.read_captions(datasets.find(config.data, "coco/captions*.json"))
    found = [Shown(c.name, c.file, c.caption) for c in listed]

    def value(image: np.ndarray, text: str, cells: tuple[int, int]) -> MaskedImage:
        return caption_value(model, image, text, cells=cells)

    yield from _items(config, "coco", found, value)


def _model(config: TaskConfig) -> str:
    if config.model is None:
        raise ValueError("model must be named: pass --model DIR_OR_ID.")
    return config.model


def _items(
    config: TaskConfig,
    folder: str,
    found: Sequence[Shown],
    value: Callable[[np.ndarray, str, tuple[int, int]], MaskedImage],
) -> Iterator[Item]:
    """The first photographs that are there, in an order that the seed shuffles."""
    root = datasets.folder(config.data) / folder
    where = {path.name: path for path in _files(root)}
    order = np.random.default_rng(config.seed).permutation(len(found)).tolist()
    there = [found[i] for i in order if found[i].file in where][: config.per_group]
    if not there:
        raise FileNotFoundError(f"{root} has none of the {len(found)} images that are described.")
    for group in chosen(config, GRIDS):
        cols, rows = (int(part) for part in group.split("x"))
        for shown in there:
            f = value(read_image(where[shown.file]), shown.text, (rows, cols))
            yield Item(f"{folder}-{group}-{shown.name}", group, f.n, f, None, tuple(f.words))


def _files(root: Path) -> Iterable[Path]:
    return (path for path in sorted(root.rglob("*")) if path.suffix.lower() in (".jpg", ".png"))
