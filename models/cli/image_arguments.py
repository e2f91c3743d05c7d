"""The options of ``spexjax explain --image``: a picture, its cells, and what is asked about it."""

import argparse
import json
import re
import sys
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from spexjax.models.cli import text_arguments
from spexjax.models.cli.announcement import announce
from spexjax.models.cli.options import (
    CommandError,
    ExplainPicture,
    ImageOptions,
    ShowOptions,
)

if TYPE_CHECKING:  # JAX takes seconds to import; a wrong argument should not wait for it
    from spexjax.explanation import Explanation
    from spexjax.models.values.image_caption import CaptionValue
    from spexjax.models.values.image_class import ImageClassValue
    from spexjax.models.values.image_question import VisualValue

    ImageValue = ImageClassValue | VisualValue | CaptionValue

EXAMPLE = "example"
"""A picture of coloured shapes that is always there, unless a file is called so."""
REPLACEMENTS = ("blur", "mean", "black")
_OTHERS = ("text", "file", "api_base", "context", "reasoning", "features", "answer_span")
_GRID = re.compile(r"(\d{1,4})x(\d{1,4})")
_SCORES = {
    "vit": ("logit", "log-odds", "probability", "margin"),
    "clip": (),
    "visual": ("log-probability", "mean-log-probability"),
}


def add_arguments(parser: Any) -> None:
    """Adds the options to a parser or a group of one; ``--question`` and others are there."""
    add = parser.add_argument
    add("--image", metavar="F", help="the picture; its cells are masked. With --question about it: "
        "--model is a SmolVLM, Idefics3 or LLaVA (default: the embedded one, which knows coloured "
        "shapes; --image example is a picture of them); with --caption a CLIP; else an image "
        "classifier (ViT)")  # fmt: skip
    add("--grid", metavar="COLSxROWS", help="cells of the picture (default: 8x6; 6x6 for the "
        "embedded model)")  # fmt: skip
    add(
        "--caption", metavar="C", help="how well does it fit the picture? Its words are masked, too"
    )
    add("--radius", type=float, metavar="PIXELS", help="standard deviation of --replacement blur "
        "(default: a fifth of the longer side)")  # fmt: skip


def read(given: argparse.Namespace) -> ExplainPicture | None:
    """The options, if a picture is to be explained.

    Raises:
      CommandError: naming what the user can put right.
    """
    if given.image is None:
        for option in ("grid", "caption", "radius"):
            if getattr(given, option) is not None:
                raise CommandError(f"--{option} needs --image F")
        return None
    for option in _OTHERS:
        if getattr(given, option) is not None:
            name = "a text" if option == "text" else f"--{option.replace('_', '-')}"
            raise CommandError(f"--image does not take {name}")
    if given.task != "classify" or given.per_line or given.column:
        raise CommandError("--image takes neither --task nor many texts")
    if not Path(given.image).is_file() and given.image != EXAMPLE:
        raise CommandError(f"no image file {given.image!r}")
    if given.replacement not in (None, *REPLACEMENTS):
        raise CommandError("--image takes --replacement blur, mean or black")
    if given.radius is not None and not 0 < given.radius < float("inf"):
        raise CommandError("--radius must be a positive number of pixels")
    if given.question is not None and given.caption is not None:
        raise CommandError("give either --question or --caption")
    for option in ("question", "caption", "answer"):
        value = getattr(given, option)
        if value is not None and not value.strip():
            raise CommandError(f"the {option} is empty")
    if given.answer is not None and given.question is None:
        raise CommandError("--answer needs --question")
    if given.model is None and given.caption is not None:
        raise CommandError("--caption needs --model with a CLIP")
    if given.model is None and given.question is None:
        raise CommandError("--image needs --question about coloured shapes, which the embedded "
                           "model knows, or --model with a SmolVLM, Idefics3, LLaVA, CLIP or "
                           "ViT")  # fmt: skip
    if given.model is None and given.revision is not None:
        raise CommandError("--revision needs --model with a hub id")
    usual = "6x6" if given.model is None else "8x6"
    picture = ImageOptions(
        image=given.image, grid=_grid(given.grid or usual), question=given.question,
        answer=given.answer, caption=given.caption, replacement=given.replacement or "blur",
        radius=given.radius, label=given.label, score=given.score, model=given.model,
        revision=given.revision, dtype=given.dtype,
    )  # fmt: skip
    masks, show = text_arguments.read_masks(given), text_arguments.read_show(given)
    return ExplainPicture(picture, masks, show, given.store, given.dry_run)


def run(asked: ExplainPicture) -> None:
    """Explains, prints the table, writes the files."""
    from spexjax.explain import explain

    f = value_of(asked.picture)
    announce(f, asked.masks, None, asked.store, asked.dry_run)
    if asked.dry_run:
        return
    masks = asked.masks
    e = explain(
        f, f.n, budget=masks.budget, method=masks.method, target=masks.target, seed=masks.seed,
        features=f.words, store=asked.store, progress=sys.stderr.isatty(),
    )  # fmt: skip
    show(asked.show, e, f)


