"""Two-hop questions on generated facts as a task; a group is a number of sentences, "16".

The embedded two-hop model (or ``--model``) answers questions whose two facts it was never trained
on. The value is the log-probability of its own answer; the inputs are the sentences. The two
sentences that lead to the true answer support it. Questions that the model answers wrongly are
left out: what supports a wrong answer is not known.
"""

from collections.abc import Iterator

from spexjax.experiments.tasks.item import Item, TaskConfig, chosen
from spexjax.models.llama.language import load_language_model
from spexjax.models.mini.two_hop.facts import held_out_examples
from spexjax.models.nn.precision import default_dtype
from spexjax.models.values.language import language_value

GROUPS = ("8", "12", "16", "24", "32")


def items(config: TaskConfig) -> Iterator[Item]:
    """``per_group`` rightly answered questions about worlds of each group's size."""
    model = load_language_model(config.model, config.dtype or default_dtype())
    for group in chosen(config, GROUPS):
        count = 0
        for place, e in enumerate(held_out_examples(config.seed, int(group), 2)):
            if count == config.per_group:
                break
            f = language_value(model, e.context, e.question)
            if f.answer != e.answer:
                continue
            count += 1
            name = f"two-hop-{group}-{config.seed}-{place}"
            yield Item(name, group, f.n, f, e.supporting, f.words)
