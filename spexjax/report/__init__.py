"""An explanation as words: a self-contained page, a fragment for notebooks, a few lines of text.

What these say of an explanation stands in :mod:`spexjax.report.facts`.
"""

from spexjax.report.cell import cell
from spexjax.report.notebook import panel
from spexjax.report.page import render
from spexjax.report.passage import Passage
from spexjax.report.picture import Picture
from spexjax.report.summary import line, summary

__all__ = ["Passage", "Picture", "cell", "line", "panel", "render", "summary"]
