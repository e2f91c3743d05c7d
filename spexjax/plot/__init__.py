"""Pictures of an explanation: ``text``, ``image``, ``bar``, ``network``,
``upset`` and ``components``.

Each takes an explanation of one output, or ``Interactions`` of any index, draws into the axes given
or into a new figure, and returns the axes. Matplotlib is imported when the first picture is drawn.
"""

from spexjax.plot.bar import bar
from spexjax.plot.components import components
from spexjax.plot.image import image
from spexjax.plot.network import network
from spexjax.plot.text import text
from spexjax.plot.upset import upset

__all__ = ["bar", "components", "image", "network", "text", "upset"]
