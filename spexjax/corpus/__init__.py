"""Many explained texts together: which words, and which sets of them, matter over a whole corpus.

:func:`summarize` reads explanations, or the file that ``spexjax explain --file … --json`` wrote,
into a :class:`Summary`: means over texts by surface form, with intervals over texts, and a page.
"""

from spexjax.corpus.form import Form
from spexjax.corpus.summary import Summary, summarize
from spexjax.corpus.texts import Text

__all__ = ["Form", "Summary", "Text", "summarize"]
