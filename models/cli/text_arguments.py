"""The options that say which text, under which model, is masked; and how it is shown."""

import argparse
import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spexjax.models.cli import api_arguments, question_arguments
from spexjax.models.cli.options import (
    CommandError,
    Features,
    MaskOptions,
    ShowOptions,
    TextOptions,
)

if TYPE_CHECKING:
    from spexjax.explanation import Explanation
    from spexjax.models.bert.classifier import TextClassifier

PAGE, TOP = "explanation.html", 15
# Of reviews of 4 to 33 words a thousand more calls bring 0.002 of R², and take as long again.
BUDGET, BUDGET_OF_MANY = 2000, 1000
# Of these the values of another design's surrogate are far off.
_TARGETS = ("sv", "fsii", "k-sii", "stii")
_SCORES = ("logit", "log-odds", "probability", "margin")


def add_arguments(parser: Any) -> Any:
    """Adds all options that say what the value function is; returns the first group of them."""
    group = parser.add_argument_group("what to explain")
    what = group.add_argument
    what("text", nargs="?", help="the text")
    what("--file", metavar="F", help="read the text from this file (UTF-8)")
    what("--model", metavar="DIR_OR_ID", help="folder or Hugging Face id of a DistilBERT, BERT, "
         "RoBERTa, XLM-R, ModernBERT or DeBERTa classifier (default: embedded)")  # fmt: skip
    what("--revision", metavar="REV", help="branch, tag or commit of a Hugging Face id")
    what("--dtype", choices=("bfloat16", "float32"), help="what a local model computes in "
         "(default: float32; language models on accelerators: bfloat16)")  # fmt: skip
    what("--features", choices=("words", "sentences", "tokens"),
         help="what is masked (default: words; of --task qa, sentences)")  # fmt: skip
    what("--replacement", choices=("unk", "mask", "pad", "delete", "blur", "mean", "black"),
         help="what a masked feature becomes (default: unk, the model's [UNK]; of a picture, "
         "blur)")  # fmt: skip
    what("--label", metavar="CLASS", help="class to explain, by name or number (default: the one "
         "called positive, the second of two, or else the model's own choice)")  # fmt: skip
    what("--score", choices=(*_SCORES, *question_arguments.SCORES),
         help="the value (default: logit; of --task qa, log-probability)")  # fmt: skip
    question_arguments.add_arguments(parser.add_argument_group("a question about a context"))
    api_arguments.add_arguments(parser.add_argument_group("a model behind an API"))
    return group


def add_design_arguments(parser: Any) -> None:
    """Adds the options that say which masks are asked for."""
    how = parser.add_argument_group("how").add_argument
    how("--budget", type=positive, metavar="N",
        help=f"model calls (default: {BUDGET}; of many texts, {BUDGET_OF_MANY} each)")  # fmt: skip
    how("--method", default="auto", help="auto, exact, spex, proxyspex, … (default: auto)")
    how("--seed", type=int, default=0)
    how("--target", metavar="INDEX", help="choose the masks that are best for this index, or none "
        "(default: --index, if it is SV, FSII, k-SII or STII)")  # fmt: skip


def add_show_arguments(parser: Any) -> None:
    """Adds the options that say what is shown of an explanation."""
    show = parser.add_argument_group("what to show").add_argument
    show("--index", default="FBII", help="interaction index, such as FBII, FSII, SII, SV, Moebius")
    show("--order", type=positive, metavar="L", help="order of the index (default: 5)")
    show("--top", type=positive, metavar="K", help=f"rows of the table (default: {TOP}); of many "
         "texts, sets kept of each (default: 200)")  # fmt: skip
    show("--fdr", type=rate, default=0.1, metavar="Q", help="false discovery rate of the sets that "
         "are marked as standing (default: 0.1)")  # fmt: skip
    show("--html", metavar="OUT", help=f"write the page here (default: {PAGE}, or the first of "
         f"{_numbered(2)}, {_numbered(3)}, … that is not there yet)")  # fmt: skip
    show("--no-html", dest="html", action="store_const", const="", help="write no page")
    show("--json", metavar="OUT", help="write the explanation to this file")
    show("--debug", action="store_true", help="show tracebacks")


