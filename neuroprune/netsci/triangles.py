"""Sums over the triangles at each node, along the forward adjacency (kernels of the clustering coefficients).

Every kernel returns its sums by rank. Two of them count the same thing in two ways, because no single way is
fast everywhere: a test for each closing edge costs least where few close, a loop without branches, which is
vectorised but walks the graph twice, where many do.
"""

import numpy as np
from numba import njit

from neuroprune.netsci.adjacency import CODE_BITS, CODE_MASK, reverse
from neuroprune.netsci.graph import Graph

CLOSING_LIMIT = 0.2
"""Fraction of two-edge paths that close above which the loop without branches is faster (measured)."""

ONE = np.uint32(1)
PRESENT = np.uint32(1 << 16)


@njit(cache=True, nogil=True)
def closing_fraction(n, start, packed, stride):  # pragma: no cover
    """Return the fraction of forward paths u-v-w that close, from every `stride`-th node u."""
    seen = np.zeros(n, np.uint8)
    closed = np.int64(0)
    paths = np.int64(0)
    for u in range(0, n, stride):
        lo, hi = start[u], start[u + 1]
        for e in range(lo, hi):
            seen[packed[e] >> CODE_BITS] = 1
        for e in range(lo, hi):
            v = packed[e] >> CODE_BITS
            paths += start[v + 1] - start[v]
            for f in range(start[v], start[v + 1]):
                closed += np.int64(seen[packed[f] >> CODE_BITS])
        for e in range(lo, hi):
            seen[packed[e] >> CODE_BITS] = 0
    return closed / paths if paths else 0.0


