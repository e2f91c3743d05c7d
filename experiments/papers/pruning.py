"""Pruning: which attention heads can a model lose and still answer?

A surrogate of the mean log-odds of the right answers to a few questions, as a function of the
heads that are kept, is learned by each method with the same budget. It names the r heads whose
removal raises the surrogate most (or lowers it least), and the model without them answers other
questions: the accuracy is what counts (Kang et al. 2025 and Butler et al. 2025 prune so on MMLU).
Without ``--model`` the embedded two-hop model answers questions of its own kind.

  python -m spexjax.experiments pruning --model FOLDER --data DIR --subjects astronomy
"""

import dataclasses
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import NamedTuple

import numpy as np
from matplotlib.figure import Figure

from spexjax import explain, selection
from spexjax.experiments.data import datasets
from spexjax.experiments.data.mmlu import LETTERS
from spexjax.experiments.harness import results
from spexjax.experiments.harness.results import Cell, Journal, Result
from spexjax.experiments.papers import command
from spexjax.experiments.reporting import figures, summary
from spexjax.experiments.reporting.tables import Section, Table
from spexjax.models.llama.language import LanguageModel, load_language_model
from spexjax.models.llama.prompts import multiple_choice, prompt
from spexjax.models.mini.facts import held_out_examples
from spexjax.models.values.components import Asked, HeadValue, head_value
from spexjax.spectra.spectrum import Spectrum

METHODS = ("spex", "proxyspex", "lasso", "random")
_SENTENCES = 8  # of the two-hop model's questions


@dataclass(frozen=True)
class Config:
    """Attributes: as in the metadata."""

    model: str | None = field(
        default=None,
        metadata={"help": "folder or hub id of a Llama; without one, the embedded one"},
    )
    data: str | None = None
    subjects: tuple[str, ...] = field(
        default=("astronomy",), metadata={"help": "of MMLU, for a model that is given"}
    )
    learn: int = field(default=16, metadata={"help": "questions that surrogates are learned from"})
    test: int = field(default=100, metadata={"help": "questions that count, at most"})
    layers: tuple[int, ...] = field(
        default=(), metadata={"help": "whose heads may be removed; all if none are named"}
    )
    remove: tuple[float, ...] = field(
        default=(0.1, 0.25, 0.5, 0.75), metadata={"help": "shares of the heads"}
    )
    budget: int = field(default=1000, metadata={"help": "masks of heads for each method"})
    methods: tuple[str, ...] = METHODS
    seeds: int = 3
    folder: str = "results"


class Questions(NamedTuple):
    """What surrogates are learned from, and what counts."""

    learn: list[Asked]
    test: list[Asked]


def run(config: Config) -> Result:
    """Every method with every seed at every number of heads.

    Raises:
      ValueError: if a method is unknown, or there are no questions left to test on.
    """

    unknown = set(config.methods) - set(METHODS)
    if unknown:
        raise ValueError(f"methods must be of {', '.join(METHODS)}, got {min(unknown)!r}.")
    model = load_language_model(config.model)
    asked = questions(config, model)
    if not asked.learn or not asked.test:
        raise ValueError("there are not enough questions to learn from and to test on.")
    layers = config.layers or None
    f = head_value(model, asked.learn, "log-odds", layers)
    right = [head_value(model, [one], "margin", layers, rows=1) for one in asked.test]
    settings = _settings(config, "two-hop" if config.model is None else "mmlu")
    journal = Journal(results.stem("pruning", settings).with_suffix(".jsonl"))
    whole = _accuracy(right, np.ones(f.n, bool))
    for method in config.methods:
        for seed in range(config.seeds):
            todo = [r for r in removed(config, f.n) if _key(r, method, seed) not in journal.done]
            if not todo:
                continue
            choose, calls = _chooser(method, f, config.budget, seed)
            for r in todo:
                kept = np.ones(f.n, bool)
                kept[list(choose(r))] = False
                values = {
                    "accuracy": _accuracy(right, kept),
                    "whole": whole,
                    "log_odds": float(np.asarray(f(kept[None]))[0]),
                    "removed": np.flatnonzero(~kept).tolist(),
                }
                name = _key(r, method, seed)[0]
                journal.add(
                    Cell(name, name, f.n, method, 0, seed, config.budget, calls, values=values)
                )
    keys = [
        _key(r, m, s)
        for m in config.methods
        for s in range(config.seeds)
        for r in removed(config, f.n)
    ]
    cells = tuple(journal.done[key] for key in keys)
    result = Result("pruning", settings, results.versions(), cells)
    result.save()
    return result


