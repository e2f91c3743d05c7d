"""How experiments are run: the protocol, the runner, results on disk."""
