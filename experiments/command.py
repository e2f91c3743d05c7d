"""The command ``python -m spexjax.experiments``: options are the fields of configurations."""

import argparse
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

from spexjax.experiments.bench.registry import BENCHES
from spexjax.experiments.data.folder import with_data
from spexjax.experiments.papers import report
from spexjax.experiments.papers.experiment import Experiment
from spexjax.experiments.papers.registry import PAPERS
from spexjax.experiments.reporting import record
from spexjax.experiments.tasks.item import known


@dataclass(frozen=True)
class Report:
    """What is wanted."""

    folder: Path = Path("results")
    """Where the results are."""


def main(argv: list[str] | None = None) -> None:
    """Runs the experiment or benchmark named, or renders all results with ``report``."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(_listing())
        return
    try:
        name = known("the name", argv[0], (*PAPERS, "report", *BENCHES))
        if name == "report":
            print(*report.write(parsed(name, report, Report(), argv[1:]).folder), sep="\n")
        elif name in PAPERS:
            _paper(PAPERS[name], config_of(name, argv[1:]))
        else:
            _bench(name, argv[1:])
    except (ValueError, FileNotFoundError, ConnectionError, ImportError) as error:
        raise SystemExit(f"error: {error}") from error


def config_of(name: str, argv: list[str]) -> Any:
    """The configuration of an experiment or benchmark that options ask for."""
    module: Any = PAPERS[name] if name in PAPERS else BENCHES[name]
    return parsed(name, module, with_data(module.Config()), argv)


def parsed(name: str, module: Any, default: Any, argv: list[str]) -> Any:
    """A configuration by the command line; what is not given stays as in ``default``."""
    return tyro.cli(
        type(default),
        default=default,
        args=argv,
        prog=f"python -m spexjax.experiments {name}",
        description=module.__doc__,
        config=(tyro.conf.OmitArgPrefixes, tyro.conf.FlagCreatePairsOff),
    )


def _bench(name: str, argv: list[str]) -> None:
    ours = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    ours.add_argument("--record", type=Path)
    given, rest = ours.parse_known_args(argv)
    config = config_of(name, rest)
    table = BENCHES[name].run(config)
    rows = table.show()
    if given.record is not None:
        record.write(given.record, name, config, table, rows)


def _paper(experiment: Experiment, config: Any) -> None:
    result = experiment.run(config)
    print(experiment.section(result).markdown())
    figure = result.path.with_suffix(".png")
    if result.cells:
        experiment.draw(result).savefig(figure, dpi=150)
        print(f"\nresult {result.path}\nfigure {figure}")


def _listing() -> str:
    return "\n".join([
        "python -m spexjax.experiments NAME --help lists the options of NAME.",
        "\nThe papers' experiments:",
        *(f"  {name:13} {_about(module)}" for name, module in PAPERS.items()),
        f"  {'report':13} {_about(report)}",
        "\nBenchmarks (--record FILE writes the rows of any of them as JSON):",
        *(f"  {name:13} {_about(module)}" for name, module in BENCHES.items()),
    ])  # fmt: skip


def _about(module: Any) -> str:
    return (module.__doc__ or "").splitlines()[0]
