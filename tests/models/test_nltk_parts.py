"""Words and sentences do not wait for the whole of nltk, which stays whole for others."""

import json
import subprocess
import sys

import pytest

from spexjax.models.text import nltk_parts

TEXTS = ["It isn't \"so\", is it? Dr. Who (2) can't. U.S. prices rose 3.5%!", "One. Two… three?"]
CODE = """
import json, sys
texts = json.loads(sys.argv[1])
if sys.argv[2] == "first":
    import nltk
from spexjax.models.text.spans import sentences, words
found = [[words(t), sentences(t)] for t in texts]
heavy = [m for m in ("scipy.stats", "sklearn", "nltk.collocations") if m in sys.modules]
import nltk
from nltk.tokenize.destructive import NLTKWordTokenizer
from nltk.tokenize.punkt import PunktSentenceTokenizer
want = [[list(c().span_tokenize(t)) for c in (NLTKWordTokenizer, PunktSentenceTokenizer)]
        for t in texts]
assert callable(nltk.word_tokenize) and callable(nltk.bigrams)
assert nltk.tokenize.NLTKWordTokenizer is NLTKWordTokenizer
assert found == want == [[words(t), sentences(t)] for t in texts]
print(json.dumps(heavy))
"""


@pytest.mark.parametrize("order", ["first", "after"])
def test_tokenizers_alone(order):
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", CODE, json.dumps(TEXTS), order],
        stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    heavy = json.loads(done.stdout)
    assert "nltk.collocations" in heavy if order == "first" else heavy == []


def test_where_the_modules_need_more(monkeypatch):
    """Then nltk is imported whole."""
    for name in [k for k in sys.modules if k.split(".")[0] == "nltk"]:
        monkeypatch.delitem(sys.modules, name)
    real, tried = nltk_parts.import_module, []

    def needy(name):
        tried.append(name)
        if "nltk" in sys.modules and getattr(sys.modules["nltk"], "__file__", None) is None:
            raise ImportError(name)
        return real(name)

    monkeypatch.setattr(nltk_parts, "import_module", needy)
    nltk_parts._tokenizers.cache_clear()
    try:
        found = nltk_parts.tokenizers()
        assert len(tried) == 3 and "nltk.collocations" in sys.modules
        assert list(found.words.span_tokenize("It isn't")) == [(0, 2), (3, 5), (5, 8)]
    finally:
        nltk_parts._tokenizers.cache_clear()
