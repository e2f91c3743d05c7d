"""What an experiment's module offers."""

from typing import Any, Protocol

from matplotlib.figure import Figure

from spexjax.experiments.harness.results import Result
from spexjax.experiments.reporting.tables import Section


class Experiment(Protocol):
    """A module with these names, and a docstring that begins with a line about it."""

    __doc__: str | None

    def Config(self) -> Any:
        """The class of its configuration, a frozen dataclass; without arguments, the default."""

    def run(self, config: Any) -> Result:
        """Does the experiment."""

    def section(self, result: Result) -> Section:
        """The tables of a result."""

    def draw(self, result: Result) -> Figure:
        """The figure of a result."""
