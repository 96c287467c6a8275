"""Taking nodes away one by one, the least or the most connected first, in O(m) (Batagelj & Zaversnik 2003).

A queue lists the nodes by how many neighbours they have left: `order`, its inverse `rank`, the numbers `left`, and
`first[d]`, where those with d neighbours begin.
"""

import numpy as np
from numba import njit

from neuroprune.netsci.adjacency import CODE_BITS, rank_by_degree


@njit(cache=True, nogil=True)
def degree_queue(n, start):  # pragma: no cover
    """Return the queue of all nodes: order, rank, left, first."""
    order, rank = rank_by_degree(n, start)
    left = np.empty(n, np.int64)
    largest = np.int64(0)
    for u in range(n):
        left[u] = start[u + 1] - start[u]
        largest = max(largest, left[u])
    first = np.zeros(largest + 2, np.int64)
    for u in range(n):
        first[left[u] + 1] += 1
    for d in range(largest + 1):
        first[d + 1] += first[d]
    return order, rank, left, first


@njit(cache=True, nogil=True)
def lose_neighbour(v, order, rank, left, first):  # pragma: no cover
    """Let v have one neighbour fewer: it changes places with the first of its kind and joins the kind before."""
    head = first[left[v]]
    w = order[head]
    order[rank[v]], order[head] = w, v
    rank[w], rank[v] = rank[v], head
    first[left[v]] += 1
    left[v] -= 1


@njit(cache=True, nogil=True)
def peel(n, start, packed):  # pragma: no cover
    """Return what each node has left when it is taken, the least connected first: its core number, shape (n,)."""
    order, rank, left, first = degree_queue(n, start)
    for i in range(n):
        u = order[i]
        for e in range(start[u], start[u + 1]):
            v = packed[e] >> CODE_BITS
            if left[v] > left[u]:
                lose_neighbour(v, order, rank, left, first)
    return left


@njit(cache=True, nogil=True)
def hubs_first(n, start, packed):  # pragma: no cover
    """Return the nodes in the order in which they are taken, the most connected first, shape (n,)."""
    order, rank, left, first = degree_queue(n, start)
    taken = np.empty(n, np.int64)
    for i in range(n - 1, -1, -1):
        u = order[i]
        taken[n - 1 - i] = u
        for e in range(start[u], start[u + 1]):
            v = packed[e] >> CODE_BITS
            if rank[v] < i:
                lose_neighbour(v, order, rank, left, first)
    return taken
