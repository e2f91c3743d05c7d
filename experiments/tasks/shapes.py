"""Questions about generated pictures of shapes, for the task "vqa"; the group is "shapes".

The embedded model that looks (or ``--model``) answers questions about two objects that it was not
asked about in training. The value is the log-probability of its own answer; the inputs are the
cells, blurred where they are masked. The cells of the two objects support the answer. Questions
that the model answers wrongly are left out: what supports a wrong answer is not known.
"""

from collections.abc import Iterator
from itertools import count

from spexjax.experiments.tasks.item import Item, TaskConfig
from spexjax.models.mini.vqa import grammar as g
from spexjax.models.mini.vqa.drawing import picture
from spexjax.models.mini.vqa.scenes import held_out_examples
from spexjax.models.values.image_question import visual_value
from spexjax.models.vlm.language import VisionLanguageModel

GROUP = "shapes"
_LEAST, _MOST = 2, 10  # objects in a picture
_MOST_WRONG = 100


def items(config: TaskConfig, model: VisionLanguageModel) -> Iterator[Item]:
    """``per_group`` rightly answered questions.

    Raises:
      ValueError: if the model gives none of the first hundred answers.
    """
    examples = held_out_examples(config.seed, _LEAST, _MOST, (g.LEFT, g.RIGHT, g.ABOVE, g.BELOW))
    found = 0
    for place in count():
        if found == config.per_group:
            return
        if not found and place == _MOST_WRONG:
            raise ValueError(f"{model.name} answers no question about shapes rightly.")
        e = next(examples)
        image = picture(e.objects, place)
        f = visual_value(model, image, e.question, cells=(g.SIDE, g.SIDE), max_new_tokens=4)
        if f.answer == e.answer:
            found += 1
            yield Item(f"shapes-{config.seed}-{place}", GROUP, f.n, f, e.cells, tuple(f.words))
