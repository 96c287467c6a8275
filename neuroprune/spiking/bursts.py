"""Spontaneous activity of young afferents: bursts of axons that are correlated within groups.

Spike trains are drawn by the counter-based generator, so they are the same for every engine.
"""

from dataclasses import dataclass
from typing import Literal

import numpy as np

from neuroprune.core.randomness import derive_seed

Pattern = Literal["natural", "uniform", "uncorrelated"]
"""Activity as described, one train for all axons, or every axon by itself."""


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
        gain: np.ndarray | None = None,
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
        gain : array of float, shape (n_axons,), optional
            Factor on the rate of each axon, 0 when it is silenced.
        extra : array of float, shape (n_axons,), optional
            Bursts per second that stimulation adds to each axon, independent of all others.

        Returns
        -------
        axon : array of int64, shape (n_spikes,)
        time : array of float64, shape (n_spikes,)
            In seconds, ascending, within the duration.

        Notes
        -----
        Events of a group are Poisson with the rate of its most active axon. An axon joins each with probability
        :math:`\\sqrt{c}` and bursts by itself at :math:`(1 - \\sqrt{c})` of the rate, so that its own rate does not
        depend on the correlation :math:`c` and a burst is shared with a given other axon with probability
        :math:`c`. A less active axon joins less often in proportion.

        The pattern "uniform" is one train, spike by spike the same, for all axons that are not silenced.
        """
        n = len(group)
        gain = np.ones(n) if gain is None else gain
        rng = np.random.default_rng(derive_seed(seed, "bursts"))
        if self.pattern == "uniform":
            axon, time = self._spikes(*self._own(rng, np.full(1, self.rate), duration), rng)
            active = np.flatnonzero(gain > 0)
            axon, time = np.repeat(active, len(time)), np.tile(time, len(active))
        else:
            onsets = self._onsets(rng, group, latency, duration, gain)
            axon, time = self._spikes(*onsets, rng)
        if extra is not None and extra.any():
            stimulation = np.random.default_rng(derive_seed(seed, "stimulation"))
            more = self._spikes(*self._own(stimulation, extra, duration), stimulation)
            axon, time = np.concatenate([axon, more[0]]), np.concatenate([time, more[1]])
        return self._ordered(axon, time, duration)

    def _onsets(
        self, rng: np.random.Generator, group: np.ndarray, latency: np.ndarray, duration: float, gain: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        joining = 0.0 if self.pattern == "uncorrelated" else np.sqrt(self.correlation)
        # Events outside the sample still send spikes into it, so that the rate is even up to its edges.
        margin = 4 * self.jitter + float(np.abs(latency).max(initial=0.0))
        span = duration + 2 * margin
        axons, times = [], []
        for g in np.unique(group):
            members = np.flatnonzero(group == g)
            most = gain[members].max()
            events = rng.uniform(-margin, duration + margin, rng.poisson(self.rate * most * span))
            share = joining * gain[members] / most if most > 0 else np.zeros(len(members))
            joins = rng.random((len(events), len(members))) < share
            shift = latency[members] + self.jitter * rng.standard_normal((len(events), len(members)))
            axons.append(np.broadcast_to(members, joins.shape)[joins])
            times.append((events[:, None] + shift)[joins])
            own, at = self._own(rng, self.rate * gain[members] * (1 - joining), duration)
            axons.append(members[own])
            times.append(at)
        return np.concatenate(axons), np.concatenate(times)

    @staticmethod
    def _own(rng: np.random.Generator, rate: np.ndarray, duration: float) -> tuple[np.ndarray, np.ndarray]:
        """Return bursts (axon, onset) that each axon makes by itself at its rate."""
        number = rng.poisson(rate * duration)
        return np.repeat(np.arange(len(rate)), number), rng.uniform(0, duration, number.sum())

    def _spikes(self, axon: np.ndarray, onset: np.ndarray, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
        number = 1 + rng.binomial(5, (self.spikes_per_burst - 1) / 5, len(axon))
        rank = np.concatenate([np.arange(k) for k in number]) if len(number) else np.zeros(0)
        return np.repeat(axon, number), np.repeat(onset, number) + rank / self.intraburst_rate

    def _ordered(self, axon: np.ndarray, time: np.ndarray, duration: float) -> tuple[np.ndarray, np.ndarray]:
        inside = (time >= 0) & (time < duration - 1e-3)
        axon, time = axon[inside], time[inside]
        # Overlapping bursts of one axon merge: no axon fires twice within the same step.
        _, first = np.unique(np.stack([axon, np.rint(time / self.dt)]), axis=1, return_index=True)
        axon, time = axon[first], time[first]
        order = np.lexsort((axon, time))
        return axon[order].astype(np.int64), time[order]
