"""Histories: the measures of a graph at every step of its development, from one pass over what lived when."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import ArrayLike

from neuroprune.core.errors import GraphError
from neuroprune.netsci.adjacency import first_of_equal, is_sorted_and_simple, sorting_order
from neuroprune.netsci.clustering import UNDEFINED, closed_fraction
from neuroprune.netsci.graph import Graph
from neuroprune.netsci.history_kernels import (
    build_segments,
    closed_differences,
    events_by_step,
    merge_lives,
    numerator_differences,
    sweep_clustering,
    sweep_dyads,
)
from neuroprune.netsci.ratios import ratio
from neuroprune.netsci.records import record_nodes
from neuroprune.netsci.triads import assemble
from neuroprune.netsci.validation import (
    births_and_deaths,
    node_names,
    node_numbers,
    number_of_nodes,
    number_of_steps,
    step_times,
)
from neuroprune.record.recorder import ALIVE

if TYPE_CHECKING:
    from neuroprune.record import Record

BLOCK_BYTES = 256 * 2**20
"""Memory for the (steps, nodes) table of local clustering; a larger one is done in blocks of steps."""

KINDS = ("undirected", "fagiolo")


class Segments(NamedTuple):
    """Dyads in time, on the forward adjacency; see :mod:`neuroprune.netsci.history_kernels`."""

    start: np.ndarray
    higher: np.ndarray
    segments: np.ndarray


class Counts(NamedTuple):
    """What the census of every step is assembled from."""

    closed: np.ndarray
    wedges: np.ndarray
    dyads: np.ndarray
    defined: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class History:
    """What lived when: the arcs of a graph that changes from step to step.

    Make one with :meth:`from_lives` or :meth:`from_record`; the constructor itself checks nothing.

    Parameters
    ----------
    n : int
        Number of nodes, numbered from 0.
    steps : int
        Number of steps, numbered from 0.
    source, target : array of int32, shape (lives,)
        The arc of each life, ascending in (source, target, birth).
    birth, death : array of int32, shape (lives,)
        An arc lives on ``birth <= step < death``; lives of one arc neither overlap nor adjoin, and deaths after the
        last step are `steps`.
    times : array of float64, shape (steps,)
        When each step is; the step itself where nothing else is known.
    names : tuple of str, length n, or None
        Names of the nodes.
    self_loops : int
        How many lives of self-loops were removed.
    parallel : int
        How many lives were merged into another one of the same arc.
    """

    n: int
    steps: int
    source: np.ndarray
    target: np.ndarray
    birth: np.ndarray
    death: np.ndarray
    times: np.ndarray
    names: tuple[str, ...] | None = None
    self_loops: int = 0
    parallel: int = 0

    # ------------------------------------------------------------------ making one
    @classmethod
    def from_lives(
        cls,
        source: ArrayLike,
        target: ArrayLike,
        birth: ArrayLike | None,
        death: ArrayLike | None,
        n: int | None = None,
        steps: int | None = None,
        times: ArrayLike | None = None,
        *,
        names: Sequence[str] | None = None,
    ) -> "History":
        """Make a history from lives of arcs.

        Parameters
        ----------
        source, target : array_like of int, shape (lives,)
            Node numbers from 0. An arc may have several lives, also at the same time (parallel synapses): it lives
            while any of them does.
        birth : array_like of int, shape (lives,), or None
            First step at which each lives; None where all are there from step 0.
        death : array_like of int, shape (lives,), or None
            First step at which it does not live any more; -1 where it outlives the history, None where all do.
            What dies at its birth never lived.
        n : int, optional
            Number of nodes; by default the largest number, plus one.
        steps : int, optional
            Number of steps; by default as many as it takes to see the last birth and the last death. What is born
            later never lived.
        times : array_like of float, shape (steps,), optional
            When each step is, in any unit; by default its number.
        names : sequence of str, length n, optional
            Unique names of the nodes.

        Raises
        ------
        GraphError
            If the arrays disagree in length or hold no integers, nodes lie outside [0, n), a birth is negative, a
            death is before the birth, or steps or times make no sense.

        Examples
        --------
        >>> history = History.from_lives([0, 1, 0], [1, 2, 2], [0, 0, 1], [-1, 3, -1])
        >>> history
        <History: 3 nodes, 4 steps, 3 lives of 3 arcs>
        >>> history.arcs().tolist(), history.clustering().tolist()
        ([2, 3, 3, 2], [0.0, 1.0, 1.0, 0.0])
        """
        src, dst = node_numbers("source", source), node_numbers("target", target)
        if src.size != dst.size:
            raise GraphError(f"source has {src.size} entries and target {dst.size}: they must agree")
        size = number_of_nodes(src, dst, n)
        born, died = births_and_deaths(birth, death, src.size)
        steps = number_of_steps(born, died, steps)
        src, dst = src.astype(np.int32), dst.astype(np.int32)
        born = np.minimum(born, steps).astype(np.int32)
        died = np.where(died == ALIVE, steps, np.minimum(died, steps)).astype(np.int32)
        proper = src != dst
        lived = proper & (born < died)
        if not lived.all():
            src, dst, born, died = src[lived], dst[lived], born[lived], died[lived]
        lives = src.size
        if not is_sorted_and_simple(src, dst):
            order = np.argsort(born, kind="stable")
            order = order[sorting_order(size, src[order], dst[order])]
            src, dst, born, died = src[order], dst[order], born[order], died[order]
            left = merge_lives(src, dst, born, died)
            src, dst, born, died = src[:left].copy(), dst[:left].copy(), born[:left].copy(), died[:left].copy()
        loops, merged = int(proper.size - proper.sum()), lives - src.size
        return cls(size, steps, src, dst, born, died, step_times(times, steps), node_names(names, size), loops, merged)

    @classmethod
    def from_record(cls, record: "Record") -> "History":
        """Make the history of the connections in the record of a run.

        Step 0 is the start, step k + 1 is after step k of the run; times are ages in days. The graph is bipartite:
        axons are other nodes than cells (:func:`~neuroprune.netsci.records.record_nodes`).
        """
        n, source, target, names = record_nodes(record)
        born = record.connections["birth_step"].values.astype(np.int64)
        died = record.connections["death_step"].values.astype(np.int64)
        steps = record.development.sizes["step"] + 1
        times = [record.clock.age(step) for step in range(steps)]
        died = np.where(died == ALIVE, ALIVE, died + 1)
        return cls.from_lives(source, target, born + 1, died, n, steps, times, names=names)

    # ------------------------------------------------------------------ what it holds
    def graph(self, step: int) -> Graph:
        """Return the graph of the arcs that live at a step.

        Raises
        ------
        GraphError
            If there is no such step.
        """
        if not isinstance(step, int | np.integer) or not 0 <= step < self.steps:
            raise GraphError(f"step {step} does not exist in a history of {self.steps} steps, numbered from 0")
        lives = (self.birth <= step) & (step < self.death)
        return Graph(self.n, self.source[lives], self.target[lives], names=self.names)

    def arcs(self) -> np.ndarray:
        """Return the number of arcs at each step, int64, shape (steps,)."""
        births = np.bincount(self.birth, minlength=self.steps + 1)
        deaths = np.bincount(self.death, minlength=self.steps + 1)
        return np.cumsum(births - deaths)[: self.steps]

    def mean_degree(self) -> np.ndarray:
        """Return the mean number of neighbours of a node, whatever the direction, at each step; NaN without nodes."""
        return ratio(2 * self._counts.dyads.sum(axis=1), np.full(self.steps, self.n))

    def reciprocity(self) -> np.ndarray:
        """Return the fraction of arcs whose reverse lives too, at each step; NaN without arcs."""
        mutual = 2 * self._counts.dyads[:, 1]
        return ratio(mutual, self._counts.dyads[:, 0] + mutual)

    def undefined(self) -> np.ndarray:
        """Return the number of nodes with fewer than two neighbours, which have no clustering, at each step."""
        return self.n - self._counts.defined

    def triad_census(self) -> np.ndarray:
        """Count the induced subgraphs of three nodes at each step.

        Returns
        -------
        array of int64, shape (steps, 16)
            Classes in the order of :data:`neuroprune.netsci.triads.TRIADS`; Python integers (dtype object) where
            ``n`` choose 3 exceeds int64.

        Notes
        -----
        Exact. Each triangle of the graph of all arcs that ever lived is met once and adds what changes in it, so
        the time hardly depends on the number of steps.
        """
        closed, wedges, dyads, _ = self._counts
        return assemble(self.n, closed, wedges, dyads[:, 0], dyads[:, 1])

    def transitivity(self, kind: str = "undirected") -> np.ndarray:
        """Return the fraction of what could close that does, at each step; NaN where nothing could.

        Parameters
        ----------
        kind : {"undirected", "fagiolo"}
            Pairs of neighbours, or directed triangles.
        """
        return closed_fraction(self._counts.closed, self._counts.wedges, kind)

    def clustering(self, kind: str = "undirected", undefined: str = "zero") -> np.ndarray:
        """Return the mean local clustering coefficient at each step.

        Parameters
        ----------
        kind : {"undirected", "fagiolo"}
            As for :func:`neuroprune.netsci.clustering.clustering`.
        undefined : {"zero", "omit"}
            Whether nodes with fewer than two neighbours (:meth:`undefined`) count as 0, or not at all.

        Returns
        -------
        array of float64, shape (steps,)
            NaN for no nodes, or with ``"omit"`` where none has two neighbours.

        Raises
        ------
        GraphError
            If kind or undefined is unknown.
        """
        if kind not in KINDS:
            raise GraphError(f"kind={kind!r}: it must be one of {', '.join(KINDS)}")
        if undefined not in UNDEFINED:
            raise GraphError(f"undefined={undefined!r}: it must be one of {', '.join(UNDEFINED)}")
        total = self._undirected_coefficients if kind == "undirected" else self._fagiolo_coefficients
        return ratio(total, np.full(self.steps, self.n) if undefined == "zero" else self._counts.defined)

    def __repr__(self) -> str:
        lives = self.source.size
        arcs = int(self._first_lives.sum())
        plural = "" if arcs == 1 else "s"
        return f"<History: {self.n:,} nodes, {self.steps:,} steps, {lives:,} lives of {arcs:,} arc{plural}>"

    # ------------------------------------------------------------------ what it is computed from
    @cached_property
    def _first_lives(self) -> np.ndarray:
        """Whether a life is the first of its arc, bool, shape (lives,)."""
        return first_of_equal(self.source, self.target)

    def _segments(self, directed: bool) -> Segments:
        first = self._first_lives
        union = Graph(self.n, self.source[first], self.target[first])
        start, packed, _, _ = union.forward
        life = np.append(np.flatnonzero(first), first.size)
        lives = (life, self.birth, self.death)
        return Segments(*build_segments(self.n, start, packed, *union.forward_arcs, *lives, directed))

    @cached_property
    def _counts(self) -> Counts:
        dyads = self._segments(directed=True)
        closed = np.cumsum(closed_differences(self.n, self.steps, *dyads)[: self.steps], axis=0)
        return Counts(closed, *sweep_dyads(self.n, self.steps, *events_by_step(self.n, self.steps, *dyads)))

    @cached_property
    def _undirected_coefficients(self) -> np.ndarray:
        # Fagiolo's coefficient of a graph in which every dyad is mutual is the undirected one.
        return self._sum_coefficients(self._segments(directed=False))

    @cached_property
    def _fagiolo_coefficients(self) -> np.ndarray:
        return self._sum_coefficients(self._segments(directed=True))

    def _sum_coefficients(self, dyads: Segments) -> np.ndarray:
        """Return the sum of the local coefficients at each step, in blocks of steps."""
        events = events_by_step(self.n, self.steps, *dyads)
        block = max(1, BLOCK_BYTES // (8 * max(self.n, 1)) - 1)
        degrees = np.zeros((self.n, 4), np.int64)
        denominator = np.ones(self.n)
        sums = []
        for since in range(0, self.steps, block):
            change = numerator_differences(self.n, since, min(since + block, self.steps), *dyads)
            sums.append(sweep_clustering(since, *events, change, degrees, denominator))
        return np.concatenate(sums)
