"""Folders come first, then the hub; what fails is said plainly."""

import pytest
from huggingface_hub import errors

from spexjax.models.bert import weights
from spexjax.models.bert.classifier import load_classifier
from spexjax.models.checkpoints.hub import model_folder
from spexjax.models.cli.main import main
from spexjax.models.values.text import value_function


def answer(monkeypatch, what):
    import huggingface_hub

    asked = []

    def download(name, revision, allow_patterns):
        asked.append((name, revision, allow_patterns))
        if isinstance(what, Exception):
            raise what
        return str(what)

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    return asked


def refused(kind):
    """An error of the client, whose constructor wants a response of the library of the day."""
    return kind.__new__(kind)


@pytest.fixture(autouse=True)
def no_cache(monkeypatch):
    monkeypatch.setattr("spexjax.models.cli.main.use_compilation_cache", lambda jax: None)


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
    ((name, revision, patterns),) = asked
    assert name == "someone/a-model" and revision is None
    assert not any("bin" in p or "pt" in p for p in patterns)


def test_a_revision_belongs_to_the_name_and_the_key(classifier, tmp_path, monkeypatch):
    weights.save(tmp_path, classifier.config, classifier.params)
    classifier.tokenizer.save(str(tmp_path / "tokenizer.json"))
    asked = answer(monkeypatch, tmp_path)
    main = load_classifier("someone/a-model")
    old = load_classifier("someone/a-model", revision="v1")
    assert [revision for _, revision, _ in asked] == [None, "v1"]
    assert old.name == "someone/a-model@v1"
    keys = {value_function(model, "bad acting").store_key for model in (main, old)}
    assert len(keys) == 2
    with pytest.raises(ValueError, match="is a folder"):
        load_classifier(tmp_path, revision="v1")
    with pytest.raises(ValueError, match="give its id"):
        load_classifier(revision="v1")


def test_the_revision_of_the_command(tmp_path, monkeypatch, capsys):
    asked = answer(monkeypatch, refused(errors.RevisionNotFoundError))
    for task in ([], ["--task", "qa", "--context", "c.txt", "--question", "Q"]):
        (tmp_path / "c.txt").write_text("One. Two.")
        monkeypatch.chdir(tmp_path)
        text = [] if task else ["a text"]
        assert main(["explain", *text, *task, "--model", "some/model", "--revision", "v9"]) == 1
        assert "'some/model' has no revision 'v9'" in capsys.readouterr().err
    assert [revision for _, revision, _ in asked] == ["v9", "v9"]
    assert main(["explain", "a text", "--revision", "v9"]) == 2
    assert "--revision needs --model" in capsys.readouterr().err


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
