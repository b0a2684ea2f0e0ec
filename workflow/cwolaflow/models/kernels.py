"""Compiled loops of networks on a CPU: dropout, and attention within events of different length.

Softmax attention without a table of scores: for every query the scores of its event are made, used
and forgotten, and made again in the backward pass, as is which of its weights are dropped. The
innermost loops run over the particles of an event in arrays of their own (one a component), which
compilers turn into vector instructions. Components are padded with zeros to a multiple of four.
"""

import math

import numba
import numpy as np
from llvmlite import ir
from numba.core import cgutils
from numba.extending import intrinsic

LOG2_E = np.float32(math.log2(math.e))
# Taylor series of exp2, which on [-1/2, 1/2] is within 2e-7.
C0, C1, C2, C3, C4, C5, C6 = (
    np.float32(math.log(2) ** power / math.factorial(power)) for power in range(7)
)
# Nothing beside the largest weight of a query. Products of smaller ones would be denormal numbers,
# for which some processors take a hundred times as long.
LEAST = np.float32(-64.0)

LANES = 16
NOTHING = np.float32(-1e30)  # score of a column that is no key
SCALES = 2**24  # of the probability to drop a weight

ROWS = "float32[:, :]"
STARTS = "int64[::1]"
FILLED = "float32[:, ::1]"
OPTIONS = {"nogil": True, "fastmath": True, "error_model": "numpy"}
# Inlined: a function of its own is linked from where it was compiled first, and a kernel from the
# cache would then differ in the last digits from the same kernel just compiled.
INNER = OPTIONS | {"forceinline": True}
KERNEL = OPTIONS | {"cache": True}


@intrinsic
def _float_of(typing_context, bits):
    """Take the bits of an int32 for those of a float32."""

    def generate(context, builder, signature, arguments):
        return builder.bitcast(arguments[0], ir.FloatType())

    return numba.types.float32(numba.types.int32), generate


@intrinsic
def _maximum(typing_context, a, b):
    """Give the larger of two float32; compilers make no vectors of Python's, which minds NaN."""

    def generate(context, builder, signature, arguments):
        kind = ir.FloatType()
        function = ir.FunctionType(kind, [kind, kind])
        declared = cgutils.get_or_insert_function(builder.module, function, "llvm.maxnum.f32")
        return builder.call(declared, arguments, fastmath=("fast",))

    return numba.types.float32(numba.types.float32, numba.types.float32), generate


@numba.njit(**INNER)
def _exp2(exponent):
    """Give 2 to the power of a number that is not positive."""
    x = _maximum(exponent, LEAST)
    whole = np.floor(x + np.float32(0.5))
    f = x - whole
    bits = np.int32((np.int32(whole) + np.int32(127)) << np.int32(23))
    power = C0 + f * (C1 + f * (C2 + f * (C3 + f * (C4 + f * (C5 + f * C6)))))
    return power * _float_of(bits)


@numba.njit(**INNER)
def _mix(x):
    """Give a number of 32 bits of which each depends on all bits of ``x``."""
    x = np.uint32(x ^ (x >> np.uint32(16)))
    x = np.uint32(x * np.uint32(0x7FEB352D))
    x = np.uint32(x ^ (x >> np.uint32(15)))
    x = np.uint32(x * np.uint32(0x846CA68B))
    return np.uint32(x ^ (x >> np.uint32(16)))


@numba.njit(**INNER)
def _is_kept(start, place, dropped):
    """Decide about one number of a draw: it is dropped with probability ``dropped`` / `SCALES`."""
    number = _mix(np.uint32(start + np.uint32(place) * np.uint32(0x9E3779B9)))
    return np.int32(number >> np.uint32(8)) >= np.int32(dropped)


@numba.njit(**INNER)
def _drop(seed, head, query, dropped, n, weights, used):
    """Fill ``used``: each weight is zero with probability ``dropped`` / `SCALES`, or scaled up.

    Which ones follows from the seed, the head, the query and the place of the key alone.
    """
    start = _mix(np.uint32(_mix(np.uint32(seed ^ head)) ^ query))
    factor = np.float32(SCALES / (SCALES - dropped))
    for j in range(n):
        used[j] = weights[j] * factor if _is_kept(start, j, dropped) else np.float32(0)


