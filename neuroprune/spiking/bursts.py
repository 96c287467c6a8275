"""Spontaneous activity of young afferents: bursts of axons that are correlated within groups.

Spike trains are drawn by the counter-based generator, so they are the same for every engine.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from neuroprune.core.randomness import derive_seed

Pattern = Literal["natural", "uniform", "uncorrelated"]
"""Activity as described, one train for all axons, or every axon by itself."""


_MOST_SPIKES = 6
"""Spikes that a burst has at most."""


@dataclass(frozen=True)
class Bursts:
    """Bursting activity of axons at one age.

    Parameters
    ----------
    rate : float
        Bursts per second of an axon.
    correlation : float
        Probability that another axon of the group bursts with a given burst, 0 to 1.
    jitter : float
        SD in seconds of a burst's time about the common event.
    spikes_per_burst : float
        Mean number, 1 to 6.
    intraburst_rate : float
        Spikes per second inside a burst.
    dt : float
        Time step in seconds; no axon fires twice in one.
    pattern : {"natural", "uniform", "uncorrelated"}
    """

    rate: float
    correlation: float
    jitter: float
    spikes_per_burst: float
    intraburst_rate: float
    dt: float = 1e-4
    pattern: Pattern = "natural"

    def draw(
        self,
        group: np.ndarray,
        latency: np.ndarray,
        duration: float,
        seed: int,
        *,
        active: np.ndarray | None = None,
        extra: np.ndarray | None = None,
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw spikes of all axons.

        Parameters
        ----------
        group : array of int, shape (n_axons,)
            Group of each axon, such as its microband.
        latency : array of float, shape (n_axons,)
            Lasting lead or lag of each axon in seconds.
        duration : float
            In seconds.
        seed : int
        active : array of bool, shape (n_axons,), optional
            False for axons that are silenced: the spikes of all others stay the same.
        extra : array of float, shape (n_axons,), optional
            Bursts per second that stimulation adds to each axon, independent of all others.

        Returns
        -------
        axon : array of int64, shape (n_spikes,)
        time : array of float64, shape (n_spikes,)
            In seconds, ascending, within the duration.

        Notes
        -----
        Events of a group are Poisson with the burst rate. An axon joins each with probability :math:`\\sqrt{c}` and
        bursts by itself at :math:`(1 - \\sqrt{c})` of the rate, so that its own rate does not depend on the
        correlation :math:`c` and a burst is shared with a given other axon with probability :math:`c`.

        The pattern "uniform" is one train, spike by spike the same, for all axons.
        """
        # Bursts that begin outside the sample still send spikes into it, so that the rate is even up to its edges.
        before = 4 * self.jitter + float(np.abs(latency).max(initial=0.0)) + _MOST_SPIKES / self.intraburst_rate
        after = 4 * self.jitter + float(np.abs(latency).max(initial=0.0))
        span = (-before, duration + after)
        if self.pattern == "uniform":
            rng = np.random.default_rng(derive_seed(seed, "bursts"))
            _, time = self._spikes(*_own(rng, np.full(1, self.rate), span), rng)
            trains = [(np.repeat(np.arange(len(group)), len(time)), np.tile(time, len(group)))]
        else:
            trains = [self._group(g, np.flatnonzero(group == g), latency, span, seed) for g in np.unique(group)]
        if extra is not None and extra.any():
            rng = np.random.default_rng(derive_seed(seed, "stimulation"))
            trains.append(self._spikes(*_own(rng, extra, span), rng))
        axon, time = (np.concatenate(parts) for parts in zip(*trains, strict=True))
        inside = (time >= 0) & (time < duration - 1e-3)
        if active is not None:
            inside &= active[axon]
        return self._ordered(axon[inside], time[inside])

    def _group(
        self, g: int, members: np.ndarray, latency: np.ndarray, span: tuple[float, float], seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return the spikes of one group, which depend on no other group."""
        rng = np.random.default_rng(derive_seed(seed, "bursts", int(g)))
        joining = 0.0 if self.pattern == "uncorrelated" else np.sqrt(self.correlation)
        events = rng.uniform(*span, rng.poisson(self.rate * (span[1] - span[0])))
        joins = rng.random((len(events), len(members))) < joining
        shift = latency[members] + self.jitter * rng.standard_normal(joins.shape)
        own, at = _own(rng, np.full(len(members), self.rate * (1 - joining)), span)
        axon = np.concatenate([np.broadcast_to(members, joins.shape)[joins], members[own]])
        return self._spikes(axon, np.concatenate([(events[:, None] + shift)[joins], at]), rng)

    def _spikes(self, axon: np.ndarray, onset: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        more = _MOST_SPIKES - 1
        number = 1 + rng.binomial(more, (self.spikes_per_burst - 1) / more, len(axon))
        rank = np.concatenate([np.arange(k) for k in number]) if len(number) else np.zeros(0)
        return np.repeat(axon, number), np.repeat(onset, number) + rank / self.intraburst_rate

    def _ordered(self, axon: np.ndarray, time: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        # Overlapping bursts of one axon merge: no axon fires twice within the same step.
        _, first = np.unique(np.stack([axon, np.rint(time / self.dt)]), axis=1, return_index=True)
        axon, time = axon[first], time[first]
        order = np.lexsort((axon, time))
        return axon[order].astype(np.int64), time[order]


def _own(rng: np.random.Generator, rate: np.ndarray, span: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:
    """Return bursts (axon, onset) that each axon makes by itself at its rate."""
    number = rng.poisson(rate * (span[1] - span[0]))
    return np.repeat(np.arange(len(rate)), number), rng.uniform(*span, number.sum())
