"""Results on disk: cells with all that is needed to do them again.

A cell is one item explained by one method at one budget with one seed. Settings that only choose
cells (groups, methods, b, seeds, numbers of items) do not change the file, so that a larger run
continues a smaller one.
"""

import dataclasses
import functools
import hashlib
import json
import platform
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

import msgspec

_CHOICES = ("methods", "b", "budgets", "seeds", "folder", "groups", "per_group")
_PACKAGES = ("spexjax", "jax", "numpy", "scipy")
_REVISIONS = {"faithfulness": 2, "sparsity": 2, "pruning": 2}
"""Raised when an experiment measures something else, so that no run continues older cells."""


@dataclass(frozen=True)
class Cell:
    """One item, method, budget and seed.

    Attributes:
      item, group, n: of the :class:`~spexjax.experiments.tasks.item.Item`.
      method: a name of ``METHODS``.
      b: of the design that set the budget.
      seed: of the masks.
      budget: calls allowed.
      calls: masks used; fewer where 2^n is smaller.
      skipped: why it was not run, or None.
      values: what the experiment measured; None stands for what is not a finite number.
      made_by: the versions that computed it; empty if nobody noted them.
    """

    item: str
    group: str
    n: int
    method: str
    b: int
    seed: int
    budget: int
    calls: int = 0
    skipped: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    made_by: str = ""

    @property
    def key(self) -> tuple[str, str, int, int, int]:
        return self.item, self.method, self.b, self.budget, self.seed


@dataclass(frozen=True)
class Result:
    """An experiment's cells with its settings."""

    experiment: str
    config: dict[str, Any]
    cells: tuple[Cell, ...] = ()

    @property
    def path(self) -> Path:
        """Where :meth:`save` writes: experiment, task and a digest of the settings."""
        return stem(self.experiment, self.config).with_suffix(".json")

    @property
    def made_by(self) -> tuple[str, ...]:
        """The versions that computed the cells, each once."""
        return tuple(dict.fromkeys(c.made_by or "versions unknown" for c in self.cells))

    def save(self) -> Path:
        """Writes the result as JSON and returns the path."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_bytes(msgspec.json.format(msgspec.json.encode(self), indent=1))
        return self.path

    @staticmethod
    def load(path: str | Path) -> "Result":
        """Reads what :meth:`save` wrote.

        Raises:
          ValueError: if the file is something else.
        """
        try:
            raw = msgspec.json.decode(Path(path).read_bytes())
            result = msgspec.convert(raw, Result)
        except msgspec.DecodeError as error:  # what is no JSON, and what has other fields
            raise ValueError(f"{path} is not a result of an experiment: {error}.") from error
        if "versions" not in raw:
            return result
        # Written when a result had one set of versions for all its cells.
        made_by = _said(raw["versions"])
        cells = (dataclasses.replace(cell, made_by=made_by) for cell in result.cells)
        return dataclasses.replace(result, cells=tuple(cells))


def stem(experiment: str, config: dict[str, Any]) -> Path:
    """The path of a configuration's files without their endings."""
    protocol = config["protocol"]
    about: list[Any] = [experiment, _settings(config)]
    if experiment in _REVISIONS:
        about.append(_REVISIONS[experiment])
    digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode()).hexdigest()[:8]
    return Path(protocol["folder"]) / f"{experiment}-{protocol['task']['name']}-{digest}"


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration without what only chooses cells."""
    return {
        name: _settings(value) if isinstance(value, dict) else value
        for name, value in config.items()
        if name not in _CHOICES
    }


@functools.cache
def versions() -> str:
    """What computes results here and now."""
    found = {name: metadata.version(name) for name in _PACKAGES}
    return _said({"python": platform.python_version(), "machine": platform.machine(), **found})


def _said(versions: dict[str, str]) -> str:
    return ", ".join(f"{name} {value}" for name, value in versions.items())