def value_of(options: ImageOptions) -> "ImageValue":
    """The value function of the picture that the options describe.

    Raises:
      CommandError: if the model is of another kind than what is asked.
    """
    kind = "visual" if options.model is None else _kind(options, options.model)
    if options.score is not None and options.score not in _SCORES[kind]:
        raise CommandError(f"--score {options.score} is not one of a {kind} model")
    if options.label is not None and kind != "vit":
        raise CommandError("--label needs an image classifier")
    picture = _pixels(options.image)
    if options.grid[0] > picture.shape[0] or options.grid[1] > picture.shape[1]:
        raise CommandError(
            f"--grid {options.grid[1]}x{options.grid[0]} is finer than the picture's "
            f"{picture.shape[1]} x {picture.shape[0]} pixels"
        )
    return _MAKERS[kind](options, picture)


def _kind(options: ImageOptions, model: str) -> str:
    """Whether the model takes questions, captions or neither; the options must fit it."""
    from spexjax.models.checkpoints.folders import config_json
    from spexjax.models.checkpoints.hub import model_folder

    folder = model_folder(model, options.revision)
    kind = str(config_json(folder).get("model_type"))
    kind = "visual" if kind in ("idefics3", "smolvlm", "llava") else kind
    if kind not in _SCORES:
        raise CommandError(
            f"{model} is a {kind}; --image takes a SmolVLM, Idefics3, LLaVA, CLIP or ViT"
        )
    wants = {"visual": "question", "clip": "caption", "vit": None}[kind]
    for option in ("question", "caption"):
        if (getattr(options, option) is not None) != (option == wants):
            verb = "needs" if option == wants else "does not take"
            raise CommandError(f"{model}, a {kind} model, {verb} --{option}")
    return kind


def _pixels(name: str) -> Any:
    """The picture of that name, or the one that is shipped."""
    from spexjax.models.vit.reading import read_image

    if Path(name).is_file():
        return read_image(name)
    with resources.as_file(resources.files("spexjax.models.mini") / "vqa" / "example.png") as file:
        return read_image(file)


def show(options: ShowOptions, e: "Explanation", f: "ImageValue") -> None:
    """Prints the table of an explanation of f and writes its files."""
    from spexjax.explanation_json import to_json
    from spexjax.models.cli.table import fields, table
    from spexjax.report import Picture

    values = e.interactions(options.index, max_order=options.order)
    print(table(e, f, values, options.top, options.fdr))
    if options.json:
        raw = to_json(e) | fields(values, options.top, options.fdr)
        Path(options.json).write_text(json.dumps(raw), encoding="utf-8")
    if options.html:
        source = f.source
        e.to_html(
            options.html, model=f.description, index=options.index, max_order=options.order,
            fdr=options.fdr, picture=Picture(source.image, source.other, source.cells),
        )  # fmt: skip
        print(f"page          {options.html}")
    text_arguments.doubt(e)


def _classified(options: ImageOptions, picture: Any) -> "ImageClassValue":
    from spexjax.models.values.image_class import image_value
    from spexjax.models.vit.classifier import load_image_classifier

    assert options.model is not None  # checked in value_of
    model = load_image_classifier(options.model, revision=options.revision)
    label = None
    if options.label is not None:
        label = text_arguments.label_of(options.label, model.label_names)
    return image_value(
        model, picture, options.grid, label, cast(Any, options.score or "logit"),
        options.replacement, options.radius, dtype=options.dtype or "float32",
    )  # fmt: skip


def _asked(options: ImageOptions, picture: Any) -> "VisualValue":
    from spexjax.models.nn.precision import default_dtype
    from spexjax.models.values.image_question import visual_value
    from spexjax.models.vlm.language import load_vision_language_model

    assert options.question is not None  # checked in value_of
    dtype = options.dtype or default_dtype()
    model = load_vision_language_model(options.model, dtype, revision=options.revision)
    return visual_value(
        model, picture, options.question, options.answer, options.grid,
        cast(Any, options.score or "log-probability"), options.replacement, options.radius,
        dtype=dtype,
    )  # fmt: skip


def _captioned(options: ImageOptions, picture: Any) -> "CaptionValue":
    from spexjax.models.clip.captions import load_clip_model
    from spexjax.models.values.image_caption import caption_value

    assert options.model is not None and options.caption is not None  # checked in value_of
    model = load_clip_model(options.model, revision=options.revision)
    return caption_value(
        model, picture, options.caption, options.grid, options.replacement, options.radius,
        dtype=options.dtype or "float32",
    )  # fmt: skip


_MAKERS: dict[str, Any] = {"vit": _classified, "visual": _asked, "clip": _captioned}


def _grid(text: str) -> tuple[int, int]:
    """Rows and columns."""
    found = _GRID.fullmatch(text.replace("×", "x").lower())
    if found is None or min(int(part) for part in found.groups()) < 1:
        raise CommandError(f"--grid must be columns x rows such as 8x6, got {text!r}")
    return int(found[2]), int(found[1])
