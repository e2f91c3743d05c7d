"""Where a model's files are: a local folder, or a model of the Hugging Face hub by its id."""

import re
from pathlib import Path

# Weights as safetensors only: pickled ones could run code.
_FILES = ["*.json", "*.safetensors", "*.jinja", "vocab.txt"]
_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)


def located(model: str | Path | None, revision: str | None = None) -> tuple[Path, str]:
    """The local folder of a model and what to call it: a folder's name, a hub id, id@revision.

    Args:
      model: as for :func:`model_folder`; None is no model, so that it has no revision either.
      revision: likewise.

    Raises:
      FileNotFoundError, ConnectionError, ValueError: as :func:`model_folder`.
    """
    if model is None:
        raise ValueError("revision is for a model of the hub; give its id, too.")
    path = model_folder(model, revision)
    if Path(model).is_dir():
        return path, Path(model).resolve().name
    return path, str(model) if revision is None else f"{model}@{revision}"


def model_folder(name: str | Path, revision: str | None = None) -> Path:
    """The local folder of a model, downloaded to the user's cache if ``name`` is a hub id.

    Args:
      name: a folder, or an id such as "distilbert-base-uncased-finetuned-sst-2-english". A folder
        of that name comes first.
      revision: a branch, tag or commit of the id; its main branch if not given.

    Raises:
      FileNotFoundError: if ``name`` is neither a folder nor the form of an id, or the hub has no
        such model or revision.
      ConnectionError: if the hub cannot be reached and the model is not in the cache.
      ValueError: if there is a revision of a folder.
    """
    folder = Path(name)
    if folder.is_dir():
        if revision is not None:
            raise ValueError(f"revision is for models of the hub; {str(name)!r} is a folder.")
        return folder
    text = str(name)
    if not _ID.fullmatch(text):
        raise FileNotFoundError(f"No model folder {text!r}.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import (
        LocalEntryNotFoundError,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    try:
        return Path(snapshot_download(text, revision=revision, allow_patterns=_FILES))
    except RevisionNotFoundError as error:
        raise FileNotFoundError(f"The hub's {text!r} has no revision {revision!r}.") from error
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(f"No folder and no model on the hub called {text!r}.") from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise ConnectionError(
            f"No model folder {text!r}, and the hub cannot be reached to look for it there."
        ) from error