def removed(config: Config, n: int) -> list[int]:
    """The numbers of heads to remove, ascending."""
    return sorted({min(max(round(share * n), 1), n - 1) for share in config.remove})


def questions(config: Config, model: LanguageModel) -> Questions:
    """The embedded model's own questions, or MMLU's: the dev split to learn from, then others."""
    if config.model is None:
        found = list(islice(_two_hop(), config.learn + config.test))
        return Questions(found[: config.learn], found[config.learn :])
    learn = list(islice(_mmlu(config, model, "dev"), config.learn))
    test = list(_mmlu(config, model, "test"))
    if len(learn) < config.learn:
        learn += test[: config.learn - len(learn)]
        test = test[config.learn - len(learn) :]
    return Questions(learn, test[: config.test])


def section(result: Result) -> Section:
    """Accuracy by method and number of heads."""
    groups = summary.distinct(result, "group")
    methods = summary.distinct(result, "method")
    rows = [
        (m, *(f"{np.mean([c.values['accuracy'] for c in _of(result, m, g)]):.3f}" for g in groups))
        for m in methods
    ]
    best = frozenset(
        (int(np.argmax([float(row[j + 1]) for row in rows])), j + 1) for j in range(len(groups))
    )
    whole = result.cells[0].values["whole"]
    n, budget = result.cells[0].n, result.config["budget"]
    return Section(
        "Pruning of attention heads",
        f"Accuracy with heads removed, of {n}; with all of them {whole:.3f}. {budget} masks for "
        f"each method, mean over {result.config['seeds']} seeds.",
        (Table(("method", *groups), tuple(rows), strong=best),),
    )


def draw(result: Result) -> Figure:
    """Accuracy against the number of heads removed."""
    groups = summary.distinct(result, "group")

    def line(method: str) -> figures.Line:
        cells = [_of(result, method, group) for group in groups]
        scores = [[c.values["accuracy"] for c in some] for some in cells]
        heads = [len(some[0].values["removed"]) for some in cells]
        return figures.Line(method, heads, [float(np.mean(s)) for s in scores])

    methods = summary.distinct(result, "method")
    n, whole = result.cells[0].n, result.cells[0].values["whole"]
    name = f"{n} heads, accuracy {whole:.3f} with all"
    return figures.panels([name], lambda _: [line(m) for m in methods], "heads removed", "accuracy")


def _of(result: Result, method: str, group: str) -> list[Cell]:
    return summary.select(result, method=method, group=group)


def _key(r: int, method: str, seed: int) -> tuple[str, str, int, int]:
    return f"{r} heads", method, 0, seed


def _settings(config: Config, task: str) -> dict:
    raw = dataclasses.asdict(config)
    return raw | {"protocol": {"folder": config.folder, "task": {"name": task}}}


def _chooser(
    method: str, f: HeadValue, budget: int, seed: int
) -> tuple[Callable[[int], tuple[int, ...]], int]:
    """From r to the heads to remove, and the calls that it took."""
    if method == "random":
        order = np.random.default_rng(seed).permutation(f.n)
        return lambda r: tuple(order[:r].tolist()), 0
    e = explain(f, f.n, budget=budget, method=method, seed=seed)
    surrogate: Spectrum = e.spectrum
    return lambda r: selection.greedy(surrogate, r, "remove", "raise").members, e.calls


def _accuracy(right: list[HeadValue], kept: np.ndarray) -> float:
    """The share of questions whose right answer is the likeliest."""
    return float(np.mean([float(np.asarray(f(kept[None]))[0]) > 0 for f in right]))


def _two_hop() -> Iterator[Asked]:
    """One- and two-hop questions in turn, whose facts the embedded model was not trained on."""

    one, two = held_out_examples(0, _SENTENCES, 1), held_out_examples(0, _SENTENCES, 2)
    for pair in zip(one, two, strict=False):
        for e in pair:
            yield Asked(f"{e.context} {e.question}", e.answer)


def _mmlu(config: Config, model: LanguageModel, split) -> Iterator[Asked]:

    for one in datasets.load_mmlu(config.data, split, config.subjects):
        text = prompt(
            model, multiple_choice(one.question, one.choices), "Which is right?", "multiple-choice"
        ).text
        yield Asked(text, one.answer, tuple(LETTERS))


def main(argv: list[str] | None = None) -> None:
    """The command."""
    command.main(sys.modules[__name__], argv)
