"""A masked row holds what the tokenizer returns for the masked text."""

import itertools
import sys

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from spexjax.models.text.masking import masked_rows, row_lengths, split_text, template
from spexjax.models.text.tokenizing import load_tokenizer

# Lengths and widths are fixed so that the examples share one compiled program.
LENGTH, WIDTH, ROWS = 256, 64, 4

PIECES = st.sampled_from(
    [
        *(
            "her",
            "Acting",
            "never",
            "fails",
            "impress",
            "don't",
            "isn't",
            "it's",
            "can't",
            "O'Neil",
        ),
        *("never-ending", "bad", "bad", "good", "U.S.", "5.00", "$", "...", "!", "?!", "(", ")"),
        *('"', "'", "``", "''", "“hi”", "café", "cafe\u0301", "NAÏVE", "東京", "日本語", "ß", "İ"),
        *(
            "\u200b",
            "a\u200bb",
            "\u0301x",
            "x\x00y",
            "x\x1cy",
            "\xad",
            "😀",
            "👩‍👩‍👧",
            "≠",
            "\u0385",
        ),
        *(
            "[UNK]",
            "[SEP]",
            "[MASK]",
            "[",
            "]",
            "<b>",
            "&amp;",
            "zzzzqqqq",
            "q" * 120,
            "한국어",
            "Σς",
        ),
    ]
)
GAPS = st.sampled_from([" ", " ", " ", "", "  ", "\n", "\t", "\u3000", ", "])


@st.composite
def texts(draw):
    pieces = draw(st.lists(st.tuples(PIECES, GAPS), min_size=1, max_size=12))
    return "".join(piece + gap for piece, gap in pieces)


def rows_of(text, tokenizer, masks, replacement="unk"):
    wide = np.zeros((ROWS, WIDTH), bool)
    wide[: len(masks), : text.n] = masks
    arrays = template(text, tokenizer, replacement, LENGTH)
    ids, keep, feature = masked_rows(arrays, wide)
    ids, keep = np.asarray(ids), np.asarray(keep)
    assert ids.shape == keep.shape == (ROWS, LENGTH)
    assert ids.dtype == np.int32
    lengths = keep.sum(axis=1)
    np.testing.assert_array_equal(row_lengths(arrays, wide), lengths)
    np.testing.assert_array_equal(np.asarray(feature) == -2, ~keep)
    np.testing.assert_array_equal(keep, np.arange(LENGTH) < lengths[:, None])
    assert not ids[~keep].any()  # [PAD] is 0
    return [row[:length].tolist() for row, length in zip(ids, lengths, strict=True)]


def check(text, tokenizer, bits):
    masks = np.array([np.resize(bits, text.n), np.ones(text.n), np.zeros(text.n)], bool)
    rows = rows_of(text, tokenizer, masks)
    for mask, row in zip(masks, rows, strict=False):
        assert row == tokenizer.encode(text.masked(mask)).ids
    assert rows[1] == tokenizer.encode(text.text).ids
    for mask, row in zip(masks, rows_of(text, tokenizer, masks, "mask"), strict=False):
        assert row == tokenizer.encode(text.masked(mask, "[MASK]")).ids
    for mask, row in zip(masks, rows_of(text, tokenizer, masks, "delete"), strict=False):
        assert row == tokenizer.encode(text.masked(mask, " ")).ids


@settings(max_examples=120, deadline=None)
@given(text=texts(), bits=st.lists(st.booleans(), min_size=1, max_size=WIDTH))
def test_rows_are_those_of_the_masked_text(tokenizer, text, bits):
    try:
        source = split_text(text, tokenizer)
    except ValueError as error:
        assert "nothing to explain" in str(error)
        assert len(tokenizer.encode(text).ids) == 2
        return
    if source.n <= WIDTH and len(source.ids) <= LENGTH:
        check(source, tokenizer, bits)


