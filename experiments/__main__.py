"""``python -m spexjax.experiments NAME …`` runs an experiment of the papers or a benchmark."""

from spexjax.experiments.command import main

if __name__ == "__main__":
    main()
