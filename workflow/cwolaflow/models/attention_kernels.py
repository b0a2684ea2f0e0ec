"""Compiled attention of events of different length, one event after the other.

Softmax attention without a table of scores: for every query the scores of its event are made, used
and forgotten, and made again in the backward pass. The innermost loops run over the particles of an
event in arrays of their own (one a component), which compilers turn into vector instructions.
"""

import math

import numba
import numpy as np

LOG2_E = np.float32(math.log2(math.e))
# Taylor series of exp2, which on [-1/2, 1/2] is within 2e-7.
C0, C1, C2, C3, C4, C5, C6 = (
    np.float32(math.log(2) ** power / math.factorial(power)) for power in range(7)
)
LEAST = np.float32(-126.0)  # below it the result would need a denormal number

LANES = 16

ROWS = "float32[:, :]"
STARTS = "int64[::1]"
FILLED = "float32[:, ::1]"
OPTIONS = {"nogil": True, "cache": True, "fastmath": True, "error_model": "numpy"}


@numba.njit(**OPTIONS)
def _exp2(exponents, results, bits):
    """Fill ``results``, whose bits are ``bits``, with 2 to the power of non-positive exponents."""
    for j in range(len(exponents)):
        x = max(exponents[j], LEAST)
        whole = np.floor(x + np.float32(0.5))
        f = x - whole
        bits[j] = (np.int32(whole) + np.int32(127)) << np.int32(23)
        power = C0 + f * (C1 + f * (C2 + f * (C3 + f * (C4 + f * (C5 + f * C6)))))
        exponents[j] = power
    for j in range(len(exponents)):
        results[j] *= exponents[j]


@numba.njit(**OPTIONS)
def _largest(values, n, lanes):
    """Give the largest of the first ``n`` values; compilers make no vectors of a plain maximum."""
    lanes[:] = values[0]
    whole = n - n % LANES
    for j in range(0, whole, LANES):
        for lane in range(LANES):
            value = values[j + lane]
            lanes[lane] = value if value > lanes[lane] else lanes[lane]
    largest = lanes[0]
    for lane in range(1, LANES):
        largest = max(largest, lanes[lane])
    for j in range(whole, n):
        largest = max(largest, values[j])
    return largest


@numba.njit(**OPTIONS)
def _load(rows, first, last, head, width, scale, target):
    """Copy the vectors of one head, times ``scale``, to ``target``, a row a component."""
    for c in range(width):
        column = head * width + c
        for j in range(last - first):
            target[c, j] = rows[first + j, column] * scale


@numba.njit(**OPTIONS)
def _scores(query, keys, width, n_keys, scores):
    """Fill the scalar products of one query with all keys."""
    a = query[0]
    for j in range(n_keys):
        scores[j] = a * keys[0, j]
    for c in range(1, width):
        a = query[c]
        for j in range(n_keys):
            scores[j] += a * keys[c, j]


@numba.njit(
    f"void({ROWS}, {ROWS}, {ROWS}, {STARTS}, {STARTS}, int64, float32, int64, int64, "
    f"{FILLED}, {FILLED})",
    **OPTIONS,
)
def attend(queries, keys, values, query_starts, key_starts, heads, scale, first, last, out, lse):
    """Attend within the events ``first`` ... ``last`` - 1.

    Parameters
    ----------
    queries, keys, values : float32, shapes (n_queries, d), (n_keys, d), (n_keys, d)
        Rows of all events, d = heads × width; rows need not be contiguous.
    query_starts, key_starts : int64, shape (n_events + 1,)
        First row of every event.
    heads : int
    scale : float32
        Factor of the scalar products.
    out : float32, shape (n_queries, d)
        Filled.
    lse : float32, shape (heads, n_queries)
        Filled with the logarithm, base 2, of the sum of exponentials, for `attend_backward`.
    """
    width = queries.shape[1] // heads
    longest = 0
    for event in range(first, last):
        longest = max(longest, key_starts[event + 1] - key_starts[event])
    k = np.empty((width, longest), np.float32)
    v = np.empty((width, longest), np.float32)
    query = np.empty(width, np.float32)
    scores = np.empty(longest, np.float32)
    powers = np.empty(longest, np.float32)
    bits = powers.view(np.int32)
    lanes = np.empty(LANES, np.float32)
    for event in range(first, last):
        key_first, key_last = key_starts[event], key_starts[event + 1]
        n = key_last - key_first
        for head in range(heads):
            _load(keys, key_first, key_last, head, width, np.float32(1), k)
            _load(values, key_first, key_last, head, width, np.float32(1), v)
            for i in range(query_starts[event], query_starts[event + 1]):
                if n == 0:
                    for c in range(width):
                        out[i, head * width + c] = 0
                    lse[head, i] = 0
                    continue
                for c in range(width):
                    query[c] = queries[i, head * width + c] * scale * LOG2_E
                _scores(query, k, width, n, scores)
                highest = _largest(scores, n, lanes)
                for j in range(n):
                    scores[j] -= highest
                _exp2(scores[:n], powers, bits)
                total = np.float32(0)
                for j in range(n):
                    total += powers[j]
                for c in range(width):
                    summed = np.float32(0)
                    for j in range(n):
                        summed += powers[j] * v[c, j]
                    out[i, head * width + c] = summed / total
                lse[head, i] = highest + np.log2(total)


