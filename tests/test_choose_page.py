"""The page on methods has a row for every method and every index, and no others."""

import re
from pathlib import Path

from spexjax import indices, metrics
from spexjax.methods import baselines, integrated_gradients
from spexjax.methods.registry import METHODS

PAGE = (Path(__file__).parents[1] / "docs" / "choose.md").read_text(encoding="utf-8")


def rows(heading):
    """The first cells of a section's table."""
    section = re.split(r"^## ", PAGE, flags=re.M)
    part = next(s for s in section if s.startswith(f"{heading}\n"))
    return re.findall(r"^\| (`.*?) \|", part, re.M)


def test_methods():
    cells = rows("Methods")
    configs = {name: method.config for name, method in METHODS.items()}
    configs[integrated_gradients.NAME] = integrated_gradients.IntegratedGradients
    assert sorted(re.findall(r'"([^"]*)"', " ".join(cells))) == sorted(configs)
    for cell in cells:
        for name in re.findall(r"`([A-Z]\w+)\(", cell):
            assert configs[cell.split('"')[1]] is getattr(baselines, name)


def test_indices():
    named = re.findall(r'"([^"]*)"', " ".join(rows("Indices")))
    assert sorted(named) == sorted([*indices.INDICES, "Joint-SV"])


def test_metrics():
    named = re.findall(r"sx\.metrics\.(\w+)", " ".join(rows("Metrics")))
    assert len(named) == 4 and all(callable(getattr(metrics, name)) for name in named)