def read(given: argparse.Namespace) -> TextOptions:
    """The options of a value function, checked before anything slow is imported.

    Raises:
      CommandError: naming what the user can put right.
    """
    if given.replacement in ("blur", "mean", "black"):
        raise CommandError(f"--replacement {given.replacement} needs --image F")
    asked = given.task == "qa"
    features: Features = given.features or ("sentences" if asked else "words")
    scores = question_arguments.SCORES if asked else _SCORES
    score = given.score or scores[0]
    if score not in scores:
        raise CommandError(f"--score {score} is not one of --task {given.task}")
    try:
        question = question_arguments.read(given, features, score)
        api = None if asked else api_arguments.read(given, features)
    except ValueError as error:
        raise CommandError(str(error)) from error
    if not asked and (given.text is None) == (given.file is None):
        raise CommandError("give either a text or --file F")
    if given.revision is not None and (given.model is None or api is not None):
        raise CommandError("--revision needs --model with the id of a model of the hub")
    if given.dtype is not None and api is not None:
        raise CommandError("--dtype needs a local model")
    return TextOptions(
        content=_content(given.text, given.file or given.context or given.reasoning),
        features=features,
        replacement=given.replacement or "unk",
        label=given.label,
        score=score,
        model=given.model,
        revision=given.revision,
        dtype=given.dtype,
        question=question,
        api=api,
    )


def read_masks(given: argparse.Namespace, budget: int = BUDGET) -> MaskOptions:
    """Which masks are asked for: ``budget`` of them, if the user does not say how many."""
    budget = given.budget or budget
    index, order = getattr(given, "index", None), getattr(given, "order", None)
    target = given.target
    if target is None and given.method == "auto":
        target = index if str(index).lower() in _TARGETS else None
    elif target is not None and target.lower() == "none":
        target = None
    if target is not None and order is not None:
        return MaskOptions(budget, given.method, given.seed, (target, order))
    return MaskOptions(budget, given.method, given.seed, target)


def read_show(given: argparse.Namespace, top: int = TOP) -> ShowOptions:
    """What is shown of an explanation, by default ``top`` sets.

    Raises:
      CommandError: if a file could not be written.
    """
    for option, path in (("--html", given.html), ("--json", given.json)):
        if path and not Path(path).absolute().parent.is_dir():
            raise CommandError(f"no folder to write {option} {path!r} into")
    page = _fresh() if given.html is None else given.html or None
    return ShowOptions(given.index, given.order, given.top or top, page, given.json, given.fdr)


def _fresh() -> str:
    """The default page, or a numbered one: a second run must not write over the first."""
    names = (PAGE if i == 1 else _numbered(i) for i in itertools.count(1))
    return next(name for name in names if not Path(name).exists())


def _numbered(i: int) -> str:
    return f"{Path(PAGE).stem}-{i}{Path(PAGE).suffix}"


def classifier(options: TextOptions) -> "tuple[TextClassifier | None, int | None]":
    """The classifier and the class to explain, if the options mean one; else None, None."""
    if options.api is not None or options.question is not None:
        return None, None
    from spexjax.models.bert.classifier import load_classifier

    model = load_classifier(options.model, options.revision)
    return model, None if options.label is None else label_of(options.label, model.label_names)


def show(options: ShowOptions, e: "Explanation", f: Any, cost: str | None = None) -> None:
    """Prints the table of an explanation of f, and what that cost, and writes its files."""
    from spexjax.explanation_json import to_json
    from spexjax.models.cli.table import fields, table

    values = e.interactions(options.index, max_order=options.order)
    print(table(e, f, values, options.top, options.fdr))
    if cost is not None:
        print(cost)
    if options.json:
        raw = to_json(e) | fields(values, options.top, options.fdr)
        Path(options.json).write_text(json.dumps(raw), encoding="utf-8")
    if options.html:
        e.to_html(
            options.html, f.source.text, f.source.spans, f.description,
            index=options.index, max_order=options.order, fdr=options.fdr,
        )  # fmt: skip
        print(f"page          {options.html}")
    doubt(e)


def doubt(e: "Explanation") -> None:
    """Prints what not to believe, if it is much, as the last line."""
    from spexjax.report import facts

    if caution := facts.caution(e):
        print(f"caution       {caution}")


def positive(text: str) -> int:
    """A whole number from 1, of a command line."""
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number from 1, got {text!r}")
    return int(text)


def rate(text: str) -> float:
    """A number between 0 and 1, of a command line."""
    try:
        found = float(text)
    except ValueError:
        found = math.nan
    if not 0 < found < 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, got {text!r}")
    return found


def _content(text: str | None, file: str | None) -> str:
    if file is not None:
        try:
            text = Path(file).read_text(encoding="utf-8")
        except UnicodeDecodeError as error:
            raise CommandError(f"{file!r} is not UTF-8 text") from error
        except OSError as error:
            raise CommandError(f"cannot read {file!r}: {error.strerror}") from error
    if text is None or not text.strip():
        raise CommandError("the text is empty")
    return text


def label_of(given: str, names: Sequence[str]) -> int:
    """The class of that name or number.

    Raises:
      CommandError: if there is none.
    """
    lowered = [name.lower() for name in names]
    if given.lower() in lowered:
        return lowered.index(given.lower())
    if given.isdecimal() and int(given) < len(names):
        return int(given)
    raise CommandError(f"--label must be one of {', '.join(names)} (or its number), got {given!r}")