@numba.njit("void(float32[::1], int64, int64, float32[::1])", **KERNEL)
def drop(values, dropped, seed, out):
    """Set values to zero with probability ``dropped`` / `SCALES`, and scale the others up.

    Parameters
    ----------
    values : float32, shape (n,)
    dropped : int
    seed : int
        32 bits. Which values are dropped follows from it and their places alone.
    out : float32, shape (n,)
        Filled.
    """
    start = _mix(np.uint32(seed))
    factor = np.float32(SCALES / (SCALES - dropped))
    for j in range(len(values)):
        out[j] = values[j] * factor if _is_kept(start, j, dropped) else np.float32(0)


@numba.njit(**INNER)
def _largest(values, n):
    largest = values[0]
    for j in range(n):
        largest = _maximum(largest, values[j])
    return largest


@numba.njit(**INNER)
def _load(rows, first, last, head, width, target):
    """Copy the vectors of one head to ``target``, a row a component; zeros fill the last lanes.

    Gives the number of columns in use, whole lanes.
    """
    n = last - first
    filled = -(-n // LANES) * LANES
    for c in range(width):
        column = head * width + c
        for j in range(n):
            target[c, j] = rows[first + j, column]
        for j in range(n, filled):
            target[c, j] = 0
    return filled


@numba.njit(**INNER)
def _products(vector, rows, n, products):
    """Fill the scalar products of one vector with ``n`` others."""
    for c in range(0, len(vector), 4):
        x0, x1, x2, x3 = vector[c], vector[c + 1], vector[c + 2], vector[c + 3]
        r0, r1, r2, r3 = rows[c], rows[c + 1], rows[c + 2], rows[c + 3]
        if c == 0:
            for j in range(n):
                products[j] = x0 * r0[j] + x1 * r1[j] + x2 * r2[j] + x3 * r3[j]
        else:
            for j in range(n):
                products[j] += x0 * r0[j] + x1 * r1[j] + x2 * r2[j] + x3 * r3[j]


@numba.njit(**INNER)
def _powers(scores, highest, n):
    """Replace scores by 2 to the power of what they are above the highest; give their sum."""
    total = np.float32(0)
    for j in range(n):
        power = _exp2(scores[j] - highest)
        scores[j] = power
        total += power
    return total


@numba.njit(**INNER)
def _sums(weights, rows, n, sums):
    """Fill the weighted sums of ``n`` vectors."""
    for c in range(0, len(sums), 4):
        r0, r1, r2, r3 = rows[c], rows[c + 1], rows[c + 2], rows[c + 3]
        s0 = s1 = s2 = s3 = np.float32(0)
        for j in range(n):
            weight = weights[j]
            s0 += weight * r0[j]
            s1 += weight * r1[j]
            s2 += weight * r2[j]
            s3 += weight * r3[j]
        sums[c], sums[c + 1], sums[c + 2], sums[c + 3] = s0, s1, s2, s3


@numba.njit(**INNER)
def _score_slopes(by_weight, used, weights, along, n):
    """Replace derivatives by weights by those by scores."""
    for j in range(n):
        by_weight[j] = used[j] * by_weight[j] - weights[j] * along


@numba.njit(**INNER)
def _add_products(weights, vectors, n, rows):
    """Add multiples of four vectors to ``n`` others."""
    w0, w1, w2, w3 = weights[0], weights[1], weights[2], weights[3]
    for c in range(len(rows)):
        x0, x1, x2, x3 = vectors[0, c], vectors[1, c], vectors[2, c], vectors[3, c]
        row = rows[c]
        for j in range(n):
            row[j] += x0 * w0[j] + x1 * w1[j] + x2 * w2[j] + x3 * w3[j]


@numba.njit(**INNER)
def _columns(starts, first, last):
    """Give the number of columns for the longest event, whole lanes."""
    longest = 0
    for event in range(first, last):
        longest = max(longest, starts[event + 1] - starts[event])
    return -(-longest // LANES) * LANES


@numba.njit(
    f"void({ROWS}, {ROWS}, {ROWS}, {STARTS}, {STARTS}, int64, float32, int64, int64, int64, int64, "
    f"{FILLED}, {FILLED})",
    **KERNEL,
)
def attend(
    queries,
    keys,
    values,
    query_starts,
    key_starts,
    heads,
    scale,
    dropped,
    seed,
    first,
    last,
    out,
    lse,
):
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
    dropped : int
        Weights are dropped with probability ``dropped`` / `SCALES`, the others scaled up.
    seed : int
        Of the draw of weights to drop, 32 bits.
    out : float32, shape (n_queries, d)
        Filled.
    lse : float32, shape (heads, n_queries)
        Filled with the logarithm, base 2, of the sum of exponentials, for `attend_backward`.
    """
    width = queries.shape[1] // heads
    padded = -(-width // 4) * 4
    columns = _columns(key_starts, first, last)
    k = np.zeros((padded, columns), np.float32)
    v = np.zeros((padded, columns), np.float32)
    query = np.zeros(padded, np.float32)
    sums = np.empty(padded, np.float32)
    weights = np.empty(columns, np.float32)
    used = np.empty(columns, np.float32)
    for event in range(first, last):
        key_first, key_last = key_starts[event], key_starts[event + 1]
        n = key_last - key_first
        for head in range(heads):
            filled = _load(keys, key_first, key_last, head, width, k)
            _load(values, key_first, key_last, head, width, v)
            for i in range(query_starts[event], query_starts[event + 1]):
                if n == 0:
                    out[i] = 0
                    lse[:, i] = 0
                    continue
                for c in range(width):
                    query[c] = queries[i, head * width + c] * scale * LOG2_E
                _products(query, k, filled, weights)
                highest = _largest(weights, n)
                weights[n:filled] = NOTHING
                total = _powers(weights, highest, filled)
                if dropped:
                    _drop(seed, head, i, dropped, filled, weights, used)
                    _sums(used, v, filled, sums)
                else:
                    _sums(weights, v, filled, sums)
                for c in range(width):
                    out[i, head * width + c] = sums[c] / total
                lse[head, i] = highest + np.log2(total)


@numba.njit(
    f"void({ROWS}, {ROWS}, {ROWS}, {STARTS}, {STARTS}, int64, float32, int64, int64, int64, int64, "
    f"{FILLED}, {FILLED}, {FILLED}, {FILLED}, {FILLED}, {FILLED})",
    **KERNEL,
)
def attend_backward(
    queries,
    keys,
    values,
    query_starts,
    key_starts,
    heads,
    scale,
    dropped,
    seed,
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
    padded = -(-width // 4) * 4
    columns = _columns(key_starts, first, last)
    k = np.zeros((padded, columns), np.float32)
    v = np.zeros((padded, columns), np.float32)
    by_k = np.empty((width, columns), np.float32)
    by_v = np.empty((width, columns), np.float32)
    query = np.zeros(padded, np.float32)
    slope = np.zeros(padded, np.float32)
    sums = np.empty(padded, np.float32)
    weights = np.empty(columns, np.float32)
    # Four queries are done together before the derivatives of all keys are touched.
    used = np.zeros((4, columns), np.float32)
    by_score = np.zeros((4, columns), np.float32)
    scaled_queries = np.empty((4, width), np.float32)
    given = np.empty((4, width), np.float32)
    for event in range(first, last):
        key_first, key_last = key_starts[event], key_starts[event + 1]
        n = key_last - key_first
        query_first, query_last = query_starts[event], query_starts[event + 1]
        if n == 0:
            query_slopes[query_first:query_last] = 0
            continue
        for head in range(heads):
            filled = _load(keys, key_first, key_last, head, width, k)
            _load(values, key_first, key_last, head, width, v)
            by_k[:, :filled] = 0
            by_v[:, :filled] = 0
            for four in range(query_first, query_last, 4):
                scaled_queries[:] = 0
                given[:] = 0
                for place in range(min(4, query_last - four)):
                    i = four + place
                    along = np.float32(0)
                    for c in range(width):
                        column = head * width + c
                        scaled_queries[place, c] = queries[i, column] * scale
                        query[c] = scaled_queries[place, c] * LOG2_E
                        slope[c] = given[place, c] = slopes[i, column]
                        along += slope[c] * out[i, column]
                    _products(query, k, filled, weights)
                    weights[n:filled] = NOTHING
                    _powers(weights, lse[head, i], filled)
                    if dropped:
                        _drop(seed, head, i, dropped, filled, weights, used[place])
                    else:
                        used[place, :filled] = weights[:filled]
                    _products(slope, v, filled, by_score[place])
                    _score_slopes(by_score[place], used[place], weights, along, filled)
                    _sums(by_score[place], k, filled, sums)
                    for c in range(width):
                        query_slopes[i, head * width + c] = sums[c] * scale
                _add_products(by_score, scaled_queries, filled, by_k)
                _add_products(used, given, filled, by_v)
            for c in range(width):
                column = head * width + c
                for j in range(n):
                    key_slopes[key_first + j, column] = by_k[c, j]
                    value_slopes[key_first + j, column] = by_v[c, j]
