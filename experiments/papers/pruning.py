"""Pruning: which heads, or other components, can a model lose and still answer?

A surrogate of the mean log-odds of the right answers to a few questions, as a function of the
components that are kept, is learned by each method with the same budget. It names the r whose
removal raises the surrogate most (or lowers it least), and the model without them answers other
questions: the accuracy is what counts (Kang et al. 2025 and Butler et al. 2025 prune so on MMLU).
Without ``--model`` the embedded two-hop model answers questions of its own kind.

  python -m spexjax.experiments pruning --model FOLDER --data DIR --subjects astronomy
  python -m spexjax.experiments pruning --components layers
"""

import dataclasses
import functools
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from matplotlib.figure import Figure

from spexjax import explain, selection
from spexjax.experiments.data import datasets
from spexjax.experiments.data.mmlu import LETTERS, Split
from spexjax.experiments.harness import runner
from spexjax.experiments.harness.journal import plain
from spexjax.experiments.harness.methods import METHODS
from spexjax.experiments.harness.results import Cell, Result
from spexjax.experiments.harness.runner import Work
from spexjax.experiments.harness.watched import Remembered
from spexjax.experiments.reporting import figures, summary
from spexjax.experiments.reporting.tables import Section, Table
from spexjax.explanation import Explanation
from spexjax.models.llama.language import LanguageModel, load_language_model
from spexjax.models.llama.prompts import multiple_choice, prompt
from spexjax.models.mini.two_hop.facts import held_out_examples
from spexjax.models.nn.precision import default_dtype
from spexjax.models.values.components import (
    Asked,
    ComponentValue,
    attribution_patching,
    component_value,
)

_SENTENCES = 8  # of the two-hop model's questions


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    model: str | None = None
    """Folder or hub id of a Llama; without one, the embedded one."""
    data: str | None = None
    """Folder of data sets, for a model that is given; $SPEXJAX_DATA if not given."""
    dtype: Literal["bfloat16", "float32"] | None = None
    """What the model computes in; float32, on accelerators bfloat16, if not given."""
    subjects: tuple[str, ...] = ("astronomy",)
    """Of MMLU, for a model that is given."""
    learn: int = 16
    """Questions that surrogates are learned from."""
    test: int = 100
    """Other questions, which count, at most."""
    components: Literal["heads", "mlps", "layers", "neurons"] = "heads"
    """What may be removed. Heads that are kept make up for the others of their layer."""
    layers: tuple[int, ...] = ()
    """Whose components may be removed; all if none are named."""
    remove: tuple[float, ...] = (0.1, 0.25, 0.5, 0.75)
    """Shares of the components."""
    budget: int = 1000
    """Masks of components for each method."""
    methods: tuple[
        Literal[
            "spex", "proxyspex", "auto", "lasso", "lasso-1", "linear", "atp", "magnitude", "random"
        ],
        ...,
    ] = ("spex", "proxyspex", "lasso", "atp", "magnitude", "random")  # fmt: skip
    """Who chooses; "random" draws, "atp" takes those that cost least to first order, "magnitude"
    those of the smallest weights."""
    seeds: int = 20
    """Of masks, and of random components."""
    folder: str = "results"
    """Where results go."""


class Questions(NamedTuple):
    """What surrogates are learned from, and what counts; they share none."""

    learn: list[Asked]
    test: list[Asked]


def run(config: Config) -> Result:
    """Every method with every seed at every number of components.

    Raises:
      ValueError: if there are no questions left to test on.
    """
    model = load_language_model(config.model, config.dtype or default_dtype())
    asked = questions(config, model)
    if not asked.learn or not asked.test:
        raise ValueError("there are not enough questions to learn from and to test on.")
    layers = config.layers or None
    kind, heads = config.components, config.components == "heads"
    f = component_value(model, asked.learn, kind, score="log-odds", layers=layers, rescale=heads)
    right = component_value(
        model, asked.test, kind, score="margin", layers=layers, rescale=heads, each=True,
        rows=len(removed(config, f.n)),
    )  # fmt: skip
    task = "two-hop" if config.model is None else "mmlu"
    raw = plain(dataclasses.asdict(config))
    raw["protocol"] = {"folder": config.folder, "task": {"name": task}}
    return runner.finish("pruning", raw, _work(config, f, right))


def _work(config: Config, f: ComponentValue, right: ComponentValue) -> Iterator[Work]:
    """A piece for every method and seed: one explanation names components of all numbers."""
    log_odds = Remembered(f, f.n)

    def accuracies(gone: list[frozenset[int]]) -> list[float]:
        """The shares of questions whose right answer is the likeliest without some components."""
        masks = np.concatenate([without(one, f.n) for one in gone])
        return (np.asarray(right(masks)) > 0).mean(axis=1).tolist()

    whole = functools.cache(lambda: accuracies([frozenset()])[0])
    counts = removed(config, f.n)
    for method in config.methods:
        for seed in range(config.seeds):

            @functools.cache
            def all_counts(method=method, seed=seed) -> tuple[int, dict[int, dict[str, Any]]]:
                calls, sets = _chosen(log_odds, f, config, method, seed, counts)
                found = {}
                for count, gone, right_ones in zip(counts, sets, accuracies(sets), strict=True):
                    found[count] = {
                        "accuracy": right_ones,
                        "whole": whole(),
                        "log_odds": float(np.asarray(log_odds(without(gone, f.n)))[0]),
                        "removed": sorted(gone),
                    }
                return calls, found

            def measure(cell: Cell, all_counts=all_counts) -> tuple[int, dict[str, Any]]:
                calls, found = all_counts()
                return calls, found[_count(cell)]

            names = [f"{r} {config.components}" for r in counts]
            yield Work(
                f"{method}, seed {seed}",
                tuple(Cell(name, name, f.n, method, 0, seed, config.budget) for name in names),
                measure,
            )


