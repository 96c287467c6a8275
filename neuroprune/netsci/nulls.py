"""Null models: graphs as random as possible under what they keep of an observed one.

Models that keep degrees are Markov chains of moves from the observed graph, each sample a chain of its own. Attempts
that would make a loop or a parallel edge are rejected and counted as moves: chains that repeat an attempt until it
succeeds are not uniform. Under ``"degree"`` every graph can be reached: what switches and trades cannot do, turning
3-cycles of nodes that all others treat alike, is done by coin flips at the end (igraph #1456).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from neuroprune.core.errors import GraphError
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.nulls_samplers import DEFAULT_BINS, NULLS, Bins, null_sampler, whole

__all__ = ["NULLS", "Mixing", "mixing", "randomize", "sample_nulls", "seed_of"]


def seed_of(rng: Any) -> int:
    """Return an integer that stands for a source of random numbers.

    Parameters
    ----------
    rng : None, int, numpy Generator, BitGenerator or SeedSequence
        An integer stands for itself, a SeedSequence for a hash of it; None is entropy of the system; a generator is
        asked for its next number.

    Returns
    -------
    int
        What is not given as an integer is below 2**53, which every reader of JSON keeps exact.

    Raises
    ------
    GraphError
        If it is none of these, or a negative integer.
    """
    if isinstance(rng, int | np.integer) and not isinstance(rng, bool):
        if rng < 0:
            raise GraphError(f"rng={rng}: a seed must not be negative")
        return int(rng)
    if rng is None:
        rng = np.random.SeedSequence()
    if isinstance(rng, np.random.SeedSequence):
        return int(rng.generate_state(1, np.uint64)[0] >> np.uint64(11))
    if isinstance(rng, np.random.BitGenerator):
        rng = np.random.Generator(rng)
    if isinstance(rng, np.random.Generator):
        return int(rng.integers(2**53))
    raise GraphError(f"rng={rng!r}: it must be None, an integer, a numpy Generator, BitGenerator or SeedSequence")


def randomize(
    graph: Graph,
    null: str = "degree",
    *,
    method: str | None = None,
    moves: int | None = None,
    bins: Bins = DEFAULT_BINS,
    rng: Any = None,
) -> Graph:
    """Draw a graph from a null model.

    Parameters
    ----------
    graph : Graph
        The observed graph. An undirected one stays undirected.
    null : str
        A key of `NULLS`, which says what each model keeps. On afferent networks, from sources to targets,
        ``"degree"`` keeps the degrees of both sides.
    method : {"curveball", "switching"}, optional
        How the chain moves. Curveball is the default where it can be used, for ``"degree"`` of a directed graph: a
        sample of a large graph takes less time than with switching, one of a sparse graph more.
    moves : int, optional
        Attempted switches for each edge, by default 10 (200 under ``"distance"``, where most are rejected), or
        global trades, by default 40. After so many, the numbers of mutual dyads and of triangles have stopped
        changing even with strong hubs; :func:`mixing` tells for a given graph.
    bins : int or sequence of float, default 10
        Classes of length under ``"distance"``: how many, with equally many edges, or their upper edges.
    rng : None, int, Generator or SeedSequence
        Source of random numbers; the same integer gives the same graph.

    Returns
    -------
    Graph
        Weights are dealt at random: among the arcs of the same source where the model keeps degrees of a directed
        graph, so that out-strengths stay, and among all edges otherwise.

    Raises
    ------
    GraphError
        If there is no such model or method, they do not go together, or the graph lacks what the model needs.

    Notes
    -----
    In the long run all graphs that a chain can reach are equally likely. Under ``"degree"`` these are all that the
    model allows [1]_. Under ``"degree+reciprocity"`` and ``"distance"`` that is not proved, but no exception is known
    among small graphs; their chains make up to eight switches in one move, because single ones do not suffice.

    References
    ----------
    .. [1] Rao, Jana & Bandyopadhyay (1996) Sankhya A 58:225 (directed switches and 3-cycles).
    .. [2] Strona et al. (2014) Nat Commun 5:4114; Carstens, Hamann, Meyer, Penschuck, Tran & Wagner (2018) ESA
       (curveball, global trades).
    .. [3] Milo et al. (2002) Science 298:824 (mutual edges kept).

    Examples
    --------
    >>> ring = Graph.from_coo([0, 1, 2, 3], [1, 2, 3, 0])
    >>> sample = randomize(ring, rng=1)
    >>> sample.out_degree.tolist(), sample.in_degree.tolist()
    ([1, 1, 1, 1], [1, 1, 1, 1])
    """
    return null_sampler(graph, null, method=method, moves=moves, bins=bins).sample(seed_of(rng), 0)[0]


def sample_nulls(
    graph: Graph,
    null: str = "degree",
    samples: int = 1000,
    *,
    method: str | None = None,
    moves: int | None = None,
    bins: Bins = DEFAULT_BINS,
    rng: Any = None,
) -> Iterator[Graph]:
    """Draw independent graphs from a null model, each by a chain of its own from the observed graph.

    Parameters
    ----------
    graph, null, method, moves, bins, rng
        As for :func:`randomize`.
    samples : int
        How many. The first ones do not depend on it.

    Yields
    ------
    Graph
    """
    sampler, seed = null_sampler(graph, null, method=method, moves=moves, bins=bins), seed_of(rng)
    return (sampler.sample(seed, index)[0] for index in range(whole("samples", samples, 0)))


@dataclass(frozen=True)
class Mixing:
    """How far chains have come after increasing numbers of moves, means over some of them.

    Parameters
    ----------
    moves : tuple of int
    acceptance : tuple of float
        Fraction of attempts that changed the graph.
    in_place : tuple of float
        Fraction of the observed arcs that a sample still has.
    mutual : tuple of float
        Mutual dyads of a sample.
    triangles : tuple of float
        Triangles of a sample, whatever their direction.
    """

    moves: tuple[int, ...]
    acceptance: tuple[float, ...]
    in_place: tuple[float, ...]
    mutual: tuple[float, ...]
    triangles: tuple[float, ...]

    def __str__(self) -> str:
        lines = [f"{'moves':>6} {'accepted':>9} {'in place':>9} {'mutual':>11} {'triangles':>12}"]
        rows = zip(self.moves, self.acceptance, self.in_place, self.mutual, self.triangles, strict=True)
        lines += [f"{k:6} {a:9.1%} {p:9.1%} {m:11,.1f} {t:12,.1f}" for k, a, p, m, t in rows]
        return "\n".join(lines)


def mixing(
    graph: Graph,
    null: str = "degree",
    *,
    method: str | None = None,
    moves: tuple[int, ...] = (1, 2, 5, 10, 20, 40),
    samples: int = 10,
    bins: Bins = DEFAULT_BINS,
    rng: Any = None,
) -> Mixing:
    """Tell after how many moves samples of a null model stop changing.

    Parameters
    ----------
    graph, null, method, bins, rng
        As for :func:`randomize`.
    moves : tuple of int
        Numbers of moves to compare.
    samples : int
        Chains for each.

    Returns
    -------
    Mixing
        The numbers of moves from which mutual dyads and triangles stay the same are enough.

    Raises
    ------
    GraphError
        If the model is one without moves.
    """
    from neuroprune.netsci.triangles import triangle_sums

    if null_sampler(graph, null, method=method, bins=bins).method is None:
        raise GraphError(f"samples of the null model {null!r} are independent: there is nothing to mix")
    seed = seed_of(rng)
    observed = graph.source.astype(np.int64) * graph.n + graph.target
    rows = []
    for count in moves:
        sampler = null_sampler(graph, null, method=method, moves=count, bins=bins)
        found = []
        for index in range(whole("samples", samples)):
            sample, accepted = sampler.sample(seed, index)
            key = sample.source.astype(np.int64) * graph.n + sample.target
            same = np.isin(key, observed, assume_unique=True).mean() if key.size else np.nan
            mutual = int(sample.dyad_degrees[:, 3].sum()) // 2
            triangles = int(triangle_sums(sample)[0].sum()) // 3
            found.append((accepted / sampler.proposals if sampler.proposals else np.nan, same, mutual, triangles))
        rows.append(np.mean(found, axis=0))
    columns = [tuple(float(x) for x in column) for column in np.array(rows).T]
    return Mixing(tuple(moves), *columns)
