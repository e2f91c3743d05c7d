"""The ``spexjax`` command."""
