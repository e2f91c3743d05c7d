"""``python -m spexjax.experiments NAME …`` runs an experiment, ``report`` renders all results."""

import importlib
import sys

from spexjax.experiments.command import NAMES
from spexjax.experiments.tasks import known


def main(argv: list[str] | None = None) -> None:
    """Passes the arguments after the name on to its command."""
    argv = sys.argv[1:] if argv is None else argv
    if not argv or argv[0] in ("-h", "--help"):
        print(f"{__doc__}\n\nNAME is one of {', '.join(NAMES)}; NAME --help lists its options.")
        return
    try:
        name = known("the experiment", argv[0], (*NAMES, "report"))
    except ValueError as error:
        raise SystemExit(f"error: {error}") from error
    importlib.import_module(f"spexjax.experiments.{name}").main(argv[1:])


if __name__ == "__main__":
    main()
