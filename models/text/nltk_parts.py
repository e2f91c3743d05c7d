"""Two tokenizers of nltk without the rest of it, which takes two seconds to import."""

import sys
import threading
from collections.abc import Iterator
from functools import lru_cache
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec, module_from_spec
from typing import Any, NamedTuple, Protocol

_lock = threading.Lock()


class Tokenizer(Protocol):
    """What finds spans."""

    def span_tokenize(self, text: str, /) -> Iterator[tuple[int, int]]:
        """Characters [start, end), in order."""


class Tokenizers(NamedTuple):
    """Words by the rules of the Penn Treebank; sentences by Punkt, untrained."""

    words: Tokenizer
    sentences: Tokenizer


def tokenizers() -> Tokenizers:
    """nltk's ``NLTKWordTokenizer`` and ``PunktSentenceTokenizer``."""
    with _lock:
        return _tokenizers()


@lru_cache(maxsize=1)
def _tokenizers() -> Tokenizers:
    spec = find_spec("nltk")
    if "nltk" in sys.modules or spec is None:
        return _imported()
    # ``nltk/__init__.py`` imports all of nltk, and with it scipy.stats and scikit-learn: a package
    # of the same place without it stands in for as long as its two modules are imported. What they
    # brought is forgotten then, so that whoever imports nltk after this gets the whole.
    empty = ModuleSpec("nltk", None, is_package=True)
    empty.submodule_search_locations = spec.submodule_search_locations
    sys.modules["nltk"] = module_from_spec(empty)
    try:
        return _imported()
    except (ImportError, AttributeError):
        pass  # another version's modules need more of it
    finally:
        for name in [k for k in sys.modules if k == "nltk" or k.startswith("nltk.")]:
            del sys.modules[name]
    return _imported()


def _imported() -> Tokenizers:
    found: list[Any] = [
        import_module("nltk.tokenize.destructive").NLTKWordTokenizer(),
        import_module("nltk.tokenize.punkt").PunktSentenceTokenizer(),
    ]
    return Tokenizers(*found)
