"""Images as value functions of models: cells masked on the device."""

from pathlib import Path

import jax
import numpy as np
import pytest
from tokenizers import Tokenizer, models, pre_tokenizers, processors

from spexjax.codes import gf2
from spexjax.models.clip.captions import Clip
from spexjax.models.clip.model import image_vectors, scores, text_vectors
from spexjax.models.clip.weights import load_clip
from spexjax.models.llama.model import Llama, unembed
from spexjax.models.values.image import composed, maskable_image, superpixels
from spexjax.models.values.image_caption import caption_value
from spexjax.models.values.image_class import image_value
from spexjax.models.values.image_question import visual_value
from spexjax.models.vit.classifier import ImageClassifier, load_image_classifier
from spexjax.models.vit.preprocessing import Preprocessing
from spexjax.models.vlm.language import VisionLanguageModel, embedded
from spexjax.models.vlm.weights import load_vlm
from spexjax.values.images import replaced_image

GOLDEN = Path(__file__).parent / "golden"
IMAGE = np.random.default_rng(0).integers(0, 256, (20, 26, 3), dtype=np.uint8)
QUARTERS = np.random.default_rng(1).random((40, 12)) < 0.5


@pytest.fixture(scope="module")
def classifier():
    found = load_image_classifier(GOLDEN / "vit")
    return ImageClassifier(found.config, found.params, Preprocessing(size=(12, 12)), "tiny")


@pytest.fixture(scope="module")
def asked():
    words = ["[UNK]", "[BOS]", *(f"w{i}" for i in range(34)), "<fake_token_around_image>",
             "<global-img>", "end", "<image>"]  # fmt: skip
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.add_special_tokens([w for w in words if "-" in w or "_" in w or "<" in w])
    config, params = load_vlm(GOLDEN / "idefics3")
    return VisionLanguageModel(
        config, params, tokenizer, Preprocessing(size=(24, 24)), None,
        {"bos_token": "[BOS]"}, "tiny", "plain",
    )  # fmt: skip


def by_hand(source, masks):
    """The definition: what a mask keeps is the preprocessed image, the rest its replacement."""
    image, other, cells = (np.asarray(a) for a in source.template)
    return np.where(masks[:, cells][..., None], image, other)


def test_masked_images_are_composed_on_the_device():
    source = maskable_image(IMAGE, Preprocessing(size=(16, 16)), (3, 4))
    bits = gf2.pack_numpy(QUARTERS, gf2.num_words(12))
    assert bits.shape == (40, 1) and bits.dtype == np.uint32  # 12 cells travel in one word
    found = np.asarray(jax.jit(composed)(source.template, bits))
    np.testing.assert_array_equal(found, by_hand(source, QUARTERS))
    whole = jax.jit(composed)(source.template, gf2.pack_numpy(np.ones((1, 12), bool), 1))
    np.testing.assert_array_equal(whole[0], Preprocessing(size=(16, 16))(IMAGE))


@pytest.mark.parametrize("replacement", ["blur", "mean", "black", 255 - IMAGE])
def test_replacements(replacement):
    p = Preprocessing(size=(16, 16))
    source = maskable_image(IMAGE, p, (3, 4), replacement)
    sigma = 0.2 * 26 if isinstance(replacement, str) else None
    other = replaced_image(IMAGE, source.cells, replacement, sigma)
    np.testing.assert_array_equal(source.template.replaced, p(other))
    if isinstance(replacement, str) and replacement == "blur":
        near = maskable_image(IMAGE, p, (3, 4), radius=0.1)
        np.testing.assert_allclose(near.template.replaced, p(IMAGE), atol=0.02)
        assert np.std(source.template.replaced) < 0.5 * np.std(p(IMAGE))


def test_a_class_score_is_that_of_the_masked_image(classifier):
    f = image_value(classifier, IMAGE, (3, 3), label=1, score="margin")
    masks = QUARTERS[:, :9]
    seen = by_hand(f.source, masks)
    from spexjax.models.vit.classifier import _logits

    logits = np.asarray(_logits(classifier.config, classifier.params, seen))
    want = logits[:, 1] - np.maximum(logits[:, 0], logits[:, 2])
    assert np.std(want) > 1e-3
    np.testing.assert_allclose(f(masks), want, atol=1e-5)
    full = image_value(classifier, IMAGE, (3, 3), score="logits")
    np.testing.assert_allclose(full(np.ones((1, 9), bool))[0], classifier.logits(IMAGE), atol=1e-6)
    assert full.label == np.argmax(classifier.logits(IMAGE))
    assert f.words[:4] == ("r1c1", "r1c2", "r1c3", "r2c1")


def test_store_keys_differ_when_values_would(classifier):
    keys = {
        image_value(classifier, image, (3, 3), label=label, replacement=replacement).store_key
        for image in (IMAGE, IMAGE[:, ::-1])
        for label in (0, 1)
        for replacement in ("blur", "black")
    }
    assert len(keys) == 8


