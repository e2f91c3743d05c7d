"""Where a model's files are: a local folder, or a model of the Hugging Face hub by its id."""

import re
from pathlib import Path

# Weights as safetensors only: pickled ones could run code.
_FILES = ["*.json", "*.safetensors", "*.jinja", "vocab.txt"]
_ID = re.compile(r"\w[\w.-]*(/\w[\w.-]*)?", re.ASCII)


def model_folder(name: str | Path) -> Path:
    """The local folder of a model, downloaded to the user's cache if ``name`` is a hub id.

    Args:
      name: a folder, or an id such as "distilbert-base-uncased-finetuned-sst-2-english". A folder
        of that name comes first.

    Raises:
      FileNotFoundError: if ``name`` is neither a folder nor the form of an id, or the hub has no
        such model.
      ConnectionError: if the hub cannot be reached and the model is not in the cache.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder
    text = str(name)
    if not _ID.fullmatch(text):
        raise FileNotFoundError(f"No model folder {text!r}.")
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError

    try:
        return Path(snapshot_download(text, allow_patterns=_FILES))
    except RepositoryNotFoundError as error:
        raise FileNotFoundError(f"No folder and no model on the hub called {text!r}.") from error
    except (LocalEntryNotFoundError, OSError) as error:
        raise ConnectionError(
            f"No model folder {text!r}, and the hub cannot be reached to look for it there."
        ) from error
