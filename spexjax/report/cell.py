"""What a notebook shows of an explanation: the page in a frame, and a panel where none can be.

The frame's script hides the panel behind it. Where scripts do not run, or frames are taken out, as
in the static view of a notebook on a forge, the panel stays.
"""

import html

from spexjax.report.notebook import panel
from spexjax.report.page import render
from spexjax.report.passage import Passage
from spexjax.typing import Explained

_LARGEST = 400_000  # characters; notebooks are files, too


def cell(e: Explained, passage: Passage | None = None) -> str:
    """The text of an explanation to point at and to mask, its sets beside; for one output.

    Of several outputs, and of what would make notebooks too large, the panel alone.
    """
    shown = panel(e)
    if e.num_outputs is not None:
        return shown
    text, spans, model = passage or (None, None, None)
    page = html.escape(render(e, text, spans, model, in_cell=True))
    if len(page) > _LARGEST:
        return shown
    return (
        '<div><iframe title="explanation" '
        f'style="display:block;width:100%;height:24rem;border:0" srcdoc="{page}"></iframe>'
        f"{shown}</div>"
    )