def test_an_answer_about_a_masked_image(asked):
    f = visual_value(asked, IMAGE, "w3 w4", "w7 w8 w9", (3, 4), rows=8)
    prompt = asked.prompt("w3 w4")
    assert prompt.where.sum() == 4 and f.start == 2
    masks = QUARTERS[:6]
    ids = np.concatenate([prompt.ids, f.answer_ids])[None].repeat(6, 0)
    where = np.pad(prompt.where, (0, 3))[None].repeat(6, 0)
    states = embedded(asked.config, asked.params, ids, where, by_hand(f.source, masks))
    text = asked.config.text
    hidden, _ = Llama(text).apply({"params": asked.params["text"]}, states)
    log_p = jax.nn.log_softmax(unembed(text, asked.params["text"], hidden), axis=-1)
    steps = np.stack([
        np.asarray(log_p)[:, len(prompt.ids) - 1 + i, token]
        for i, token in enumerate(f.answer_ids)
    ], axis=1)  # fmt: skip
    assert np.std(steps.sum(1)) > 1e-3
    np.testing.assert_allclose(f(masks), steps.sum(1), atol=1e-4)
    each = visual_value(asked, IMAGE, "w3 w4", "w7 w8 w9", (3, 4), "token-log-probabilities")
    np.testing.assert_allclose(each(masks), steps, atol=1e-4)


def test_the_models_own_answer_and_choices(asked):
    f = visual_value(asked, IMAGE, "w3 w4", cells=(2, 2), max_new_tokens=4)
    assert f.answer == asked.answer(IMAGE, "w3 w4", 4)
    odds = visual_value(asked, IMAGE, "w3 w4", cells=(2, 2), score="log-odds", choices=("w5", "w6"))
    assert odds(np.ones((1, 4), bool))[0] >= 0  # the likelier of the two
    with pytest.raises(ValueError, match="choices"):
        visual_value(asked, IMAGE, "w3 w4", choices=("w5", "w6"))
    with pytest.raises(ValueError, match="one of the choices"):
        visual_value(asked, IMAGE, "w3", "w9", score="margin", choices=("w5", "w6"), cells=(2, 2))


@pytest.mark.parametrize(
    ("question", "what"), [(" ", "question is empty"), ("w1 <image>", "must not spell")]
)
def test_questions_that_cannot_be_asked(asked, question, what):
    with pytest.raises(ValueError, match=what):
        visual_value(asked, IMAGE, question, cells=(2, 2))


def test_prompts_that_are_too_long(asked):
    with pytest.raises(ValueError, match="64 positions"):
        visual_value(asked, IMAGE, "w3 " * 60, "w5", cells=(2, 2))


def test_cells_that_do_nothing_get_a_word(classifier):
    crop = Preprocessing(resize="none", crop=(12, 12))
    with pytest.warns(UserWarning, match="4 of 8 cells are not in what the model sees"):
        maskable_image(IMAGE, crop, (1, 8))
    with pytest.warns(UserWarning, match="20 cells are more than the 9 patches"):
        image_value(classifier, IMAGE, (4, 5))


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"cells": (21, 2)}, "rows, cols must be 1 to 20, 26"),
        ({"cells": (2, 2, 2)}, "rows, columns"),
        ({"cells": np.zeros((3, 4), int)}, "cells must be integers of shape"),
        ({"cells": (2, 2), "replacement": "noise"}, "replacement must be one of"),
        ({"cells": (2, 2), "replacement": IMAGE[:3]}, "image's shape"),
        ({"cells": (2, 2), "radius": 0}, "radius must be"),
        ({"cells": (2, 2), "label": 3}, "label must be 0 to 2"),
        ({"cells": (2, 2), "score": "odds"}, "score must be one of"),
    ],
)
def test_bad_arguments(classifier, given, what):
    with pytest.raises(ValueError, match=what):
        image_value(classifier, IMAGE, **given)


def test_segments_of_the_image_itself(classifier):
    pytest.importorskip("skimage")
    smooth = np.repeat(np.repeat(IMAGE[:2, :3], 10, 0), 9, 1)
    cells = superpixels(smooth, 6)
    f = image_value(classifier, smooth, cells)
    assert f.n == cells.max() + 1 > 2 and f.words[0] == "segment 1"
    assert f(np.ones((1, f.n), bool)).shape == (1,)


@pytest.fixture(scope="module")
def clip():
    words = ["[PAD]", "[UNK]", *(f"w{i}" for i in range(36)), "<s>", "</s>"]
    tokenizer = Tokenizer(models.WordLevel({w: i for i, w in enumerate(words)}, "[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A </s>", special_tokens=[("<s>", 38), ("</s>", 39)]
    )
    config, params = load_clip(GOLDEN / "clip")
    return Clip(config, params, tokenizer, Preprocessing(size=(12, 12)), "tiny")


def test_cells_and_words_in_one_mask(clip):
    f = caption_value(clip, IMAGE, "w3 w7 w9", (2, 3))
    assert f.n == 9 and f.words[5:] == ("r2c3", "w3", "w7", "w9")
    masks = np.random.default_rng(2).random((20, 9)) < 0.5
    seen = by_hand(f.source, masks[:, :6])
    captions = [" ".join(np.array(["w3", "w7", "w9"])[m]) for m in masks[:, 6:]]
    want = []
    for image, caption in zip(seen, captions, strict=True):
        ids = np.array(clip.tokenizer.encode(caption).ids, np.int32)[None]
        vectors = image_vectors(clip.config, clip.params, image[None])
        want.append(scores(clip.params, vectors, text_vectors(clip.config, clip.params, ids))[0])
    assert np.std(want) > 1e-2
    np.testing.assert_allclose(f(masks), want, atol=1e-4)
    whole = clip.score(IMAGE, "w3 w7 w9")
    np.testing.assert_allclose(f(np.ones((1, 9), bool)), [whole], atol=1e-4)


def test_captions_that_cannot_be_scored(clip):
    with pytest.raises(ValueError, match="64 positions"):
        caption_value(clip, IMAGE, "w3 " * 70, (2, 2))
    with pytest.raises(ValueError, match="no word"):
        caption_value(clip, IMAGE, " ", (2, 2))
