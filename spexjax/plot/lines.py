"""Words set in lines with room for brackets above them: plain geometry, in points, y downwards."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from spexjax.plot import terms

Members = tuple[int, ...]
Measure = Callable[[str], float]

_SMALLEST = 3.0
_LINE, _INSET = 1.45, 0.18  # height of a line and space beside a word, per size of the letters
_NUMBER, _TAIL = 0.62, 0.9  # a bracket's number and its open end, per size of the letters


class Piece(NamedTuple):
    """A feature, or what fits of it between two spaces, at its place."""

    feature: int
    text: str
    line: int
    x: float
    width: float


class Bracket(NamedTuple):
    """What stands of a set above one line: legs on its members there, from ``start`` to ``end``."""

    number: int
    line: int
    level: int
    legs: tuple[float, ...]
    start: float
    end: float
    from_before: bool
    goes_on: bool


@dataclass(frozen=True)
class Page:
    """Words in lines.

    Attributes:
      pieces: the words, in order.
      baselines: y of each line.
      levels: how many brackets lie above each other over each line.
      size: of the letters.
      width, height: of all lines.
    """

    pieces: tuple[Piece, ...]
    baselines: tuple[float, ...]
    levels: tuple[int, ...]
    size: float
    width: float
    height: float

    @property
    def used(self) -> float:
        """The width of the widest line."""
        return max(piece.x + piece.width for piece in self.pieces)

    @property
    def inset(self) -> float:
        """Space between a word and the end of its background."""
        return _INSET * self.size

    @property
    def number_size(self) -> float:
        return max(_NUMBER * self.size, 5.0)

    def bracket_height(self, line: int, level: int) -> float:
        """y of a bracket's bar; level 0 is next to the words."""
        return self.baselines[line] - 1.2 * self.size - (level + 0.4) * _step(self.size)


def _step(size: float) -> float:
    """From one level of brackets to the next."""
    return max(0.72 * size, 6.0)


def wrapped(words: Sequence[str], size: float, width: float, measure: Measure) -> list[Piece]:
    """Breaks lines at spaces, between features or within them; what is wider than a line is cut."""
    inset = _INSET * size
    space = 0.2 * size
    pieces: list[Piece] = []
    x, line = 0.0, 0
    for feature, word in enumerate(words):
        run = ""
        for part in word.split(" "):
            part = shortened(part, width / size - 2 * _INSET, measure)
            longer = f"{run} {part}" if run else part
            if x + measure(longer) * size + 2 * inset <= width:
                run = longer
                continue
            if run:
                taken = measure(run) * size + 2 * inset
                pieces.append(Piece(feature, run, line, x, taken))
                x += taken
            if x > 0:
                line, x = line + 1, 0.0
            run = part
        taken = measure(run) * size + 2 * inset
        pieces.append(Piece(feature, run, line, x, taken))
        x += taken + space
    return pieces


def shortened(word: str, room: float, measure: Measure) -> str:
    """The word, cut until it is no wider than ``room`` in letters of one point."""
    while measure(word) > room and len(word) > 1:
        word = terms.cut(word, max(min(len(word) - 1, int(len(word) * room / measure(word))), 1))
    return word


def _legs(at: dict[int, Piece], sets: Sequence[Members]) -> dict[tuple[int, int], float]:
    """x of the leg of each (set, member): side by side over a word, ordered so that few cross.

    Sets that end at the word stand left, those that begin there right; of the latter the longest
    comes first, of the former last, so that one bracket lies within the other.
    """
    touching: dict[int, list[tuple[int, int, int]]] = {}
    for number, members in enumerate(sets):
        for i in members:
            side = 0 if i == members[-1] else 2 if i == members[0] else 1
            length = members[-1] - members[0]
            touching.setdefault(i, []).append((side, -length if side == 2 else length, number))
    return {
        (number, i): at[i].x + at[i].width * (k + 1) / (len(found) + 1)
        for i, found in touching.items()
        for k, (_, _, number) in enumerate(sorted(found))
    }


def _placed(pieces: Sequence[Piece], size: float, sets: Sequence[Members]) -> list[Bracket]:
    """Brackets of all sets at the lowest free level, shorter ones first."""
    at: dict[int, Piece] = {}
    for piece in pieces:
        at.setdefault(piece.feature, piece)
    legs = _legs(at, sets)
    found = []
    for number, members in enumerate(sets):
        lines = sorted({at[i].line for i in members})
        for line in lines:
            here = tuple(legs[number, i] for i in members if at[i].line == line)
            before, after = line > lines[0], line < lines[-1]
            start, end = here[0] - _TAIL * size * before, here[-1] + _TAIL * size * after
            found.append(Bracket(number, line, 0, here, start, end, before, after))
    found.sort(key=lambda b: (b.line, b.end - b.start, b.number))
    taken: list[Bracket] = []
    for bracket in found:
        level = 0
        while any(o.level == level and _collide(o, bracket, size) for o in taken):
            level += 1
        taken.append(bracket._replace(level=level))
    return taken


def _collide(a: Bracket, b: Bracket, size: float) -> bool:
    """Whether two brackets, with their numbers on the left, overlap if on one level."""
    room = 1.3 * size
    return a.line == b.line and a.start - room < b.end and b.start - room < a.end


def set_lines(
    words: Sequence[str], sets: Sequence[tuple[Members, float]], size: float, width: float,
    measure: Measure,
) -> Page:  # fmt: skip
    """A page of the given width.

    Args:
      words: the features' names.
      sets: members and value of each set that will get a bracket.
      size: of the letters, in points.
      width: of a line, in points.
      measure: the width of a word in letters of one point.
    """
    pieces = wrapped(words, size, width, measure)
    lines = pieces[-1].line + 1
    levels = [0] * lines
    for bracket in _placed(pieces, size, [members for members, _ in sets]):
        levels[bracket.line] = max(levels[bracket.line], bracket.level + 1)
    y, baselines = 0.0, []
    for count in levels:
        y += _LINE * size + (count * _step(size) + 0.45 * size if count else 0.0)
        baselines.append(y - 0.3 * size)
    return Page(tuple(pieces), tuple(baselines), tuple(levels), size, width, y)


def fitted(
    words: Sequence[str], sets: Sequence[tuple[Members, float]], size: float, width: float,
    height: float, measure: Measure,
) -> Page:  # fmt: skip
    """The page with the largest letters, up to ``size``, that is no higher than ``height``."""
    page = set_lines(words, sets, size, width, measure)
    while page.height > height and page.size > _SMALLEST:
        page = set_lines(words, sets, page.size - 0.5, width, measure)
    return page


def brackets(page: Page, sets: Sequence[Members]) -> list[Bracket]:
    """The brackets of sets over a page that was set for them."""
    return _placed(page.pieces, page.size, sets)
