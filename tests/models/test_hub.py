"""Folders come first, then the hub; what fails is said plainly."""

import pytest
from huggingface_hub import errors

from spexjax.models.bert import weights
from spexjax.models.bert.classifier import load_classifier
from spexjax.models.checkpoints.hub import model_folder


def answer(monkeypatch, what):
    import huggingface_hub

    asked = []

    def download(name, allow_patterns):
        asked.append((name, allow_patterns))
        if isinstance(what, Exception):
            raise what
        return str(what)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


def test_a_folder_is_never_asked_for(tmp_path, monkeypatch):
    asked = answer(monkeypatch, OSError("no"))
    (tmp_path / "own").mkdir()
    monkeypatch.chdir(tmp_path)
    assert str(model_folder("own")) == "own"
    assert asked == []


def test_an_id_is_downloaded_without_pickles(classifier, tmp_path, monkeypatch):
    weights.save(tmp_path, classifier.config, classifier.params)
    classifier.tokenizer.save(str(tmp_path / "tokenizer.json"))
    asked = answer(monkeypatch, tmp_path)
    model = load_classifier("someone/a-model")
    assert model.name == "someone/a-model"
    assert model.config == classifier.config
    ((name, patterns),) = asked
    assert name == "someone/a-model"
    assert not any("bin" in p or "pt" in p for p in patterns)


@pytest.mark.parametrize("name", ["./absent", "/no/such/folder", "a/b/c", ""])
def test_what_is_no_id(name, monkeypatch):
    asked = answer(monkeypatch, OSError("no"))
    with pytest.raises(FileNotFoundError, match="No model folder"):
        model_folder(name or "a b")
    assert asked == []


def test_a_hub_that_cannot_be_reached(monkeypatch):
    for error in (OSError("offline"), errors.LocalEntryNotFoundError("offline")):
        answer(monkeypatch, error)
        with pytest.raises(ConnectionError, match="cannot be reached"):
            model_folder("someone/a-model")


def test_the_real_client_without_a_network(monkeypatch, tmp_path):
    """Offline, the client itself must fail in the way that is caught."""
    from huggingface_hub import constants

    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    with pytest.raises(ConnectionError, match="cannot be reached"):
        model_folder("someone/a-model-that-is-not-cached")
