"""What a call of each kind costs on a machine, fitted to timings: ``t = a F / peak + b B / bandwidth + c``."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from scipy.optimize import nnls

from neuroprune.bridge.roofline.ceilings import Ceilings
from neuroprune.bridge.roofline.work import Call, LayerWork

_TERMS = ("overhead", "flops", "weights", "activations", "patches", "elements", "pieces")
"""What the time of a call is the sum of."""
_ACTIVATIONS = _TERMS.index("activations")
MODULE = "module"
"""Kind of what it costs to call a module, whatever it computes."""
_FEWEST = 6
"""Timings that a kind is fitted to."""
_GRANULARITIES = (1, 8, 16)
"""Widths of which products are computed in multiples: of none, or of what fits into a vector register."""
_BETTER = 0.9
"""A granularity must bring the error below this share of that without."""
_FLOOR, _UNSURE = 0.02, 0.1
"""Relative errors of timings, and of what is predicted beside overhead."""
_MOST_ACTIVATIONS = 2.0
"""Times that activations cost at most of what moving them takes; what costs more is work on each number."""
_EXTRA = 10.0
"""How large extras in networks may be, in calls of a module: the standard deviation of their prior."""
_ITERATIONS = 30


@dataclass(frozen=True)
class Parts:
    """What the time of a call is spent on, in seconds.

    Parameters
    ----------
    compute : float
        What grows with the work and is no memory traffic that must be: arithmetic, and looking up its operands.
    memory : float
        What moving its bytes once takes at the bandwidth measured for its working set.
    overhead : float
        The call itself, which is the same for any size.
    """

    compute: float = 0.0
    memory: float = 0.0
    overhead: float = 0.0

    @property
    def seconds(self) -> float:
        """All of it."""
        return self.compute + self.memory + self.overhead

    @property
    def bound(self) -> str:
        """The largest part: ``compute``, ``memory`` or ``overhead``."""
        return max(("overhead", "memory", "compute"), key=lambda part: getattr(self, part))

    def __add__(self, other: "Parts") -> "Parts":
        return Parts(self.compute + other.compute, self.memory + other.memory, self.overhead + other.overhead)


@dataclass(frozen=True)
class Cost:
    """What calls of a kind cost, as multiples of what the ceilings allow.

    Parameters
    ----------
    overhead : float
        Seconds of a call, over and over the same.
    flops : float
        Of the time that its operations take at the peak.
    weights, activations : float
        Of the time that these bytes take at the bandwidth of their working set.
    patches, elements : float
        Of the time that patches, and activations, take at the highest bandwidth: for work on each of their numbers,
        wherever they are.
    pieces : float
        Seconds for each piece.
    granularity : int
        Widths are computed in multiples of it.
    in_network : float
        Seconds more where other calls come between, so that code and operands have left the nearest caches.
    error : float
        Median relative error over the timings that it is fitted to.
    n : int
        Number of these.
    """

    overhead: float
    flops: float = 1.0
    weights: float = 1.0
    activations: float = 1.0
    patches: float = 0.0
    elements: float = 0.0
    pieces: float = 0.0
    granularity: int = 1
    in_network: float = 0.0
    error: float = 0.0
    n: int = 0

    def parts(self, call: Call, ceilings: Ceilings, working_set: int = 0, *, in_network: bool = False) -> Parts:
        """Return what a call's time is spent on.

        Parameters
        ----------
        call : Call
        ceilings : Ceilings
        working_set : int
            Bytes that the network goes through before it comes back to the same weights; at least those of the call.
        in_network : bool
            Whether other calls come between.
        """
        terms = _terms(call, ceilings, self.granularity, working_set)
        _, flops, weights, activations, patches, elements, pieces = terms
        memory = weights * min(1.0, self.weights) + activations * min(1.0, self.activations)
        moving = weights * self.weights + activations * self.activations
        work = flops * self.flops + patches * self.patches + elements * self.elements + pieces * self.pieces
        return Parts(work + moving - memory, memory, self.overhead + (self.in_network if in_network else 0.0))

    def as_dict(self) -> dict[str, Any]:
        """Return what JSON can hold."""
        return asdict(self)


def _terms(call: Call, ceilings: Ceilings, granularity: int, working_set: int) -> tuple[float, ...]:
    """Return the time of each term of the model with a factor of 1."""
    padded = -(-call.width // granularity) * granularity / call.width
    size = max(1, call.bytes)
    return (
        1.0,
        call.flops * padded / ceilings.peak,
        call.weights / ceilings.read.at(max(size, working_set)),
        (call.inputs + call.outputs) / ceilings.triad.at(size),
        call.patches / max(ceilings.triad.rates),
        (call.inputs + call.outputs) / max(ceilings.triad.rates),
        float(call.pieces),
    )


def fit_cost(calls: Sequence[Call], seconds: Sequence[float], ceilings: Ceilings) -> Cost:
    """Fit what calls of a kind cost.

    Parameters
    ----------
    calls : sequence of Call
        Of one kind.
    seconds : sequence of float
        What each takes when it is repeated.
    ceilings : Ceilings

    Notes
    -----
    Least absolute relative errors with factors that are not negative, by reweighted least squares. The granularity is
    the smallest that is not beaten by a tenth.
    """
    best: tuple[float, Cost] | None = None
    for granularity in _GRANULARITIES:
        terms = np.array([_terms(call, ceilings, granularity, 0) for call in calls])
        factors, errors = _fit_bounded(terms, np.asarray(seconds))
        if best is None or errors.mean() < _BETTER * best[0]:
            fitted = dict(zip(_TERMS, map(float, factors), strict=True))
            cost = Cost(**fitted, granularity=granularity, error=float(np.median(errors)), n=len(calls))
            best = (float(errors.mean()), cost)
    assert best is not None
    return best[1]


def fit_costs(timed: Iterable[tuple[Call, float]], ceilings: Ceilings) -> dict[str, Cost]:
    """Fit what calls cost, for each kind that there are enough timings of."""
    by_kind: dict[str, list[tuple[Call, float]]] = {}
    for call, seconds in timed:
        by_kind.setdefault(call.kind, []).append((call, seconds))
    return {
        kind: fit_cost([call for call, _ in timings], [seconds for _, seconds in timings], ceilings)
        for kind, timings in by_kind.items()
        if len(timings) >= _FEWEST
    }


def fit_in_network(
    networks: Sequence[Sequence[LayerWork]], seconds: Sequence[float], costs: Mapping[str, Cost], ceilings: Ceilings
) -> dict[str, Cost]:
    """Return costs with what calls cost more in a network, such that whole networks take the time that they took.

    Parameters
    ----------
    networks : sequence of what :func:`intensity` returns, as sequences
    seconds : sequence of float
        What each takes.
    costs : mapping of str to Cost
        With :data:`MODULE`.
    ceilings : Ceilings

    Notes
    -----
    A network counts the less the more of its time is not overhead, of which the prediction errs by about a tenth.
    Least squares with extras that are not negative, drawn to 0 as far as networks say nothing else; a kind that is in
    none of them has the median of the others.
    """
    kinds = list(costs)
    numbers, overheads, rest = np.zeros((len(networks), len(kinds))), np.zeros(len(networks)), np.zeros(len(networks))
    for row, layers in enumerate(networks):
        size = working_set(layers)
        for layer in layers:
            numbers[row, kinds.index(MODULE)] += layer.modules
            overheads[row] += layer.modules * costs[MODULE].overhead
            for call in layer.calls:
                kind = find_kind(call.kind, costs)
                if kind is not None:
                    parts = costs[kind].parts(call, ceilings, size)
                    numbers[row, kinds.index(kind)] += 1
                    overheads[row] += parts.overhead
                    rest[row] += parts.compute + parts.memory
    took = np.asarray(seconds)
    unsure = _FLOOR * took + _UNSURE * rest
    prior = np.eye(len(kinds)) / (_EXTRA * costs[MODULE].overhead)
    rows = np.vstack([numbers / unsure[:, None], prior])
    right = np.concatenate([(took - overheads - rest) / unsure, np.zeros(len(kinds))])
    scale = 1 / prior[0, 0]  # so that the solver sees numbers of ordinary size
    extras = nnls(rows * scale, right)[0] * scale
    present = numbers.any(0)
    extras[~present] = np.median(extras[present])
    return {kind: replace(costs[kind], in_network=float(extra)) for kind, extra in zip(kinds, extras, strict=True)}


def find_kind(kind: str, costs: Mapping[str, Cost]) -> str | None:
    """Return the kind whose costs are known that is most like a kind: itself, or one by another implementation."""
    if kind in costs:
        return kind
    return next((known for known in costs if known.partition(" (")[0] == kind.partition(" (")[0]), None)


def working_set(layers: Iterable[LayerWork]) -> int:
    """Return the bytes that a network goes through before it comes to the same weights again."""
    calls = [call for layer in layers for call in layer.calls]
    return sum(c.weights for c in calls) + max((c.inputs + c.outputs for c in calls), default=0)


def _fit_bounded(terms: np.ndarray, took: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Fit factors >= 0, that of activations at most :data:`_MOST_ACTIVATIONS`; return them and relative errors."""
    factors, errors = _fit_relative(terms, took)
    if factors[_ACTIVATIONS] > _MOST_ACTIVATIONS:
        known = _MOST_ACTIVATIONS * terms[:, _ACTIVATIONS]
        others = terms.copy()
        others[:, _ACTIVATIONS] = 0
        factors, errors = _fit_relative(others, took, known)
        factors[_ACTIVATIONS] = _MOST_ACTIVATIONS
    return factors, errors


def _fit_relative(
    terms: np.ndarray, took: np.ndarray, known: np.ndarray | float = 0.0
) -> tuple[np.ndarray, np.ndarray]:
    """Fit factors >= 0 of terms to times, of which a part is known; return them and relative errors.

    Least absolute relative errors, by reweighted least squares; those below :data:`_FLOOR` are squared.
    """
    A, b = terms / took[:, None], 1 - known / took
    scale = np.where(A.max(0) > 0, A.max(0), 1.0)
    weight = np.ones(len(took))
    factors, errors = np.zeros(A.shape[1]), np.ones(len(took))
    for _ in range(_ITERATIONS):
        factors = nnls(A / scale * weight[:, None], b * weight)[0] / scale
        errors = np.abs(A @ factors - b)
        weight = 1 / np.sqrt(np.maximum(errors, _FLOOR))
    return factors, errors
