"""Words under tokenizers that are not WordPiece: RoBERTa's bytes, XLM-R's and DeBERTa's pieces."""

import numpy as np
import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

from spexjax.models.bert.classifier import TextClassifier
from spexjax.models.bert.config import Config
from spexjax.models.bert.deberta import DebertaConfig
from spexjax.models.bert.families import init_params
from spexjax.models.bert.modernbert import ModernBertConfig
from spexjax.models.text.masking import masked_rows, split_text, template
from spexjax.models.values.text import value_function

TEXTS = ["Her acting never fails to impress, and it isn't bad.", "The plot is hardly original."] * 4
TEXT = "Her acting isn't bad, never"
ANGLED = ("<s>", "<pad>", "</s>", "<unk>", "<mask>")
SQUARE = ("[CLS]", "[PAD]", "[SEP]", "[UNK]", "[MASK]")


def bytes_tokenizer(names, trim):
    """As RoBERTa (``trim``: offsets without the blank) and ModernBERT have it."""
    tokenizer = Tokenizer(models.BPE(unk_token=names[3]))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.train_from_iterator(
        TEXTS, trainers.BpeTrainer(vocab_size=330, special_tokens=list(names), show_progress=False,
                                   initial_alphabet=pre_tokenizers.ByteLevel.alphabet()),
    )  # fmt: skip
    tokenizer.post_processor = (
        processors.RobertaProcessing((names[2], 2), (names[0], 0), trim_offsets=True)
        if trim
        else framed(names)
    )
    return tokenizer


def framed(names):
    return processors.TemplateProcessing(
        f"{names[0]} $A {names[2]}", special_tokens=[(names[0], 0), (names[2], 2)]
    )


def pieces_tokenizer(names):
    """As XLM-R and DeBERTa-v3 have it."""
    tokenizer = Tokenizer(models.Unigram())
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace()
    trainer = trainers.UnigramTrainer(
        vocab_size=120, special_tokens=list(names), unk_token=names[3], show_progress=False
    )
    tokenizer.train_from_iterator(TEXTS, trainer)
    tokenizer.post_processor = framed(names)
    return tokenizer


SMALL = {"dim": 12, "n_layers": 1, "n_heads": 2, "hidden_dim": 16, "max_position_embeddings": 64}
CASES = {
    "roberta": (
        bytes_tokenizer(ANGLED, True),
        Config(family="roberta", vocab_size=330, pad_token_id=1, type_vocab_size=1, **SMALL),
        True,
    ),
    "modernbert": (
        bytes_tokenizer(SQUARE, False),
        ModernBertConfig(vocab_size=330, pad_token_id=1, window=8, **SMALL),
        True,
    ),
    "deberta": (
        pieces_tokenizer(SQUARE),
        DebertaConfig(vocab_size=330, pad_token_id=1, buckets=8, **SMALL),
        False,
    ),
}


@pytest.fixture(params=CASES)
def case(request):
    return CASES[request.param]


def test_words_have_no_blanks(case):
    tokenizer, _, splits = case
    source = split_text(TEXT, tokenizer)
    whole = ["Her", "acting", "is", "n't", "bad", ",", "never"]
    if not splits:  # what shares a pre-token is one feature
        whole = ["Her", "acting", "isn't", "bad,", "never"]
    elif len(source.words) != len(whole):  # the quote is a pre-token with its letters
        whole = ["Her", "acting", "isn't", "bad", ",", "never"]
    assert list(source.words) == whole
    assert source.ids.tolist() == tokenizer.encode(TEXT).ids


@pytest.mark.parametrize("replacement", ["unk", "mask", "delete"])
def test_a_masked_word_is_one_token_or_none(case, replacement):
    tokenizer = case[0]
    source = split_text(TEXT, tokenizer)
    masks = np.ones((2, source.n), bool)
    masks[1, 1] = False  # acting
    rows = masked_rows(template(source, tokenizer, replacement), masks)
    kept, without = (
        np.asarray(ids)[np.asarray(keep)].tolist() for ids, keep in zip(*rows[:2], strict=True)
    )
    assert kept == source.ids.tolist()
    own = np.flatnonzero(source.feature == 1)
    names = {"unk": ("<unk>", "[UNK]"), "mask": ("<mask>", "[MASK]"), "delete": ()}[replacement]
    put = [token for name in names if (token := tokenizer.token_to_id(name)) is not None]
    assert without == [*source.ids[: own[0]], *put, *source.ids[own[-1] + 1 :]]


def test_values_are_the_models_logits(case, key):
    tokenizer, config, _ = case
    model = TextClassifier(config, init_params(config, key), tokenizer, "small")
    f = value_function(model, TEXT, label=1)
    values = f(np.ones((1, f.n), bool))
    np.testing.assert_allclose(values[0], model.logits(TEXT)[1], atol=1e-5)
