"""Functions of masks whose spectrum is known."""
