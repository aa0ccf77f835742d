"""What context is worth on data: predictors, facts in hindsight, statements with a confidence."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from theory.measure import blocks_needed, context_value, ngram_codes, order_information
from theory.sources import HiddenMarkovModel, information_values, markov_source, register

MODEL = HiddenMarkovModel([[0.95, 0.05], [0.1, 0.9]], [[0.9, 0.1], [0.2, 0.8]])
WORDS = st.lists(st.integers(0, 2), min_size=1, max_size=40)


@given(st.lists(WORDS, min_size=1, max_size=3), WORDS, st.integers(0, 4))
def test_predictions_add_up_to_one_and_depend_on_the_last_symbols_only(train, past, k):
    def last(before, longest=k):
        codes = [
            ngram_codes(train, [*before, a], alphabet=3, longest=longest).codes[k, -1]
            for a in range(3)
        ]
        return np.exp(-np.array(codes))

    q = last(past)
    assert q.sum() == pytest.approx(1.0)
    assert np.all(q >= 2.0**-10 / 3)
    if len(past) >= k:
        assert last([0, 1, 2, *past], longest=4) == pytest.approx(q)


@given(st.lists(WORDS, min_size=1, max_size=3), st.lists(WORDS, min_size=1, max_size=3))
def test_no_predictor_of_k_symbols_beats_hindsight(train, test):
    made = ngram_codes(train, test, alphabet=3, longest=3)
    assert np.all(made.hindsight <= made.codes.mean(axis=1) + 1e-12)
    assert np.all(np.diff(made.hindsight) <= 1e-12)
    # that fitted to the test itself is not beaten either, and comes near without discounts
    own = ngram_codes(test, test, alphabet=3, longest=3)
    assert np.all(own.hindsight == made.hindsight)
    assert np.all(made.hindsight <= own.codes.mean(axis=1) + 1e-12)


def test_kneser_ney_by_hand():
    made = ngram_codes([0, 1, 2, 1, 0, 1], [2, 2], alphabet=3, longest=1)
    # too few counts of counts for their discounts: 1/2 off each
    top = made.codes[1]
    q = (np.exp(-top) - 2.0**-10 / 3) / (1 - 2.0**-10)
    # 2 was followed once, by 1, which leaves half of it; before 0, 1 and 2 stood 2, 2 and 1 symbols
    lower = (1 - 0.5 + 3 * 0.5 / 3) / (2 + 2 + 1)
    assert q[1] == pytest.approx(0.5 * lower)


def test_statements_hold_on_a_source_that_is_known():
    values = information_values(MODEL, longest=10)
    h, rate = values.entropies[1], values.rate[0]
    wrong = 0
    for seed in range(10):
        x = MODEL.sample(6000, rng=np.random.default_rng(seed))[0]
        found = context_value(x[:3000], x[3000:], alphabet=2, longest=5)
        # of the entropy given all of the past, averaged over the pasts that occurred
        wrong += not np.all(found.entropy_upper >= rate - 0.03)
        wrong += not np.all(found.excess_low <= found.codes - rate + 0.03)
        assert np.all(found.at_least <= found.at_most)
        assert found.codes[5] == pytest.approx(h[5], abs=0.06)
    assert wrong == 0


def test_radius_covers():
    # the mean code of a fair coin by a predictor that believes in heads: its expectation is known
    from theory.measure.context_value import _radius

    rng, missed = np.random.default_rng(0), 0
    for _ in range(300):
        x = rng.random(400) < 0.2
        missed += not abs(np.mean(np.where(x, 3.0, 0.5)) - 1.0) <= _radius(
            np.where(x, 3.0, 0.5), 0.0, 4.0, 0.1
        )
    assert missed <= 30
    # and falls like the root of the number, faster where there is little variance
    wide, narrow = (_radius(np.full(n, 1.0), 0.0, 4.0, 0.05) for n in (400, 1600))
    assert narrow < 0.3 * wide


def test_a_register_needs_what_it_holds():
    x = register(3, flip=0.05).sample(24000, rng=np.random.default_rng(1))[0]
    found = context_value(x[:12000], x[12000:], alphabet=2, longest=5)
    assert found.context() == (3, 3)
    # the first symbols back are worth nothing, the third all
    assert np.all(np.abs(found.gains[:2]) <= found.gain_radius[:2])
    assert found.gains[2] - found.gain_radius[2] > 0.4
    assert found.short_memory(2, order=3) == pytest.approx(math.log(2))
    assert found.short_memory(1, states=4, order=3) == pytest.approx(math.log(2))
    with pytest.raises(ValueError, match=r"give no upper bound .* pass states= or order="):
        found.short_memory(2)
    assert "within 1 %" in str(found)


def test_codes_of_other_predictors_stand_beside():
    x = register(3, flip=0.05).sample(8000, rng=np.random.default_rng(1))[0]
    right = np.where(x[4000:] == x[3997:-3], -math.log(0.95), -math.log(0.05))
    found = context_value(x[:4000], x[4000:], alphabet=2, longest=2, codes={"true": right})
    assert found.best == found.others["true"] == pytest.approx(right.mean(), abs=2e-3)
    # what sees two symbols is worse than the true one, on this test and beyond
    assert found.at_least[2] > 0.4
    assert found.excess_low[2] > 0.3
    assert found.context()[1] is None
    for bad, message in ((right[:-1], "shape"), (-right, "negative length")):
        with pytest.raises(ValueError, match=message):
            context_value(x[:4000], x[4000:], alphabet=2, codes={"true": bad})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"test": [0, 3, 1]}, r"test has the symbol 3 at 1, outside of the alphabet 0 \.\. 2"),
        ({"train": [[0, 1], []]}, r"train\[1\] has shape \(0,\)"),
        ({"test": [0.5, 1.0]}, "needed a sequence of integers"),
        ({"confidence": 1.0}, "between 0 and 1"),
        ({"accuracy": 1e-3}, r"needed 0\.001: about \d{6,} symbols"),
        ({"test": [0, 1, 2] * 3}, "has 9 symbols, .* symbols, a lower confidence"),
        ({"accuracy": -1.0}, "accuracy"),
    ],
)
def test_bad_questions(arguments, message):
    good = {"train": [0, 1, 2] * 100, "test": [0, 2, 1] * 1000, "alphabet": 3, "longest": 1}
    good |= arguments
    train, test = good.pop("train"), good.pop("test")
    with pytest.raises(ValueError, match=message):
        context_value(train, test, **good)


def test_the_number_of_symbols_that_is_said_to_be_needed_is_enough():
    rng = np.random.default_rng(0)
    x = rng.integers(0, 2, 40000)
    with pytest.raises(ValueError, match="about") as told:
        context_value(x[:500], x[:1000], alphabet=2, longest=1, accuracy=0.05)
    needed = int(str(told.value).split("about ")[1].split()[0])
    assert needed < len(x)
    context_value(x[:500], x[:needed], alphabet=2, longest=1, accuracy=0.05)


def test_information_of_a_source_of_known_order():
    source = markov_source([[0.9, 0.1], [0.1, 0.9]])
    true = information_values(source).information[1]
    x = source.sample(3, rng=np.random.default_rng(0), sequences=200_000)
    found = order_information(x, alphabet=2, order=1)
    assert true <= found.information < found.trivial
    assert found.reason is None
    # few sequences say nothing, and how many would is said
    few = order_information(x[:1000], alphabet=2, order=1)
    assert few.information is None
    assert few.needed == blocks_needed(2, 1)
    assert re_numbers(few.reason) == [1000, few.needed]
    with pytest.raises(ValueError, match=r"sequences\[1\] has 1 symbols, needed more than the"):
        order_information([[0, 1], [0]], alphabet=2, order=1)


def re_numbers(text):
    return [int(word) for word in text.split() if word.isdigit()]
