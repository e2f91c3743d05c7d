"""An explanation as one self-contained HTML page."""

from spexjax.report.page import render

__all__ = ["render"]
