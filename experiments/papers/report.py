"""All results of a folder as one page: ``report.md`` with its pictures, and ``report.html`` alone.

python -m spexjax.experiments report --folder results
"""

import io
from pathlib import Path

from spexjax.experiments.harness.results import Result
from spexjax.experiments.papers.registry import PAPERS
from spexjax.experiments.reporting import page
from spexjax.experiments.reporting.page import Part


def parts(folder: Path) -> list[Part]:
    """The results in a folder, by experiment and task; other JSON files are passed over."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            result = Result.load(path)
        except ValueError:
            continue
        if result.experiment in PAPERS and result.cells:
            found.append((list(PAPERS).index(result.experiment), path.stem, result))
    return [part(name, result) for _, name, result in sorted(found, key=lambda f: f[:2])]


def part(name: str, result: Result) -> Part:
    """A result's tables and picture; ``name`` is that of its file."""
    experiment = PAPERS[result.experiment]
    picture = io.BytesIO()
    experiment.draw(result).savefig(picture, dpi=150, format="png")
    return Part(name, experiment.section(result), picture.getvalue(), how(result))


def how(result: Result) -> str:
    """Settings, seeds and versions of a result in a line."""
    protocol = result.config["protocol"]
    task = protocol["task"]
    settings = {name: value for name, value in result.config.items() if name != "protocol"}
    settings |= {k: protocol[k] for k in ("C", "t", "test_masks", "seeds") if k in protocol}
    if "seed" in task:
        settings["items' seed"] = task["seed"]
    if task["name"] not in ("synthetic", "tabular"):
        about = {**result.config, **task}
        settings["model"] = about.get("model") or "own"
        settings["data"] = "own" if about["data"] is None else "given"
    said = ", ".join(f"{name} {_said(value)}" for name, value in settings.items())
    return f"{said}; {'; '.join(result.made_by)}."


def _said(value) -> str:
    return " ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)


def write(folder: Path) -> tuple[Path, Path]:
    """Writes both pages into the folder and returns their paths.

    Raises:
      FileNotFoundError: if there is no result.
    """
    found = parts(folder)
    if not found:
        raise FileNotFoundError(f"{folder} holds no results of experiments.")
    return page.write(folder, found)
