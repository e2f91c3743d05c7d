"""Sparsity: R² on fresh masks of a surrogate's strongest terms alone.

python -m spexjax.experiments sparsity --task sentiment --data DIR --b 6
"""

from dataclasses import dataclass

import numpy as np
from matplotlib.figure import Figure

from spexjax import metrics
from spexjax.experiments.harness import runner
from spexjax.experiments.harness.case import Case
from spexjax.experiments.harness.protocol import Protocol
from spexjax.experiments.harness.results import Result
from spexjax.experiments.reporting import compare, figures, summary
from spexjax.experiments.reporting.tables import Section

_PROTOCOL = Protocol(methods=("spex", "proxyspex", "lime", "lasso-2"), b=(6,))


@dataclass(frozen=True)
class Config:
    """What is wanted."""

    protocol: Protocol = _PROTOCOL
    terms: tuple[int, ...] = (1, 2, 4, 8, 16, 32, 64, 128, 256)
    """Numbers of terms kept."""


def run(config: Config) -> Result:
    """Every item by every method at every budget."""

    def measure(case: Case):
        e = case.explain()
        rows = case.scored()
        curve = np.asarray(
            metrics.sparsity_curve(e.spectrum, case.subject.test[rows], case.subject.truth[rows])
        )
        # Past its last term a curve is flat.
        kept = [curve[min(s, len(curve) - 1)] for s in config.terms]
        return e, {"curve": kept, "terms": int(np.asarray(e.spectrum.valid).sum())}

    if not config.terms or min(config.terms) < 0:
        raise ValueError(f"terms must be numbers from 0, got {config.terms}.")
    return runner.run("sparsity", config, measure)


def section(result: Result) -> Section:
    """R² at some numbers of terms, and how many terms the surrogates have."""
    terms = result.config["terms"]
    places = sorted({len(terms) // 4, len(terms) // 2, len(terms) - 1})
    tables = [
        compare.scores(result, compare.at("curve", i), f"R² of the {terms[i]} strongest terms")
        for i in places
    ]
    sizes = compare.scores(result, summary.number("terms"), "Terms of the surrogate", None)
    return Section(
        f"Sparsity: {result.config['protocol']['task']['name']}",
        "R² on uniform masks that were not bought, with the terms of largest |F| only; mean ± "
        "standard error over items.",
        (*tables, sizes),
        (summary.spent(result), *summary.skipped(result)),
    )


def draw(result: Result) -> Figure:
    """R² against the number of terms, a panel for each group."""
    b = compare.largest_b(result)
    lines = compare.along_curve(result, "curve", result.config["terms"], b)
    return figures.panels(
        summary.distinct(result, "group"), lines, f"terms kept (b = {b})", "R² on fresh masks",
        log=True, floor=0.0,
    )  # fmt: skip