def _kind(result: Result) -> str:
    """Of components; results from before there were several have none."""
    return str(result.config.get("components", "heads"))


def _count(cell: Cell) -> int:
    return int(cell.group.split()[0])


def without(gone: frozenset[int], n: int) -> Bool[np.ndarray, "1 n"]:
    """The mask that keeps all components but some."""
    return ~np.isin(np.arange(n), list(gone))[None]


def _chosen(
    log_odds: Remembered, f: ComponentValue, config: Config, method: str, seed: int,
    counts: list[int],
) -> tuple[int, list[frozenset[int]]]:  # fmt: skip
    """Calls, and for each number the components to remove."""
    if method in ("atp", "magnitude"):
        plain = dataclasses.replace(f, rescale=False)
        kept = -attribution_patching(plain) if method == "atp" else magnitudes(f)
        order = np.argsort(kept).tolist()  # what matters least first
        return 0, [frozenset(order[:r]) for r in counts]
    asked, e = METHODS[method].config, None
    if asked is not None:
        e = explain(log_odds, f.n, budget=config.budget, method=asked, seed=seed)
    return 0 if e is None else e.calls, [chosen(e, f.n, r, seed) for r in counts]


def magnitudes(f: ComponentValue) -> Float[np.ndarray, "n"]:
    """The norms of the weights by which components write into the residual stream."""
    layers, c = f.model.params["layers"], f.model.config
    out = np.asarray(layers["attention"]["out"]["kernel"], np.float32)
    down = np.asarray(layers["down"]["kernel"], np.float32)
    heads = np.linalg.norm(out.reshape(c.n_layers, c.n_heads, -1), axis=-1)
    mlps = np.linalg.norm(down, axis=(1, 2))
    sizes: dict[str, Any] = {
        "heads": heads, "mlps": mlps[:, None], "neurons": np.linalg.norm(down, axis=-1),
        "layers": np.hypot(np.linalg.norm(heads, axis=1), mlps)[:, None],
    }  # fmt: skip
    return np.array([sizes[x.kind][x.layer, x.number] for x in f.components])


def chosen(e: Explanation | None, n: int, r: int, seed: int) -> frozenset[int]:
    """The r components to remove: those that the surrogate names, or any if there is none."""
    if e is None:
        return frozenset(np.random.default_rng(seed).permutation(n)[:r].tolist())
    return frozenset(selection.greedy(e.spectrum, r, "remove", "raise").members)


def removed(config: Config, n: int) -> list[int]:
    """The numbers of components to remove, ascending."""
    return sorted({min(max(round(share * n), 1), n - 1) for share in config.remove})


def questions(config: Config, model: LanguageModel) -> Questions:
    """The embedded model's own questions, or MMLU's: the dev split to learn from, then others."""
    if config.model is None:
        learn, test = [], _two_hop()
    else:
        learn = list(islice(_mmlu(config, model, "dev"), config.learn))
        test = _mmlu(config, model, "test")
    learn += islice(test, config.learn - len(learn))
    return Questions(learn, list(islice(test, config.test)))


def section(result: Result) -> Section:
    """Accuracy by method and number of components."""
    groups = summary.distinct(result, "group")
    methods = summary.distinct(result, "method")
    found = [[_accuracies(result, m, g) for g in groups] for m in methods]
    best = frozenset(
        (int(np.argmax([row[j].mean for row in found])), j + 1) for j in range(len(groups))
    )
    rows = tuple((m, *map(str, row)) for m, row in zip(methods, found, strict=True))
    whole, n, budget = result.cells[0].values["whole"], result.cells[0].n, result.config["budget"]
    kind = _kind(result)
    return Section(
        f"Pruning: {result.config['protocol']['task']['name']}",
        f"Accuracy with {kind} removed, of {n}; with all of them {whole:.3f}. {budget} masks for "
        f"each method; mean ± standard error over {len(summary.distinct(result, 'seed'))} seeds.",
        (Table(("method", *groups), rows, strong=best),),
    )


def draw(result: Result) -> Figure:
    """Accuracy against the number of components removed."""
    groups = summary.distinct(result, "group")

    def line(method: str) -> figures.Line:
        found = [_accuracies(result, method, group) for group in groups]
        counts = [_count(summary.select(result, group=group)[0]) for group in groups]
        return figures.Line(method, counts, [m.mean for m in found], [m.error for m in found])

    methods = summary.distinct(result, "method")
    n, whole = result.cells[0].n, result.cells[0].values["whole"]
    kind = _kind(result)
    name = f"{n} {kind}, accuracy {whole:.3f} with all"
    return figures.panels(
        [name], lambda _: [line(m) for m in methods], f"{kind} removed", "accuracy"
    )


def _accuracies(result: Result, method: str, group: str) -> summary.Mean:
    """Over seeds."""
    cells = summary.select(result, method=method, group=group)
    return summary.mean(cell.values["accuracy"] for cell in cells)


def _two_hop() -> Iterator[Asked]:
    """One- and two-hop questions in turn, whose facts the embedded model was not trained on."""
    one, two = held_out_examples(0, _SENTENCES, 1), held_out_examples(0, _SENTENCES, 2)
    for pair in zip(one, two, strict=False):
        for e in pair:
            yield Asked(f"{e.context} {e.question}", e.answer)


def _mmlu(config: Config, model: LanguageModel, split: Split) -> Iterator[Asked]:
    for one in datasets.load_mmlu(config.data, split, config.subjects):
        choices = multiple_choice(one.question, one.choices)
        asks = prompt(model, choices, "Which is right?", "multiple-choice")
        yield Asked(asks, one.answer, tuple(LETTERS))
