"""Random numbers that belong to a place instead of to a sequence of calls, for whole arrays.

NumPy's ``Philox`` makes the same numbers, but for one counter at a time.
"""

from collections.abc import Sequence

import numpy as np

ROUNDS = 10
MULTIPLIERS = (0xD2E7470EE14C6C93, 0xCA5A826395121157)
KEY_STEPS = (0x9E3779B97F4A7C15, 0xBB67AE8584CAA73B)
_HALF = np.uint64(32)
_LOW = np.uint64(2**32 - 1)
_WORDS = 2**64


def multiply(a: np.ndarray, b: int) -> tuple[np.ndarray, np.ndarray]:
    """Multiply 64-bit numbers exactly.

    Parameters
    ----------
    a : ndarray of uint64
    b : int
        In [0, 2⁶⁴).

    Returns
    -------
    high, low : ndarray of uint64
        ``a * b`` is ``high * 2**64 + low``.
    """
    b_high, b_low = np.uint64(b >> 32), np.uint64(b % 2**32)
    a_high, a_low = a >> _HALF, a & _LOW
    middle = a_high * b_low + (a_low * b_low >> _HALF)
    other = a_low * b_high + (middle & _LOW)
    return a_high * b_high + (middle >> _HALF) + (other >> _HALF), a * np.uint64(b)


def philox(key: tuple[int, int], counter: Sequence[np.ndarray | int]) -> tuple[np.ndarray, ...]:
    """Give four independent random words for every counter: Philox4x64-10.

    Source: J. K. Salmon et al., Parallel random numbers: as easy as 1, 2, 3, SC11 (2011).

    Parameters
    ----------
    key : (int, int)
        Seed, each in [0, 2⁶⁴).
    counter : four of ndarray of int, shape (n,), or int
        The place, broadcast against each other; negative numbers count modulo 2⁶⁴.

    Returns
    -------
    four ndarrays of uint64, shape (n,)
        The same for the same key and counter, whatever the other counters are.
    """
    words = np.broadcast_arrays(*(np.asarray(c, np.int64).astype(np.uint64) for c in counter))
    a, b, c, d = map(np.atleast_1d, words)
    for number in range(ROUNDS):
        keys = [
            np.uint64((start + number * step) % _WORDS)
            for start, step in zip(key, KEY_STEPS, strict=True)
        ]
        (high_a, low_a), (high_c, low_c) = map(multiply, (a, c), MULTIPLIERS)
        a, b, c, d = high_c ^ b ^ keys[0], low_c, high_a ^ d ^ keys[1], low_a
    return a, b, c, d


def uniform(words: np.ndarray) -> np.ndarray:
    """Turn random words into float64 in [0, 1), of the same shape, with all 53 bits random."""
    return (words >> np.uint64(11)) * 2.0**-53


def integers(words: np.ndarray, bound: int) -> np.ndarray:
    """Turn random words into int64 in [0, bound), of the same shape.

    The probabilities differ from ``1 / bound`` by at most 2⁻⁶⁴.
    """
    return multiply(words, bound)[0].astype(np.int64)
