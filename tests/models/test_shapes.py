"""Generated pictures of shapes: scenes, questions, drawings, batches."""

import re
from itertools import islice

import numpy as np
import pytest

from spexjax.models.mini.vqa import grammar as g
from spexjax.models.mini.vqa.batches import draw_batch
from spexjax.models.mini.vqa.drawing import PALETTE, masked, picture, pictures, replaced
from spexjax.models.mini.vqa.folder import tokenizer
from spexjax.models.mini.vqa.scenes import (
    PAIRS_HELD_OUT,
    draw_scenes,
    held_out_examples,
)
from spexjax.models.vit.preprocessing import preprocessing_from_dict
from spexjax.values.images import grid_cells, replaced_image

# An independent reader of questions, by regular expressions.
TWO = re.compile(r"Is the (\w+) (\w+) (left of|right of|above|below) the (\w+) (\w+)\?")
THERE = re.compile(r"Is there a (?:(\w+) )?(\w+)\?")
MANY = re.compile(r"How many (?:(\w+) )?(\w+?)s?\s?are there\?")
WHERE = re.compile(r"In which (column|row) is the (\w+) (\w+)\?")


def find(scene, colour, noun):
    noun = {"crosse": "cross"}.get(noun, noun)
    return [
        divmod(cell, 6)
        for cell, kind in enumerate(scene)
        if kind >= 0
        and colour in (None, g.COLOURS[kind // 4])
        and noun in ("shape", g.SHAPES[kind % 4])
    ]


def solve(scene, question):
    """The answer, and what is asked about."""
    if two := TWO.fullmatch(question):
        first, second = find(scene, two[1], two[2]), find(scene, two[4], two[5])
        if not (first and second):
            return "unknown"
        (row, col), (row2, col2) = first[0], second[0]
        says = {"left of": col < col2, "right of": col > col2,
                "above": row < row2, "below": row > row2}[two[3]]  # fmt: skip
        return "yes" if says else "no"
    if where := WHERE.fullmatch(question):
        cells = find(scene, where[2], where[3])
        return str(cells[0][where[1] == "column"] + 1) if cells else "unknown"
    if there := THERE.fullmatch(question):
        return "yes" if find(scene, there[1], there[2]) else "no"
    many = MANY.fullmatch(question)
    return str(len(find(scene, many[1], many[2])))


def pair_of(question):
    two = TWO.fullmatch(question)
    kinds = [g.COLOURS.index(two[i]) * 4 + g.SHAPES.index(two[i + 1]) for i in (1, 4)]
    return kinds if two else None


def test_held_out_examples():
    words = tokenizer()
    kinds = set()
    for e in islice(held_out_examples(3, 2, 9), 120):
        scene = np.array(e.objects)
        there = scene[scene >= 0]
        assert 2 <= len(there) <= 9 and len(set(there)) == len(there)
        assert solve(scene, e.question) == e.answer != "unknown"
        kinds.add(e.kind)
        if e.kind <= g.BELOW:
            assert len(e.cells) == 2 and PAIRS_HELD_OUT[tuple(pair_of(e.question))]
            for cell in e.cells:
                assert solve(np.where(np.arange(36) == cell, -1, scene), e.question) == "unknown"
        ids = words.encode(e.question).ids
        assert g.UNK not in ids and g.text_of(np.array(ids[1:])) == e.question
    assert kinds == set(range(len(g.QUESTIONS)))
    first, again, other = (next(held_out_examples(seed, 2, 9)) for seed in (1, 1, 2))
    assert first == again != other


@pytest.mark.parametrize("most", [2, 10])
def test_batches(most):
    batch = draw_batch(np.random.default_rng(5), 40, 12, 2, most, mask_rows=0.6)
    assert batch.images.shape == (40, 48, 48, 3) and np.abs(batch.images).max() <= 1
    seen = np.where(batch.objects == g.KINDS, -1, batch.objects)
    for scene, questions, answers, nouns, matches in zip(
        seen, batch.questions, batch.answers, batch.nouns, batch.matches, strict=True
    ):
        for question, answer, noun, match in zip(questions, answers, nouns, matches, strict=True):
            assert question[-1] == answer[0] and answer[1] == g.EOS
            text = g.text_of(question[:-1])
            assert solve(scene, text) == g.VOCABULARY[answer[0]], text
            if TWO.fullmatch(text):
                assert not PAIRS_HELD_OUT[tuple(pair_of(text))]
                assert [g.VOCABULARY[question[i]] for i in noun] == list(
                    TWO.fullmatch(text).group(2, 5)
                )
                assert match.sum(-1).max() <= 1
            else:
                assert noun[1] == -1 and not match[1].any()
                assert question[noun[0]] in (*g.NOUN_IDS, *g.PLURAL_IDS)
    unknown = batch.answers[..., 0] == g.NOT_SEEN
    assert 0.1 < unknown.mean() < 0.6
    np.testing.assert_array_equal(batch.across == 3, ~((batch.kind <= g.BELOW) & ~unknown))


def test_small_pictures_are_like_large_ones_made_small():
    scene = draw_scenes(np.random.default_rng(1), 1, 8, 8)
    raw = {"size": {"longest_edge": 48}, "max_image_size": {"longest_edge": 48}}
    small = preprocessing_from_dict(raw, "smolvlm")(picture(scene[0], 4))
    drawn = pictures(np.random.default_rng(2), scene)[0] / 127.5 - 1
    assert small.shape == drawn.shape
    for image in (small, drawn):
        for kind, middle in zip(scene[0], image[4::8, 4::8].reshape(-1, 3), strict=True):
            if kind < 0:
                assert middle.min() > 0.6  # the ground is nearly white
            else:
                far = np.abs(PALETTE / 127.5 - 1 - middle).sum(-1)
                assert np.argmin(far) == kind // 4


def test_what_masked_cells_show():
    rng = np.random.default_rng(3)
    images = pictures(rng, draw_scenes(rng, 24, 6, 6))
    others = replaced(np.random.default_rng(4), images)
    cells = grid_cells(48, 48, 6, 6)
    kinds = set()
    for image, other in zip(images, others, strict=True):
        mean = replaced_image(image, cells, "mean")
        blurs = [replaced_image(image, cells, "blur", radius) for radius in (4.8, 14.4)]
        if (other == 0).all():
            kinds.add("black")
        elif np.allclose(other, mean, atol=1e-3):
            kinds.add("mean")
        else:  # between the least and the most blurred
            kinds.add("blur")
            assert blurs[1].std() - 1 < other.std() < blurs[0].std() + 1
    assert kinds == {"black", "mean", "blur"}
    kept = rng.random((24, 36)) < 0.5
    composed = masked(images, others, kept)
    for image, other, shown, keep in zip(images, others, composed, kept, strict=True):
        np.testing.assert_array_equal(shown, np.where(keep[cells][..., None], image, other))
