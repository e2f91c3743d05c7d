"""The command of every experiment: its configuration's fields as options."""

import argparse
import dataclasses
import os
from typing import Any, Protocol

from matplotlib.figure import Figure

from spexjax.experiments.harness.protocol import METHODS
from spexjax.experiments.harness.results import Result
from spexjax.experiments.reporting.tables import Section
from spexjax.experiments.tasks import registry

_HELP = {
    "name": f"the task: {', '.join(registry.TASKS)}",
    "groups": "groups of the task, such as 8-15 or flat-64; all if none is named",
    "per_group": "items of each group",
    "seed": "shuffles the items",
    "data": "folder with sst2/, imdb/, aclImdb/ or what the task reads; $SPEXJAX_DATA if set",
    "model": "folder or hub id of the task's model; the package's own if not given",
    "methods": f"of {', '.join(METHODS)}",
    "b": "log2 of the bins of the designs that set the budgets",
    "seeds": "of the masks",
    "t": "largest set that may be fitted",
    "C": "groups of coded masks",
    "test_masks": "fresh masks on which surrogates are scored",
    "folder": "where results go",
}


class Experiment(Protocol):
    """What an experiment's module offers."""

    __doc__: str | None

    def Config(self) -> Any:
        """The class of its configuration; without arguments, the default."""

    def run(self, config: Any) -> Result:
        """Does the experiment."""

    def section(self, result: Result) -> Section:
        """The tables of a result."""

    def draw(self, result: Result) -> Figure:
        """The figure of a result."""

    def main(self, argv: list[str] | None = None) -> None:
        """The command."""


def main(experiment: Experiment, argv: list[str] | None = None) -> None:
    """Runs an experiment as the arguments say, prints its tables and writes its figure."""
    default = experiment.Config()
    parser = argparse.ArgumentParser(
        prog=f"python -m spexjax.experiments {(experiment.__doc__ or '').split(':')[0].lower()}",
        description=experiment.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add(parser, default)
    given = vars(parser.parse_args(argv))
    try:
        result = experiment.run(_build(default, given))
    except (ValueError, FileNotFoundError, ConnectionError, ImportError) as error:
        raise SystemExit(f"error: {error}") from error
    print(experiment.section(result).markdown())
    figure = result.path.with_suffix(".png")
    if result.cells:
        experiment.draw(result).savefig(figure, dpi=150)
        print(f"\nresult {result.path}\nfigure {figure}")


def _option(name: str) -> str:
    return "--task" if name == "name" else "--" + name.replace("_", "-")


def _add(parser: argparse.ArgumentParser, config: Any) -> None:
    """An option for every field, those of nested configurations too."""
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            _add(parser, value)
            continue
        many = isinstance(value, tuple)
        kind = type((value[0] if value else "") if many else value)
        if field.name == "data" and value is None:
            value = os.environ.get("SPEXJAX_DATA")
        said = _HELP.get(field.name, field.metadata.get("help", ""))
        shown = " ".join(map(str, value)) if many else value
        parser.add_argument(
            _option(field.name), dest=field.name, default=value,
            type=str if kind is type(None) else kind, nargs="*" if many else None,
            help=f"{said} (default: {shown})" if shown not in (None, "") else said,
            metavar=field.name.upper(),
        )  # fmt: skip


def _build(config: Any, given: dict[str, Any]) -> Any:
    """The configuration with the options given."""
    changed = {}
    for field in dataclasses.fields(config):
        value = getattr(config, field.name)
        if dataclasses.is_dataclass(value):
            changed[field.name] = _build(value, given)
        else:
            new = given[field.name]
            changed[field.name] = tuple(new) if isinstance(value, tuple) else new
    return dataclasses.replace(config, **changed)
