"""``python -m spexjax.experiments NAME …`` runs an experiment or a benchmark."""

import sys

from spexjax.experiments.bench.registry import BENCHES
from spexjax.experiments.papers import report
from spexjax.experiments.papers.registry import PAPERS
from spexjax.experiments.tasks.item import known

COMMANDS = {
    **{name: experiment.main for name, experiment in PAPERS.items()},
    "report": report.main,
    **BENCHES,
}


def main(argv: list[str] | None = None) -> None:
    """Passes the arguments after the name on to its command."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(
            f"{__doc__}\n\nExperiments of the papers: {', '.join(PAPERS)}; report renders all "
            f"results.\nBenchmarks: {', '.join(BENCHES)}.\nNAME --help lists its options."
        )
        return
    try:
        name = known("the experiment", argv[0], COMMANDS)
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    COMMANDS[name](argv[1:])


if __name__ == "__main__":
    main()
