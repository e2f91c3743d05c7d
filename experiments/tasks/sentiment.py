"""Film reviews under a sentiment classifier as a task, grouped by their number of words.

The texts are those of a folder of data (:mod:`spexjax.experiments.data.texts`), else the dozen that
ship with the package; the classifier is the package's own or ``--model``. The value is
the logit of the positive class, a masked word becomes [UNK]. A text that is longer than the model
can read counts for the words that it reads.
"""

from collections.abc import Iterator
from functools import cache

from spexjax.experiments.data import texts
from spexjax.experiments.data.texts import GROUPS as GROUPS
from spexjax.experiments.tasks.item import Item, TaskConfig, chosen
from spexjax.models.bert.classifier import load_classifier
from spexjax.models.text.masking import split_text
from spexjax.models.values.text import value_function


def items(config: TaskConfig) -> Iterator[Item]:
    """Texts of every group: single ones first, then joined ones."""

    pool = texts.read_folder(config.data) if config.data else texts.own_texts()
    model = load_classifier(config.model)
    positions = model.config.max_position_embeddings

    @cache
    def length(text: str) -> int:
        return split_text(text, model.tokenizer, "words", positions).n

    for group in chosen(config, GROUPS):
        low, high = texts.LENGTHS[GROUPS.index(group)]
        for one in texts.of_length(pool, low, high, config.per_group, config.seed, length):
            f = value_function(model, one.text)
            yield Item(one.name, group, f.n, f, None, f.words)
