"""A benchmark's rows in a file, with all that is needed to measure them again."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import jax
import numpy as np

from spexjax.experiments.harness.results import versions
from spexjax.experiments.reporting.rows import Rows


def write(path: Path, name: str, config: Any, table: Rows, rows: list[tuple[Any, ...]]) -> None:
    """Writes a benchmark's rows as JSON.

    Args:
      path: of the file; its folder is made if it is not there.
      name: of the benchmark.
      config: what it was asked for, a dataclass.
      table: what it gave.
      rows: of the table, complete.
    """
    heads = [head.strip() for head in table.columns]
    record = {
        "benchmark": name,
        "config": dataclasses.asdict(config),
        "title": table.title,
        "device": jax.devices()[0].device_kind,
        "made_by": versions(),
        "columns": heads,
        "rows": [[_plain(cell) for cell in row] for row in rows],
        "notes": list(table.notes(rows)),
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1, default=str) + "\n", encoding="utf-8")


def _plain(cell: Any) -> Any:
    return cell.item() if isinstance(cell, np.generic) else cell
