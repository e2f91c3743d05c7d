"""A small DistilBERT that judges film reviews: its folder and its training."""
