"""The papers' experiments by name."""

from spexjax.experiments.papers import (
    data_attribution,
    faithfulness,
    hierarchy,
    pruning,
    recovery,
    removal,
    runtime,
    shapley,
    sparsity,
)
from spexjax.experiments.papers.experiment import Experiment

PAPERS: dict[str, Experiment] = {
    "faithfulness": faithfulness,
    "removal": removal,
    "recovery": recovery,
    "sparsity": sparsity,
    "runtime": runtime,
    "hierarchy": hierarchy,
    "shapley": shapley,
    "pruning": pruning,
    "data-attribution": data_attribution,
}
