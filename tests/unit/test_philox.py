import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from cwolaflow.philox import integers, multiply, philox, uniform

WORD = st.integers(0, 2**64 - 1)


@given(st.lists(WORD, min_size=1, max_size=5), WORD)
def test_product_is_exact(a, b):
    high, low = multiply(np.array(a, np.uint64), b)
    assert [int(h) * 2**64 + int(w) for h, w in zip(high, low, strict=True)] == [x * b for x in a]


@given(st.tuples(WORD, WORD), st.lists(st.integers(0, 2**63 - 1), min_size=4, max_size=4))
def test_words_are_those_of_numpy(key, counter):
    number = sum(word << (64 * place) for place, word in enumerate(counter))
    # NumPy counts up before it draws.
    before = (number - 1) % 2**256
    theirs = np.random.Philox(key=key[0] + (key[1] << 64), counter=before).random_raw(4)
    assert [int(word[0]) for word in philox(key, counter)] == theirs.tolist()


def test_a_place_has_its_words_whatever_stands_beside_it():
    place = np.arange(50)
    whole = np.stack(philox((1, 2), (place, -3, place[::-1], 4)))
    for i in (0, 17, 49):
        alone = np.stack(philox((1, 2), (place[i], -3, 49 - i, 4)))
        assert np.array_equal(alone[:, 0], whole[:, i])
    assert len(np.unique(whole)) == whole.size


def test_uniform_numbers_from_zero_to_just_below_one():
    ends = uniform(np.array([0, 2**64 - 1], np.uint64))
    assert ends.tolist() == [0, 1 - 2.0**-53]
    numbers = uniform(np.concatenate(philox((5, 0), (np.arange(5000), 0, 0, 0))))
    assert stats.kstest(numbers, "uniform").pvalue > 1e-3


@pytest.mark.parametrize("bound", [1, 7, 1000])
def test_integers_are_equally_likely(bound):
    words = np.concatenate(philox((6, 0), (np.arange(20_000), 0, 0, 0)))
    numbers = integers(words, bound)
    assert numbers.min() == 0
    assert numbers.max() == bound - 1
    if bound > 1:
        assert stats.chisquare(np.bincount(numbers)).pvalue > 1e-3
