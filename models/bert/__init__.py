"""DistilBERT and BERT sequence classifiers in Flax."""

from spexjax.models.bert.classifier import TextClassifier, load_classifier

__all__ = ["TextClassifier", "load_classifier"]
