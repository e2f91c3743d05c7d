import re
from itertools import islice

import numpy as np
import pytest

from spexjax.models.mini.two_hop import names
from spexjax.models.mini.two_hop.batches import context_length, draw_batch
from spexjax.models.mini.two_hop.facts import draw_worlds, held_out_examples
from spexjax.models.mini.two_hop.grammar import EOS, IDS, PAD, UNKNOWN, VOCABULARY, text_of
from spexjax.models.mini.word_level import word_tokenizer
from spexjax.models.text.spans import sentences

# An independent reader of the sentences and questions, by regular expressions.
FACT = re.compile(r"(?:The )?(\w+) (lives in|works in|lies in|sells fine) (\w+)\.")
ONE = re.compile(r"W\w+ does (?:the )?(\w+) (?:now )?(live|work|lie|sell)(?: today)?\?")
TWO = re.compile(r"W\w+ does the town where the (\w+) (lives|works) (lie|sell)\?")
RELATION = {"live": "lives in", "work": "works in", "lie": "lies in", "sell": "sells fine",
            "lives": "lives in", "works": "works in"}  # fmt: skip


def read(context):
    found = {}
    for subject, relation, thing in FACT.findall(context):
        assert (subject, relation) not in found
        found[subject, relation] = thing
    return found


def solve(facts, question):
    two = TWO.fullmatch(question)
    if two:
        town = facts.get((two[1], RELATION[two[2]]))
        return facts.get((town, RELATION[two[3]]), UNKNOWN)
    one = ONE.fullmatch(question)
    return facts.get((one[1], RELATION[one[2]]), UNKNOWN)


def held_out(subject, relation, thing):
    subjects = names.TOWNS if relation in ("lies in", "sells fine") else names.PEOPLE
    things = {"lies in": names.REGIONS, "sells fine": names.GOODS}.get(relation, names.TOWNS)
    return (subjects.index(subject) + things.index(thing)) % 8 == 0


def test_names_are_single_words_of_one_role():
    words = [*names.PEOPLE, *names.TOWNS, *names.REGIONS, *names.GOODS]
    assert len(set(words)) == len(words)
    assert len(set(VOCABULARY)) == len(VOCABULARY)
    assert all(len(part) % 8 == 0 for part in (names.PEOPLE, names.TOWNS, names.REGIONS))
    assert all(len(word_tokenizer(IDS).encode(word).ids) == 2 for word in words)


@pytest.mark.parametrize("hops", [1, 2])
@pytest.mark.parametrize("n", [3, 8, 32])
def test_held_out_examples(n, hops):
    tokenizer = word_tokenizer(IDS)
    for e in islice(held_out_examples(3, n, hops), 40):
        assert len(e.sentences) == n and len(e.supporting) == hops
        spans = sentences(e.context)
        assert tuple(e.context[start:end] for start, end in spans) == e.sentences
        facts = read(e.context)
        assert len(facts) == n
        assert solve(facts, e.question) == e.answer
        for i, sentence in enumerate(e.sentences):
            fewer = " ".join(s for j, s in enumerate(e.sentences) if j != i)
            assert (solve(read(fewer), e.question) == UNKNOWN) == (i in e.supporting)
            if i in e.supporting:
                assert held_out(*FACT.fullmatch(sentence).groups())
        ids = tokenizer.encode(f"{e.context} {e.question}").ids
        assert tokenizer.token_to_id("[UNK]") not in ids
        assert text_of(np.array(ids[1:])) == f"{e.context} {e.question}"
        lengths = [len(tokenizer.encode(s).ids) - 1 for s in e.sentences]
        assert min(lengths) >= 4 and max(lengths) <= 8


def test_examples_are_reproducible_and_differ_by_seed():
    first, again, other = (next(held_out_examples(seed, 8, 2)) for seed in (1, 1, 2))
    assert first == again != other


def test_worlds_spread_over_names_and_kinds():
    worlds = draw_worlds(np.random.default_rng(0), 400, 12)
    texts = " ".join(text_of(s) for w in worlds.tokens for s in w)
    relations = [relation for _, relation, _ in FACT.findall(texts)]
    assert len(relations) == 400 * 12
    shares = [relations.count(r) / len(relations) for r in set(relations)]
    assert len(shares) == 4 and 0.1 < min(shares) <= max(shares) < 0.4
    assert set(re.findall(r"\w+", texts)) >= {*names.PEOPLE, *names.TOWNS, *names.GOODS}
    assert 0.08 < worlds.held_out.mean() < 0.17


@pytest.mark.parametrize("n, room", [(8, 8), (11, 16)])
def test_batches(n, room):
    rng = np.random.default_rng(5)
    batch = draw_batch(rng, 48, n, 10, context_length(room), mask_rows=0.6)
    assert batch.context.shape == (48, context_length(room))
    kinds = set()
    for context, questions, answers in zip(*batch[:3], strict=True):
        text = text_of(context)
        facts = read(text.replace("[UNK] ", ""))
        kinds.add("[UNK] [UNK] [UNK]" in text)
        assert not any(held_out(s, r, o) for (s, r), o in facts.items())
        real = context[: np.flatnonzero(context)[-1] + 1]
        assert (real != PAD).all()  # no gaps
        for question, answer in zip(questions, answers, strict=True):
            assert question[-1] == answer[0] and answer[1] == EOS
            assert solve(facts, text_of(question[:-1])) == VOCABULARY[answer[0]]
    assert kinds == {True, False}
    known = batch.answers[..., 0] != VOCABULARY.index(UNKNOWN)
    np.testing.assert_array_equal(known, batch.known)
    assert 0.2 < known.mean() < 0.9 and 0.3 < batch.two_hops.mean() < 0.7


def test_masked_and_two_hop_shares():
    rng = np.random.default_rng(6)
    plain = draw_batch(rng, 64, 12, 8, context_length(12), two_hops=0.5, mask_rows=0.0)
    masked = draw_batch(rng, 64, 12, 8, context_length(12), two_hops=0.5, mask_rows=1.0)
    assert not (plain.context == VOCABULARY.index("[UNK]")).any()
    assert (masked.context == VOCABULARY.index("[UNK]")).any()
    assert masked.known.mean() < plain.known.mean()
    more = draw_batch(rng, 64, 12, 8, context_length(12), two_hops=0.9)
    assert more.two_hops.mean() > plain.two_hops.mean() + 0.15
