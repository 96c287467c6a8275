"""Products of a sparse matrix in compressed rows with dense vectors, compiled.

Indices are unsigned: the compiler then leaves out Python's wrapping of negative ones, which is half of the time.
"""

import numpy as np
from numba import njit

_0, _1, _2, _3, _4, _5, _6, _7, _8 = (np.uint64(k) for k in range(9))


@njit(cache=True, nogil=True)
def times_rows(starts, columns, values, bias, x, y):  # pragma: no cover
    """Put ``x W^T + bias`` into `y`, one row of `x` after the other.

    Four sums at a time, so that an addition need not wait for the one before.
    """
    for r in range(np.uint64(x.shape[0])):
        row = x[r]
        for i in range(np.uint64(bias.size)):
            s0 = bias[i]
            s1 = s2 = s3 = s0 - s0
            k, end = np.uint64(starts[i]), np.uint64(starts[i + _1])
            while k + _4 <= end:
                s0 += values[k] * row[columns[k]]
                s1 += values[k + _1] * row[columns[k + _1]]
                s2 += values[k + _2] * row[columns[k + _2]]
                s3 += values[k + _3] * row[columns[k + _3]]
                k += _4
            while k < end:
                s0 += values[k] * row[columns[k]]
                k += _1
            y[r, i] = (s0 + s1) + (s2 + s3)


@njit(cache=True, nogil=True)
def transpose(x, out):  # pragma: no cover
    """Put the transposed `x` into `out`, eight rows at a time, so that whole pieces of a cache line are written."""
    n, m = np.uint64(x.shape[0]), np.uint64(x.shape[1])
    r = _0
    while r + _8 <= n:
        for c in range(m):
            out[c, r] = x[r, c]
            out[c, r + _1] = x[r + _1, c]
            out[c, r + _2] = x[r + _2, c]
            out[c, r + _3] = x[r + _3, c]
            out[c, r + _4] = x[r + _4, c]
            out[c, r + _5] = x[r + _5, c]
            out[c, r + _6] = x[r + _6, c]
            out[c, r + _7] = x[r + _7, c]
        r += _8
    while r < n:
        for c in range(m):
            out[c, r] = x[r, c]
        r += _1


@njit(cache=True, nogil=True, fastmath={"contract"})
def times_batch(starts, columns, values, bias, x, y):  # pragma: no cover
    """Put ``x W^T + bias`` into `y` for many rows of `x` at once.

    Transposed, a row holds one input of the whole batch. Each connection adds a multiple of such a row to another:
    arithmetic on vectors, whatever the pattern of connections. Four at a time, so that sums are read and written a
    fourth as often.
    """
    n = np.uint64(x.shape[0])
    inputs = np.empty((x.shape[1], x.shape[0]), x.dtype)
    outputs = np.empty((y.shape[1], y.shape[0]), y.dtype)
    transpose(x, inputs)
    for i in range(np.uint64(bias.size)):
        out = outputs[i]
        for b in range(n):
            out[b] = bias[i]
        k, end = np.uint64(starts[i]), np.uint64(starts[i + _1])
        while k + _4 <= end:
            w0, w1, w2, w3 = values[k], values[k + _1], values[k + _2], values[k + _3]
            x0, x1 = inputs[columns[k]], inputs[columns[k + _1]]
            x2, x3 = inputs[columns[k + _2]], inputs[columns[k + _3]]
            for b in range(n):
                out[b] += w0 * x0[b] + w1 * x1[b] + w2 * x2[b] + w3 * x3[b]
            k += _4
        while k < end:
            w0, x0 = values[k], inputs[columns[k]]
            for b in range(n):
                out[b] += w0 * x0[b]
            k += _1
    transpose(outputs, y)