@settings(max_examples=80, deadline=None)
@given(
    text=st.text(max_size=40),
    bits=st.lists(st.booleans(), min_size=1, max_size=WIDTH),
    cuts=st.lists(st.integers(0, 40), max_size=8),
)
def test_any_characters_and_any_spans(tokenizer, text, bits, cuts):
    edges = sorted({min(c, len(text)) for c in cuts} | {0, len(text)})
    spans = list(itertools.pairwise(edges))[::2]
    try:
        source = split_text(text, tokenizer, spans)
    except ValueError as error:
        assert "nothing to explain" in str(error)
        return
    for (_, end), (start, _) in zip(source.spans[:-1], source.spans[1:], strict=True):
        assert end <= start
    check(source, tokenizer, bits)


def test_features_are_words_and_shared_pre_tokens_merge(tokenizer):
    source = split_text("I don't say it's bad, bad!", tokenizer)
    assert source.words == ("I", "don't", "say", "it", "'s", "bad", ",", "bad", "!")
    assert source.text[slice(*source.spans[7])] == "bad"
    assert source.n == 9
    once = np.array([i != 5 for i in range(9)])
    assert source.masked(once) == "I don't say it's [UNK], bad!"


def test_a_feature_of_several_pieces_becomes_one_unk(tokenizer):
    source = split_text("unimpressively bad", tokenizer)
    assert np.sum(source.feature == 0) > 1
    row = rows_of(source, tokenizer, np.array([[False, True]]))[0]
    unk, bad = tokenizer.token_to_id("[UNK]"), tokenizer.token_to_id("bad")
    assert row == [tokenizer.token_to_id("[CLS]"), unk, bad, tokenizer.token_to_id("[SEP]")]


def test_spans_are_widened_and_the_rest_is_always_kept(tokenizer):
    text = "good acting and bad movie"
    source = split_text(text, tokenizer, [(7, 9), (17, 25)])
    assert source.words == ("acting", "bad movie")
    assert source.masked([False, True]).startswith("good [UNK] and")
    nothing = rows_of(source, tokenizer, np.zeros((1, 2), bool))[0]
    assert tokenizer.token_to_id("good") in nothing


def test_sentences(tokenizer):
    source = split_text("Good film. Bad acting!  It's fine.", tokenizer, "sentences")
    assert source.words == ("Good film.", "Bad acting!", "It's fine.")


def test_truncation_is_the_tokenizers_own_and_reported(tokenizer):
    text = "good " * 20 + "unimpressively"
    whole = split_text(text, tokenizer)
    assert whole.cut == ()
    cut = split_text(text, tokenizer, max_length=12)
    assert cut.n == 10
    assert [text[a:b] for a, b in cut.cut] == ["good"] * 10 + ["unimpressively"]
    tokenizer.enable_truncation(12)
    try:
        assert cut.ids.tolist() == tokenizer.encode(text).ids
    finally:
        tokenizer.no_truncation()
    mask = np.arange(10) % 2 == 0
    row = rows_of(cut, tokenizer, mask[None])[0]
    assert row == tokenizer.encode(cut.masked(mask)).ids


def test_new_masks_and_texts_of_one_bucket_compile_nothing(tokenizer):
    wide = np.zeros((3, 16), bool)
    masked_rows(template(split_text("bad film", tokenizer), tokenizer, length=32), wide)
    before = masked_rows._cache_size()
    masked_rows(template(split_text("it's good!", tokenizer), tokenizer, "mask", 32), ~wide)
    assert masked_rows._cache_size() == before


def test_padded_words_keep_their_place_unseen(tokenizer):
    source = split_text("Her acting isn't bad", tokenizer)
    mask = np.array([[True, False, True, False]])
    plain = masked_rows(template(source, tokenizer, "unk"), mask)
    padded = masked_rows(template(source, tokenizer, "pad"), mask)
    np.testing.assert_array_equal(padded.feature, plain.feature)
    hidden = np.isin(plain.feature, [1, 3])
    assert hidden.sum() == 2
    np.testing.assert_array_equal(padded.keep, plain.keep & ~hidden)
    np.testing.assert_array_equal(padded.ids, np.where(hidden, 0, plain.ids))