@njit(cache=True, nogil=True)
def sums_where_few_close(n, start, packed):  # pragma: no cover
    """Return the triangles at each node, and the sum of their products of dyad multiplicities (1 or 2)."""
    seen = np.zeros(n, np.uint8)
    triangles = np.zeros(n, np.int64)
    products = np.zeros(n, np.int64)
    for u in range(n):
        lo, hi = start[u], start[u + 1]
        if hi - lo < 2:
            continue
        for e in range(lo, hi):
            seen[packed[e] >> CODE_BITS] = ONE + (packed[e] & CODE_MASK) // CODE_MASK
        t_u = np.int64(0)
        p_u = np.int64(0)
        for e in range(lo, hi):
            v = packed[e] >> CODE_BITS
            m_uv = np.int64(ONE + (packed[e] & CODE_MASK) // CODE_MASK)
            t_v = np.int64(0)
            p_v = np.int64(0)
            for f in range(start[v], start[v + 1]):
                x = packed[f]
                w = x >> CODE_BITS
                m_uw = np.int64(seen[w])
                if m_uw:
                    p = m_uv * m_uw * np.int64(ONE + (x & CODE_MASK) // CODE_MASK)
                    triangles[w] += 1
                    products[w] += p
                    t_v += 1
                    p_v += p
            triangles[v] += t_v
            products[v] += p_v
            t_u += t_v
            p_u += p_v
        triangles[u] += t_u
        products[u] += p_u
        for e in range(lo, hi):
            seen[packed[e] >> CODE_BITS] = 0
    return triangles, products


@njit(cache=True, nogil=True)
def backward_rows(n, start, packed):  # pragma: no cover
    """Return the rows of neighbours of lower rank, from the forward rows."""
    b_start = np.zeros(n + 1, np.int64)
    for e in range(packed.size):
        b_start[(packed[e] >> CODE_BITS) + 1] += 1
    for u in range(n):
        b_start[u + 1] += b_start[u]
    place = b_start[:-1].copy()
    b_packed = np.empty(packed.size, np.uint32)
    for u in range(n):
        for e in range(start[u], start[u + 1]):
            w = packed[e] >> CODE_BITS
            b_packed[place[w]] = (np.uint32(u) << CODE_BITS) | reverse(packed[e] & CODE_MASK)
            place[w] += 1
    return b_start, b_packed


@njit(cache=True, nogil=True)
def add_sums_without_branches(n, start, packed, triangles, products, to_both):  # pragma: no cover
    """Add the triangles of each row's owner u, and of the neighbour v between u and w if `to_both`."""
    seen = np.zeros(n, np.uint32)  # PRESENT, plus the multiplicity of the dyad
    for u in range(n):
        lo, hi = start[u], start[u + 1]
        if hi - lo < 2:
            continue
        for e in range(lo, hi):
            seen[packed[e] >> CODE_BITS] = PRESENT + ONE + (packed[e] & CODE_MASK) // CODE_MASK
        t_u = np.int64(0)
        p_u = np.int64(0)
        for e in range(lo, hi):
            v = packed[e] >> CODE_BITS
            m_uv = np.int64(ONE + (packed[e] & CODE_MASK) // CODE_MASK)
            row = packed[start[v] : start[v + 1]]
            t = np.uint32(0)
            p = np.uint32(0)
            for i in range(row.size):
                x = row[i]
                found = seen[x >> CODE_BITS]
                t += found >> np.uint32(16)
                p += (found & CODE_MASK) * (ONE + ((x & (x >> ONE)) & ONE))
            t_u += np.int64(t)
            p_u += m_uv * np.int64(p)
            if to_both:
                triangles[v] += np.int64(t)
                products[v] += m_uv * np.int64(p)
        triangles[u] += t_u
        products[u] += p_u
        for e in range(lo, hi):
            seen[packed[e] >> CODE_BITS] = np.uint32(0)


def triangle_sums(graph: Graph) -> tuple[np.ndarray, np.ndarray]:
    """Return the triangles at each node, and the sum of the products of their dyad multiplicities.

    Parameters
    ----------
    graph : Graph

    Returns
    -------
    triangles, products : array of int64, shape (n,)
        A dyad has multiplicity 2 where it is mutual, 1 where it is not.
    """
    n, (start, packed, order, _) = graph.n, graph.forward
    if closing_fraction(n, start, packed, max(1, n // 64)) < CLOSING_LIMIT:
        triangles, products = sums_where_few_close(n, start, packed)
    else:
        triangles, products = np.zeros(n, np.int64), np.zeros(n, np.int64)
        add_sums_without_branches(n, start, packed, triangles, products, True)  # u and v of u < v < w
        add_sums_without_branches(n, *backward_rows(n, start, packed), triangles, products, False)  # w
    return by_node(triangles, order), by_node(products, order)


def by_node(by_rank: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Return values of ranks as values of nodes, along the first axis."""
    values = np.empty_like(by_rank)
    values[order] = by_rank
    return values


@njit(cache=True, nogil=True)
def product_sums(n, start, packed, value):  # pragma: no cover
    """Return for each node the sum over its triangles of the product of three symmetric dyad values."""
    sums = np.zeros(n)
    seen = np.zeros(n)
    for u in range(n):
        lo, hi = start[u], start[u + 1]
        if hi - lo < 2:
            continue
        for e in range(lo, hi):
            seen[packed[e] >> CODE_BITS] = value[e]
        s_u = 0.0
        for e in range(lo, hi):
            v = packed[e] >> CODE_BITS
            s_v = 0.0
            for f in range(start[v], start[v + 1]):
                w = packed[f] >> CODE_BITS
                if seen[w] != 0.0:
                    p = seen[w] * value[f] * value[e]
                    sums[w] += p
                    s_v += p
            sums[v] += s_v
            s_u += s_v
        sums[u] += s_u
        for e in range(lo, hi):
            seen[packed[e] >> CODE_BITS] = 0.0
    return sums


@njit(cache=True, nogil=True)
def adjacent_sums(n, start, packed, value):  # pragma: no cover
    """Return for each node the sum over its triangles of the values of the two dyads that meet there."""
    sums = np.zeros(n)
    seen = np.zeros(n)
    for u in range(n):
        lo, hi = start[u], start[u + 1]
        if hi - lo < 2:
            continue
        for e in range(lo, hi):
            seen[packed[e] >> CODE_BITS] = value[e]
        for e in range(lo, hi):
            v = packed[e] >> CODE_BITS
            for f in range(start[v], start[v + 1]):
                w = packed[f] >> CODE_BITS
                if seen[w] != 0.0:
                    sums[u] += value[e] + seen[w]
                    sums[v] += value[e] + value[f]
                    sums[w] += seen[w] + value[f]
        for e in range(lo, hi):
            seen[packed[e] >> CODE_BITS] = 0.0
    return sums


@njit(cache=True, nogil=True)
def role_sums(n, start, packed, outward, inward):  # pragma: no cover
    """Return for each node the products of arc values over the directed triangles in which it has each role.

    Columns: cycle, middleman, in, out (Fagiolo 2007), and the plain sum of the arcs opposite to the node.
    """
    sums = np.zeros((n, 5))
    place = np.zeros(n, np.int64)
    corners = np.empty((3, 6))
    nodes = np.empty(3, np.int64)
    for u in range(n):
        lo, hi = start[u], start[u + 1]
        if hi - lo < 2:
            continue
        for e in range(lo, hi):
            place[packed[e] >> CODE_BITS] = e + 1
        nodes[0] = u
        for e in range(lo, hi):
            v = packed[e] >> CODE_BITS
            nodes[1] = v
            for f in range(start[v], start[v + 1]):
                nodes[2] = packed[f] >> CODE_BITS
                g = place[nodes[2]] - 1
                if g < 0:
                    continue
                # Each corner i sees its arcs i->j, j->i, i->k, k->i and the opposite ones j->k, k->j.
                uv, vu, uw, wu, vw, wv = outward[e], inward[e], outward[g], inward[g], outward[f], inward[f]
                corners[0] = (uv, vu, uw, wu, vw, wv)
                corners[1] = (vu, uv, vw, wv, uw, wu)
                corners[2] = (wu, uw, wv, vw, uv, vu)
                for c in range(3):
                    ij, ji, ik, ki, jk, kj = corners[c]
                    i = nodes[c]
                    sums[i, 0] += ij * jk * ki + ik * kj * ji
                    sums[i, 1] += ij * kj * ki + ik * jk * ji
                    sums[i, 2] += ji * ki * (jk + kj)
                    sums[i, 3] += ij * ik * (jk + kj)
                    sums[i, 4] += jk + kj
        for e in range(lo, hi):
            place[packed[e] >> CODE_BITS] = 0
    return sums
