"""Climbing-fibre activity: bursts of olivary axons that are correlated within microbands.

Spike trains are drawn by the counter-based generator, so they are the same for every engine.
"""

from dataclasses import dataclass

import numpy as np

from neuroprune.core.randomness import derive_seed


@dataclass(frozen=True)
class Olive:
    """Bursting activity of olivary axons at one age.

    Parameters
    ----------
    rate : float
        Bursts per second of an axon.
    correlation : float
        Probability that another axon of the microband bursts with a given burst, 0 to 1.
    jitter : float
        SD in seconds of a burst's time about the common event.
    spikes_per_burst : float
        Mean number, 1 to 6.
    intraburst_rate : float
        Spikes per second inside a burst.
    """

    rate: float
    correlation: float
    jitter: float
    spikes_per_burst: float
    intraburst_rate: float

    def bursts(
        self, band: np.ndarray, latency: np.ndarray, duration: float, seed: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """Draw spikes of all axons.

        Parameters
        ----------
        band : array of int, shape (n_axons,)
            Microband of each axon.
        latency : array of float, shape (n_axons,)
            Lasting lead or lag of each axon in seconds.
        duration : float
            In seconds.
        seed : int

        Returns
        -------
        axon : array of int64, shape (n_spikes,)
        time : array of float64, shape (n_spikes,)
            In seconds, ascending, within the duration.

        Notes
        -----
        Events of a microband are Poisson with the burst rate. An axon joins each with probability
        :math:`\\sqrt{c}` and bursts by itself at :math:`(1 - \\sqrt{c})` of the rate, so that its own rate does not
        depend on the correlation :math:`c` and a burst is shared with a given other axon with probability
        :math:`c`.
        """
        rng = np.random.default_rng(derive_seed(seed, "olive"))
        joining = np.sqrt(self.correlation)
        # Events outside the sample still send spikes into it, so that the rate is even up to its edges.
        margin = 4 * self.jitter + float(np.abs(latency).max(initial=0.0))
        span = duration + 2 * margin
        axons, times = [], []
        for b in np.unique(band):
            members = np.flatnonzero(band == b)
            events = rng.uniform(-margin, duration + margin, rng.poisson(self.rate * span))
            joins = rng.random((len(events), len(members))) < joining
            shift = latency[members] + self.jitter * rng.standard_normal((len(events), len(members)))
            axons.append(np.broadcast_to(members, joins.shape)[joins])
            times.append((events[:, None] + shift)[joins])
            own = rng.poisson(self.rate * (1 - joining) * duration, len(members))
            axons.append(np.repeat(members, own))
            times.append(rng.uniform(0, duration, own.sum()))
        axon, onset = np.concatenate(axons), np.concatenate(times)
        number = 1 + rng.binomial(5, (self.spikes_per_burst - 1) / 5, len(axon))
        rank = np.concatenate([np.arange(k) for k in number]) if len(number) else np.zeros(0)
        axon, time = np.repeat(axon, number), np.repeat(onset, number) + rank / self.intraburst_rate
        inside = (time >= 0) & (time < duration - 1e-3)
        axon, time = axon[inside], time[inside]
        # Overlapping bursts of one axon merge: no axon fires twice within the same 0.1 ms.
        _, first = np.unique(np.stack([axon, np.rint(time * 1e4)]), axis=1, return_index=True)
        axon, time = axon[first], time[first]
        order = np.lexsort((axon, time))
        return axon[order], time[order]