def test_tokens_as_features(tokenizer):
    text = "Unimpressive, isn't it"
    source = split_text(text, tokenizer, "tokens")
    ids = tokenizer.encode(text).ids
    assert source.n == len(ids) - 2 > len(split_text(text, tokenizer).words)
    assert "".join(source.words) == text.replace(" ", "")
    mask = np.arange(source.n) % 3 > 0
    row = masked_rows(template(source, tokenizer), mask[None])
    unk = tokenizer.token_to_id("[UNK]")
    want = [ids[0], *np.where(mask, ids[1:-1], unk), ids[-1]]
    np.testing.assert_array_equal(row.ids[0], want)


def test_shorter_rows_are_the_same_rows(tokenizer):
    arrays = template(split_text("Her acting isn't bad", tokenizer), tokenizer, "delete", 32)
    masks = np.random.default_rng(1).random((9, 4)) < 0.5
    for long, short in zip(masked_rows(arrays, masks), masked_rows(arrays, masks, 10), strict=True):
        np.testing.assert_array_equal(long[:, :10], short)
    assert not np.asarray(masked_rows(arrays, masks).keep)[:, 10:].any()


def test_same_without_jit(tokenizer):
    arrays = template(split_text("Her acting isn't bad", tokenizer), tokenizer)
    masks = np.random.default_rng(0).random((9, 4)) < 0.5
    with jax.disable_jit():
        plain = masked_rows(arrays, masks)
    for a, b in zip(plain, masked_rows(arrays, masks), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"text": " \n\u200b"}, "nothing to explain"),
        ({"text": "bad", "features": "letters"}, "letters"),
        ({"text": "bad", "features": [(1, 5)]}, r"\(1, 5\)"),
        ({"text": "bad", "features": [(2, 2)]}, r"\(2, 2\)"),
    ],
)
def test_split_text_errors(tokenizer, arguments, message):
    with pytest.raises(ValueError, match=message):
        split_text(tokenizer=tokenizer, **arguments)


def test_template_errors(tokenizer):
    source = split_text("bad film", tokenizer)
    with pytest.raises(ValueError, match="gone"):
        template(source, tokenizer, "gone")
    with pytest.raises(ValueError, match="length = 2"):
        template(source, tokenizer, length=2)


def test_a_stored_padding_and_truncation_are_switched_off(tokenizer, tmp_path):
    tokenizer.enable_truncation(4)
    tokenizer.enable_padding(length=9)
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    tokenizer.no_truncation()
    tokenizer.no_padding()
    again = load_tokenizer(tmp_path)
    assert again.encode("bad bad bad bad").ids == tokenizer.encode("bad bad bad bad").ids
    (tmp_path / "tokenizer.json").write_text("{}")
    with pytest.raises(ValueError, match="not a tokenizer"):
        load_tokenizer(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"tokenizer\.json"):
        load_tokenizer(tmp_path / "nowhere")


def test_a_folder_with_a_vocabulary_only(tmp_path):
    """As older models are published; ``transformers`` converts it."""
    words = [
        "[PAD]",
        "[UNK]",
        "[CLS]",
        "[SEP]",
        "[MASK]",
        "never",
        "fail",
        "##s",
        "to",
        "bor",
        "##e",
    ]
    (tmp_path / "vocab.txt").write_text("\n".join(words) + "\n")
    (tmp_path / "tokenizer_config.json").write_text(
        '{"tokenizer_class": "BertTokenizer", "do_lower_case": true}'
    )
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "transformers", None)
        with pytest.raises(ImportError, match="pip install transformers"):
            load_tokenizer(tmp_path)
    pytest.importorskip("transformers")
    tokenizer = load_tokenizer(tmp_path)
    assert tokenizer.encode("Never fails to bore").ids == [2, 5, 6, 7, 8, 9, 10, 3]
    source = split_text("Never fails to bore", tokenizer)
    assert source.words == ("Never", "fails", "to", "bore")
