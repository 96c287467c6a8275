"""Kernels that draw graphs at random: random numbers, sets of pairs of nodes, edge switching, sampling of pairs.

Every kernel takes the state of its own generator, four words that :func:`numpy.random.SeedSequence.generate_state`
fills, and advances it in place.
"""

from typing import Any

import numpy as np
from llvmlite import ir
from numba import njit, types
from numba.extending import intrinsic

DENSE_PAIRS = np.int64(1) << np.int64(29)
"""Most ordered pairs of nodes for which a set holds one bit each, 64 MiB (23,170 nodes)."""

ABSENT = np.uint64(0xFFFF_FFFF_FFFF_FFFF)
"""What an empty slot of a hashed set holds."""

BATCH = 32
"""Attempts whose memory is fetched ahead together."""

ORDERED, UNORDERED = None, True
"""Whether (u, v) and (v, u) are two pairs or one; of different type, so that kernels are compiled for each."""

ZERO, ONE, SIX, THIRTY_TWO, LAST_BIT = (np.uint64(x) for x in (0, 1, 6, 32, 63))
LOW_HALF = np.uint64(0xFFFF_FFFF)
GOLDEN = np.uint64(0x9E37_79B9_7F4A_7C15)


# ---------------------------------------------------------------------- random numbers
@njit(cache=True, nogil=True)
def next64(state):  # pragma: no cover
    """Return 64 random bits: xoshiro256++ of Blackman & Vigna (2021)."""
    s0, s1, s2, s3 = state[0], state[1], state[2], state[3]
    total = s0 + s3
    result = ((total << np.uint64(23)) | (total >> np.uint64(41))) + s0
    shifted = s1 << np.uint64(17)
    s2 ^= s0
    s3 ^= s1
    state[1] = s1 ^ s2
    state[0] = s0 ^ s3
    state[2] = s2 ^ shifted
    state[3] = (s3 << np.uint64(45)) | (s3 >> np.uint64(19))
    return result


@njit(cache=True, nogil=True)
def below(state, bound):  # pragma: no cover
    """Return an unbiased random integer in [0, bound), 0 < bound < 2**32, by the method of Lemire (2019)."""
    size = np.uint64(bound)
    product = (next64(state) >> THIRTY_TWO) * size
    if (product & LOW_HALF) < size:
        uneven = (ONE << THIRTY_TWO) % size
        while (product & LOW_HALF) < uneven:
            product = (next64(state) >> THIRTY_TWO) * size
    return np.int64(product >> THIRTY_TWO)


# ---------------------------------------------------------------------- sets of pairs of nodes
@njit(cache=True, nogil=True)
def pair_key(n, u, v, order):  # pragma: no cover
    """Return the number of a pair, `order` being `ORDERED` or `UNORDERED`."""
    if order is not None:
        u, v = min(u, v), max(u, v)
    return np.uint64(u) * np.uint64(n) + np.uint64(v)


def pair_set(n: int, size: int) -> tuple[np.ndarray, np.uint64 | None]:
    """Return the table of an empty set that will hold up to `size` pairs of `n` nodes, and its shift.

    With few nodes the table has a bit for each pair, and the shift is None, so that kernels are compiled apart. With
    many it is a hash table, half empty, with linear probing, whose first slot for a key is ``key * GOLDEN >> shift``.
    """
    if n * n <= DENSE_PAIRS:
        return np.zeros((n * n >> 6) + 1, np.uint64), None
    bits = max(4, (2 * size - 1).bit_length())
    return np.full(1 << bits, ABSENT, np.uint64), np.uint64(64 - bits)


@njit(cache=True, nogil=True)
def first_slot(shift, key):  # pragma: no cover
    """Return where in the table the search for a key begins."""
    if shift is None:
        return key >> SIX
    return (key * GOLDEN) >> shift


@njit(cache=True, nogil=True)
def contains(table, shift, key):  # pragma: no cover
    """Return whether a pair is in the set."""
    slot = first_slot(shift, key)
    if shift is None:
        return (table[slot] >> (key & LAST_BIT)) & ONE == ONE
    last = np.uint64(table.size - 1)
    while table[slot] != ABSENT:
        if table[slot] == key:
            return True
        slot = (slot + ONE) & last
    return False


@njit(cache=True, nogil=True)
def add(table, shift, key):  # pragma: no cover
    """Add a pair that is not in the set."""
    slot = first_slot(shift, key)
    if shift is None:
        table[slot] |= ONE << (key & LAST_BIT)
    else:
        last = np.uint64(table.size - 1)
        while table[slot] != ABSENT:
            slot = (slot + ONE) & last
        table[slot] = key


@njit(cache=True, nogil=True)
def discard(table, shift, key):  # pragma: no cover
    """Remove a pair that is in the set; in a hash table, those behind it move up so that no search stops early."""
    hole = first_slot(shift, key)
    if shift is None:
        table[hole] &= ~(ONE << (key & LAST_BIT))
    else:
        last = np.uint64(table.size - 1)
        while table[hole] != key:
            hole = (hole + ONE) & last
        slot = (hole + ONE) & last
        while table[slot] != ABSENT:
            if ((slot - first_slot(shift, table[slot])) & last) >= ((slot - hole) & last):
                table[hole] = table[slot]
                hole = slot
            slot = (slot + ONE) & last
        table[hole] = ABSENT


