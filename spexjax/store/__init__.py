"""Never paying twice: every value that f gave, kept in one SQLite file."""

from spexjax.store.database import StoreError, StoreWarning
from spexjax.store.journal import Journal
from spexjax.store.store import Store, key_of, opened

__all__ = ["Journal", "Store", "StoreError", "StoreWarning", "key_of", "opened"]