@numba.njit(
    f"void({ROWS}, {ROWS}, {ROWS}, {STARTS}, {STARTS}, int64, float32, int64, int64, "
    f"{FILLED}, {FILLED}, {FILLED}, {FILLED}, {FILLED}, {FILLED})",
    **OPTIONS,
)
def attend_backward(
    queries,
    keys,
    values,
    query_starts,
    key_starts,
    heads,
    scale,
    first,
    last,
    out,
    lse,
    slopes,
    query_slopes,
    key_slopes,
    value_slopes,
):
    """Fill the derivatives by queries, keys and values, given those by the output, ``slopes``.

    The other parameters are those of `attend`.
    """
    width = queries.shape[1] // heads
    longest = 0
    for event in range(first, last):
        longest = max(longest, key_starts[event + 1] - key_starts[event])
    k = np.empty((width, longest), np.float32)
    v = np.empty((width, longest), np.float32)
    by_k = np.empty((width, longest), np.float32)
    by_v = np.empty((width, longest), np.float32)
    query = np.empty(width, np.float32)
    slope = np.empty(width, np.float32)
    scores = np.empty(longest, np.float32)
    powers = np.empty(longest, np.float32)
    by_power = np.empty(longest, np.float32)
    bits = powers.view(np.int32)
    for event in range(first, last):
        key_first, key_last = key_starts[event], key_starts[event + 1]
        n = key_last - key_first
        for head in range(heads):
            _load(keys, key_first, key_last, head, width, np.float32(1), k)
            _load(values, key_first, key_last, head, width, np.float32(1), v)
            by_k[:, :n] = 0
            by_v[:, :n] = 0
            for i in range(query_starts[event], query_starts[event + 1]):
                along = np.float32(0)
                for c in range(width):
                    query[c] = queries[i, head * width + c] * scale * LOG2_E
                    slope[c] = slopes[i, head * width + c]
                    along += slope[c] * out[i, head * width + c]
                if n == 0:
                    for c in range(width):
                        query_slopes[i, head * width + c] = 0
                    continue
                _scores(query, k, width, n, scores)
                highest = lse[head, i]
                for j in range(n):
                    scores[j] -= highest
                _exp2(scores[:n], powers, bits)
                _scores(slope, v, width, n, by_power)
                for j in range(n):
                    by_power[j] = powers[j] * (by_power[j] - along)
                for c in range(width):
                    summed = np.float32(0)
                    a = queries[i, head * width + c] * scale
                    b = slope[c]
                    for j in range(n):
                        summed += by_power[j] * k[c, j]
                        by_k[c, j] += by_power[j] * a
                        by_v[c, j] += powers[j] * b
                    query_slopes[i, head * width + c] = summed * scale
            for c in range(width):
                column = head * width + c
                for j in range(n):
                    key_slopes[key_first + j, column] = by_k[c, j]
                    value_slopes[key_first + j, column] = by_v[c, j]
