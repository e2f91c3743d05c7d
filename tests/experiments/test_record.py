"""A benchmark's rows in a file."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from spexjax.experiments import command
from spexjax.experiments.bench import transforms
from spexjax.experiments.harness.results import versions
from spexjax.experiments.reporting.rows import Rows


def test_rows_are_recorded_with_what_made_them(tmp_path, monkeypatch, capsys):
    asked = []

    def run(config):
        asked.append(config)
        rows = iter([("one", np.float32(0.5), None), ("two", 3)])
        columns = {"": "<5", " s": ">5.1f", "ratio ": ">5.1f"}
        return Rows("A title", columns, rows, lambda done: [f"{len(done)} rows"])

    fake = SimpleNamespace(__doc__="A benchmark.", Config=transforms.Config, run=run)
    monkeypatch.setitem(command.BENCHES, "transforms", fake)
    path = tmp_path / "new" / "rows.json"
    command.main(["transforms", "--record", str(path)])
    found = json.loads(path.read_text())
    assert found["columns"] == ["", "s", "ratio"] and found["notes"] == ["2 rows"]
    assert found["rows"] == [["one", 0.5, None], ["two", 3]]
    assert (found["benchmark"], found["title"]) == ("transforms", "A title")
    assert found["made_by"] == versions() and found["config"].keys() == vars(asked[0]).keys()
    assert "two" in capsys.readouterr().out
    command.main(["transforms"])  # nothing is written unless asked for
    assert list(tmp_path.rglob("*.json")) == [path]
    with pytest.raises(SystemExit):
        command.main(["transforms", "--recorded", str(path)])
