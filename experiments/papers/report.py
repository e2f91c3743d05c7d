"""All results of a folder as one page: ``report.md`` with its pictures, and ``report.html`` alone.

python -m spexjax.experiments report --folder results
"""

import argparse
import base64
import html
import io
from pathlib import Path
from typing import NamedTuple

from spexjax.experiments.harness.results import Result
from spexjax.experiments.papers.registry import PAPERS
from spexjax.experiments.reporting.tables import Section

_STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #1f2328; max-width: 62rem; margin: 2rem auto;
  padding: 0 1.5rem; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.2rem; margin-top: 2.5rem;
  border-top: 1px solid #d5dae0; padding-top: 1.2rem; }
figure { margin: 1rem 0; } img { max-width: 100%; }
.wide { overflow-x: auto; margin: 1rem 0; }
table { border-collapse: collapse; font-size: .85rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; font-weight: 600; padding: .3rem 0; }
th, td { padding: .2rem .7rem; text-align: right; border-bottom: 1px solid #d5dae0;
  white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { color: #6a737d; font-weight: 600; } .strong { font-weight: 700; color: #1b6ca8; }
ul, .how { color: #6a737d; font-size: .85rem; } code { overflow-wrap: anywhere; }
nav a { margin-right: 1rem; }
"""


class Part(NamedTuple):
    """One result, ready to be written."""

    result: Result
    section: Section
    png: bytes


def parts(folder: Path) -> list[Part]:
    """The results in a folder, by experiment and task; other JSON files are passed over."""
    found = []
    for path in sorted(folder.glob("*.json")):
        try:
            result = Result.load(path)
        except ValueError:
            continue
        if result.experiment not in PAPERS or not result.cells:
            continue
        experiment = PAPERS[result.experiment]
        picture = io.BytesIO()
        experiment.draw(result).savefig(picture, dpi=150, format="png")
        found.append(Part(result, experiment.section(result), picture.getvalue()))
    return sorted(found, key=lambda part: list(PAPERS).index(part.result.experiment))


def how(result: Result) -> str:
    """Settings, seeds and versions of a result in a line."""
    protocol = result.config["protocol"]
    task = protocol["task"]
    settings = {
        **{name: value for name, value in result.config.items() if name != "protocol"},
        **{name: protocol[name] for name in ("C", "t", "test_masks", "seeds")},
        "items' seed": task["seed"],
        "model": task["model"] or "own",
        "data": "own" if task["data"] is None else "given",
    }
    if task["name"] in ("synthetic", "tabular"):
        settings = {k: v for k, v in settings.items() if k not in ("model", "data")}
    said = ", ".join(f"{name} {_said(value)}" for name, value in settings.items())
    versions = ", ".join(f"{name} {value}" for name, value in result.versions.items())
    return f"{said}; {versions}."


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
    lines, body, links = ["# Experiments"], "", ""
    for i, part in enumerate(found):
        picture = f"{part.result.path.stem}.png"
        (folder / picture).write_bytes(part.png)
        text = part.section.markdown()
        lines.append(f"{text}\n\n![{part.section.title}]({picture})\n\n{how(part.result)}")
        links += f'<a href="#s{i}">{html.escape(part.section.title)}</a> '
        body += _html(part, f"s{i}")
    markdown, page = folder / "report.md", folder / "report.html"
    markdown.write_text("\n\n".join(lines) + "\n", encoding="utf-8")
    page.write_text(
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Experiments</title>'
        '<meta name="viewport" content="width=device-width">'
        f"<style>{_STYLE}</style><h1>Experiments</h1><nav>{links}</nav>{body}</html>\n",
        encoding="utf-8",
    )
    return markdown, page


def _html(part: Part, anchor: str) -> str:
    tables = "".join(f'<div class="wide">{t.html()}</div>' for t in part.section.tables)
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in part.section.notes)
    image = base64.b64encode(part.png).decode()
    title = html.escape(part.section.title)
    return (
        f'<h2 id="{anchor}">{title}</h2><p>{html.escape(part.section.intro)}</p>'
        f'<figure><img alt="{title}" src="data:image/png;base64,{image}"></figure>'
        f'{tables}<ul>{notes}</ul><p class="how">{html.escape(how(part.result))}</p>'
    )


def main(argv: list[str] | None = None) -> None:
    """The command."""
    parser = argparse.ArgumentParser(
        prog="python -m spexjax.experiments report", description=__doc__.splitlines()[0]
    )
    parser.add_argument("--folder", default="results", type=Path, help="where the results are")
    given = parser.parse_args(argv)
    try:
        paths = write(given.folder)
    except FileNotFoundError as error:
        raise SystemExit(f"error: {error}") from error
    print(*paths, sep="\n")