# ---------------------------------------------------------------------- switching
def _prefetch(typingctx: Any, array: Any, index: Any) -> Any:  # pragma: no cover
    """Generate the instruction that asks for the cache line of an entry of an array."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        data = context.make_array(signature.args[0])(context, builder, arguments[0]).data
        address = builder.bitcast(builder.gep(data, [arguments[1]]), ir.IntType(8).as_pointer())
        word = ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [address.type, word, word, word])
        function = builder.module.declare_intrinsic("llvm.prefetch", [address.type], kind)
        builder.call(function, [address, *(ir.Constant(word, x) for x in (0, 3, 1))])
        return context.get_dummy_value()

    return types.void(array, index), generate


prefetch: Any = intrinsic(_prefetch)


def packed(tail: np.ndarray, head: np.ndarray) -> np.ndarray:
    """Return edges as one word each, ``tail << 32 | head``."""
    return (tail.astype(np.uint64) << THIRTY_TWO) | head.astype(np.uint64)


def unpacked(edges: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the two ends of packed edges, int32."""
    return (edges >> THIRTY_TWO).astype(np.int32), (edges & LOW_HALF).astype(np.int32)


@njit(cache=True, nogil=True)
def add_edges(n, edges, order, table, shift):  # pragma: no cover
    """Add packed edges to a set of pairs."""
    for e in range(edges.size):
        add(table, shift, pair_key(n, edges[e] >> THIRTY_TWO, edges[e] & LOW_HALF, order))


@njit(cache=True, nogil=True)
def turned(edge, coin):  # pragma: no cover
    """Return a packed edge, its ends exchanged where the coin is 1; without a branch, which coins would mislead."""
    exchanged = (edge << THIRTY_TWO) | (edge >> THIRTY_TWO)
    return edge ^ ((edge ^ exchanged) & (ZERO - (coin & ONE)))


@njit(cache=True, nogil=True)
def switch_edges(n, edges, directed, order, table, shift, sweeps, state):  # pragma: no cover
    """Switch ends of packed edges, in place, and return how many attempts succeeded.

    In a sweep each edge a-b in turn meets an edge c-d drawn at random; they become a-d and c-b unless that makes a
    loop or an edge that exists. Edges that are not directed are turned round half the time before. Which edges meet
    does not depend on the graph and a switch undoes itself, so all graphs within reach are equally likely in the
    long run. Edges exclude each other where they are the same pair under `order`; those that exist are in the set of
    `table` and `shift`.

    The time is that of fetching random memory. So the edges of a batch are drawn first, and what they will touch is
    fetched while others are worked on.
    """
    partner = np.empty(BATCH, np.uint64)
    accepted = 0
    for _ in range(sweeps):
        for first in range(0, edges.size, BATCH):
            batch = edges[first : first + BATCH]
            coins = ZERO if directed else next64(state)
            for i in range(batch.size):
                partner[i] = below(state, edges.size)
                prefetch(edges, partner[i])
            for i in range(batch.size):
                x, y = batch[i], edges[partner[i]]
                if not directed:
                    y = turned(y, coins >> np.uint64(i))
                a, b, c, d = x >> THIRTY_TWO, x & LOW_HALF, y >> THIRTY_TWO, y & LOW_HALF
                prefetch(table, first_slot(shift, pair_key(n, a, b, order)))
                prefetch(table, first_slot(shift, pair_key(n, c, d, order)))
                prefetch(table, first_slot(shift, pair_key(n, a, d, order)))
                prefetch(table, first_slot(shift, pair_key(n, c, b, order)))
            for i in range(batch.size):
                x, y = batch[i], edges[partner[i]]
                if not directed:
                    y = turned(y, coins >> np.uint64(i))
                a, b, c, d = x >> THIRTY_TWO, x & LOW_HALF, y >> THIRTY_TWO, y & LOW_HALF
                ad, cb = pair_key(n, a, d, order), pair_key(n, c, b, order)
                if a == d or c == b or contains(table, shift, ad) or contains(table, shift, cb):
                    continue
                discard(table, shift, pair_key(n, a, b, order))
                discard(table, shift, pair_key(n, c, d, order))
                add(table, shift, ad)
                add(table, shift, cb)
                batch[i] = (a << THIRTY_TWO) | d
                edges[partner[i]] = (c << THIRTY_TWO) | b
                accepted += 1
    return accepted


# ---------------------------------------------------------------------- sampling
@njit(cache=True, nogil=True)
def sample_pairs(n, size, order, table, shift, state):  # pragma: no cover
    """Return the two nodes of `size` different pairs of different nodes, all sets of pairs equally likely, unsorted.

    Pairs are drawn until there are enough. Where that is more than half of all, those left out are drawn instead.
    `table` and `shift` are those of an empty set.
    """
    pairs = n * (n - 1) if order is None else n * (n - 1) // 2
    drawn = min(size, pairs - size)
    tail = np.empty(size, np.int32)
    head = np.empty(size, np.int32)
    k = 0
    while k < drawn:
        u, v = below(state, n), below(state, n - 1)
        v += v >= u
        key = pair_key(n, u, v, order)
        if not contains(table, shift, key):
            add(table, shift, key)
            if drawn == size:
                tail[k], head[k] = u, v
            k += 1
    if drawn < size:
        k = 0
        for u in range(n):
            for v in range(0 if order is None else u + 1, n):
                if u != v and not contains(table, shift, pair_key(n, u, v, order)):
                    tail[k], head[k] = u, v
                    k += 1
    return tail, head
