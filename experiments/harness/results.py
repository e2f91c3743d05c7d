"""Results on disk: finished cells as lines that survive a kill, and the whole as JSON.

A cell is one item explained by one method at one budget with one seed. Its line is written when it
is finished; a second run with the same settings reads it and goes on. Settings that only choose
cells (groups, methods, b, seeds, numbers of items) do not change the file, so that a larger run
continues a smaller one.
"""

import dataclasses
import hashlib
import json
import math
import platform
from dataclasses import dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

_CHOICES = ("methods", "b", "seeds", "folder", "groups", "per_group")
_PACKAGES = ("spexjax", "jax", "numpy", "scipy")


@dataclass(frozen=True)
class Cell:
    """One item, method, budget and seed.

    Attributes:
      item, group, n: of the :class:`~spexjax.experiments.tasks.Item`.
      method: a name of ``protocol.METHODS``.
      b: of the design that set the budget.
      seed: of the masks.
      budget: calls allowed.
      calls: masks used; fewer where 2^n is smaller.
      skipped: why it was not run, or None.
      values: what the experiment measured; None stands for what is not a finite number.
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

    @property
    def key(self) -> tuple[str, str, int, int]:
        return self.item, self.method, self.b, self.seed


@dataclass(frozen=True)
class Result:
    """An experiment's cells with all that is needed to do it again."""

    experiment: str
    config: dict[str, Any]
    versions: dict[str, str]
    cells: tuple[Cell, ...]

    @property
    def path(self) -> Path:
        """Where :meth:`save` writes: experiment, task and a digest of the settings."""
        return stem(self.experiment, self.config).with_suffix(".json")

    def save(self) -> Path:
        """Writes the result as JSON and returns the path."""
        raw = dataclasses.asdict(self)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self.path.write_text(json.dumps(raw, indent=1, allow_nan=False), encoding="utf-8")
        return self.path

    @staticmethod
    def load(path: str | Path) -> "Result":
        """Reads what :meth:`save` wrote.

        Raises:
          ValueError: if the file is something else.
        """
        try:
            raw = json.loads(Path(path).read_text(encoding="utf-8"))
            cells = tuple(Cell(**cell) for cell in raw["cells"])
            return Result(raw["experiment"], raw["config"], raw["versions"], cells)
        except (UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
            raise ValueError(f"{path} is not a result of an experiment: {error!r}.") from error


def stem(experiment: str, config: dict[str, Any]) -> Path:
    """The path of a configuration's files without their endings."""
    protocol = config["protocol"]
    settings = json.dumps([experiment, _settings(config)], sort_keys=True)
    digest = hashlib.sha256(settings.encode()).hexdigest()[:8]
    return Path(protocol["folder"]) / f"{experiment}-{protocol['task']['name']}-{digest}"


def _settings(config: dict[str, Any]) -> dict[str, Any]:
    """The configuration without what only chooses cells."""
    return {
        name: _settings(value) if isinstance(value, dict) else value
        for name, value in config.items()
        if name not in _CHOICES
    }


def versions() -> dict[str, str]:
    """Versions of what computed the results."""
    found = {name: metadata.version(name) for name in _PACKAGES}
    return {"python": platform.python_version(), "machine": platform.machine(), **found}


class Journal:
    """The finished cells of a configuration, a line each."""

    def __init__(self, path: Path):
        self.path = path
        self.done: dict[tuple[str, str, int, int], Cell] = {}
        text = path.read_text(encoding="utf-8") if path.exists() else ""
        for line in text.splitlines():
            try:
                cell = Cell(**json.loads(line))
            except (json.JSONDecodeError, TypeError):
                continue  # a line cut short by a kill: its cell is done again
            self.done[cell.key] = cell
        if text and not text.endswith("\n"):
            with path.open("a", encoding="utf-8") as file:
                file.write("\n")

    def add(self, cell: Cell) -> Cell:
        """Writes a finished cell."""
        line = json.dumps(dataclasses.asdict(cell), allow_nan=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")
        self.done[cell.key] = cell
        return cell


def plain(value: Any) -> Any:
    """Arrays as lists, numbers that are not finite as None: what JSON can hold."""
    if isinstance(value, dict):
        return {str(name): plain(inner) for name, inner in value.items()}
    if isinstance(value, list | tuple):
        return [plain(inner) for inner in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
