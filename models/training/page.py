"""Training images beside the test image that they speak for, as one HTML file that needs no other.

The strongest points, then the strongest pairs and larger sets; blue ones raise the score, red ones
lower it. All names are escaped, and the page's policy lets no script run and nothing be fetched.
"""

import base64
import io
from collections.abc import Iterable, Sequence
from importlib import resources
from typing import Any, NamedTuple

import jinja2
import numpy as np
from jaxtyping import Float, Int
from matplotlib.image import imsave

from spexjax.report import facts
from spexjax.typing import Explained

_THUMBNAILS = 4  # of a group
_SHOWN = 12
_SINGLES = "Blue raises the score of the test image, red lowers it."
_PAIRS = (
    "What two add beyond each alone. Negative pairs of points that help are redundant: one does "
    "the work of both. Positive ones need each other."
)


class Pictures(NamedTuple):
    """What the page shows.

    Attributes:
      images, labels: of all training points, grey (0 paper, 1 ink) or RGB, from 0 to 1.
      feature: of each training point.
      test, label: the image that is explained, and its class.
      names: of the classes; their numbers if None.
    """

    images: Float[np.ndarray, "points height width *rgb"]
    labels: Int[np.ndarray, "points"]
    feature: Int[np.ndarray, "points"]
    test: Float[np.ndarray, "height width *rgb"]
    label: int
    names: Sequence[str] | None = None

    def name(self, label: int) -> str:
        """Of a class."""
        return str(label) if self.names is None else self.names[label]


def render(
    e: Explained, pictures: Pictures, model: str, *, index: str = "FBII", order: int | None = None
) -> str:
    """The page of an explanation whose features are training points or groups of them.

    Args:
      e: of one test point.
      pictures: what stands for the features.
      model: what was explained, in a line.
      index, order: of the values shown.

    Raises:
      ValueError: if the explanation has several outputs, or the pictures do not fit its features.
    """
    if e.num_outputs is not None:
        raise ValueError("a page shows one test point: use e[i].")
    if len(pictures.feature) != len(pictures.images) or set(pictures.feature) != set(range(e.n)):
        raise ValueError(f"pictures must say for every image which of the {e.n} features it is in.")
    values = e.interactions(index, max_order=order)
    singles, pairs, larger = ([], [], [])  # type: ignore[var-annotated]
    for members, value in values:
        if members:
            (singles, pairs, larger)[min(len(members), 3) - 1].append((members, value))
    unit = "points" if len(pictures.images) == e.n else "groups of points"
    full, empty = facts.ends(e)
    sections = [
        _section(f"The strongest {unit}", _SINGLES, singles, pictures),
        _section("The strongest pairs", _PAIRS, pairs, pictures),
    ]
    if larger:
        sections.append(_section("Larger sets", "Beyond all their parts.", larger, pictures))
    source = resources.files("spexjax.models.training")
    template = jinja2.Environment(autoescape=True, trim_blocks=True).from_string(
        (source / "page.html").read_text(encoding="utf-8")
    )
    return template.render(
        title=model,
        style=(source / "page.css").read_text(encoding="utf-8"),
        asked={"image": thumbnail(pictures.test), "name": pictures.name(pictures.label)},
        full=full, empty=empty, n=e.n, unit=unit, faithfulness=facts.faithfulness(e),
        sections=sections,
        facts=[
            ("method", facts.method(e)),
            ("retrainings", f"{e.calls:,} made, {e.budget:,} allowed"),
            ("seed", facts.seed(e)),
            ("values", facts.values(values)),
        ],
    )  # fmt: skip


def _section(
    heading: str,
    about: str,
    sets: Iterable[tuple[tuple[int, ...], float]],
    pictures: Pictures,
) -> dict[str, Any]:
    """The strongest sets, each with the thumbnails of its members."""
    strongest = sorted(sets, key=lambda s: (-abs(s[1]), s[0]))[:_SHOWN]
    largest = abs(strongest[0][1]) if strongest else 1.0
    shown = [
        {
            "positive": value >= 0,
            "value": facts.number(value),
            "share": f"{abs(value) / largest:.3f}" if largest else "0",
            "members": [_member(i, pictures) for i in members],
        }
        for members, value in strongest
    ]
    return {"heading": heading, "about": about, "sets": shown}


def _member(i: int, pictures: Pictures) -> dict[str, Any]:
    points = np.flatnonzero(pictures.feature == i)
    classes = sorted({int(c) for c in pictures.labels[points]})
    more = f", {len(points)} points" if len(points) > 1 else ""
    named = ", ".join(map(pictures.name, classes))
    return {
        "name": f"{named} (no. {i}{more})",
        "images": [thumbnail(pictures.images[p]) for p in points[:_THUMBNAILS]],
    }


def thumbnail(image: Float[np.ndarray, "height width *rgb"]) -> str:
    """An image as the address of a PNG."""
    out = io.BytesIO()
    imsave(out, np.clip(image, 0, 1), format="png", cmap="gray_r", vmin=0, vmax=1)
    return f"data:image/png;base64,{base64.b64encode(out.getvalue()).decode()}"
