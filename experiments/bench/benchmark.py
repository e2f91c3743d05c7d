"""What a benchmark's module offers."""

from typing import Any, Protocol

from spexjax.experiments.reporting.rows import Rows


class Benchmark(Protocol):
    """A module with these names, and a docstring that begins with a line about it."""

    __doc__: str | None

    def Config(self) -> Any:
        """The class of its configuration, a frozen dataclass; without arguments, the default."""

    def run(self, config: Any) -> Rows:
        """Measures, row by row as the rows are asked for."""
