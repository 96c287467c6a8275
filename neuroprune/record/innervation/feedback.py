"""Positive feedback, measured: how the chance of gaining a synapse scales with those already there."""

import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from neuroprune.core.clock import format_age
from neuroprune.core.errors import NeuropruneError, SpecificationError
from neuroprune.record.innervation.reading import cell_numbers, place_of, split_by_cell

if TYPE_CHECKING:
    from neuroprune.record.record import Record


MOST_ITERATIONS = 200
"""Steps of the fit: it takes some ten, and 70 where the exponent is in the millions."""


class FeedbackExponent(NamedTuple):
    """How the chance of gaining a synapse scales with those already there; see :func:`feedback_exponent`.

    Parameters
    ----------
    exponent, standard_error : float
    gains : int
        Synapses that were gained where there was a choice.
    """

    exponent: float
    standard_error: float
    gains: int


def feedback_exponent(record: "Record", start: float, stop: float) -> FeedbackExponent:
    r"""Measure how the chance of an input to gain a synapse scales with the synapses that it has.

    Parameters
    ----------
    record : Record
        Of a system in which strength counts synapses.
    start, stop : float
        Recorded ages in days; every interval between consecutive recorded ages from one to the other is used.

    Returns
    -------
    FeedbackExponent
        0 is no feedback; at 1, inputs gain in proportion to what they have. Infinite, with an error of NaN, if all
        gains went to the largest inputs of their cells (or minus infinite, to the smallest); NaN if no gain tells.

    Raises
    ------
    SpecificationError
        If nothing was recorded at one of the ages, `stop` is not later than `start`, or strengths are no counts.

    Notes
    -----
    The conditional logit model [1]_: each synapse that a cell gains in an interval goes to input :math:`i` with
    probability :math:`n_i^\gamma / \sum_j n_j^\gamma`, where :math:`n` are the synapses at the start of the interval
    and the inputs those that live at both its ends. It conditions on how many are gained, so that growth as such does
    not matter. :math:`\gamma` maximises the likelihood.

    The exponent is an effective one. It ascribes to the number of synapses all that goes with it, such as a lasting
    lead in timing that had gained them. And feedback compounds within an interval, which takes :math:`\gamma` away
    from 1: with 1.8 at every single gain it is 2.05 over an interval in which the synapses double, and with 0.5 it is
    0.44. Record at ages that lie close together.

    The standard error is that of Fisher's information, times the root of an overdispersion factor of at least 1: the
    sum of the squared scores of the cells over that information, as in the sandwich estimator with cells as clusters
    [2]_. It is needed because the gains of a cell are not independent: an input that it favours for another reason
    than size gains more than its share again and again.

    References
    ----------
    .. [1] McFadden (1974) in Zarembka, Frontiers in Econometrics, 105-142.
    .. [2] Liang & Zeger (1986) Biometrika 73:13-22.
    """
    first, last = place_of(record, start), place_of(record, stop)
    if not first < last:
        raise SpecificationError(f"{format_age(start)} to {format_age(stop)} is no interval: the end must be later")
    synapses = record.snapshots["weight"].values[first : last + 1]
    if (synapses % 1 > 0).any():
        raise SpecificationError(f"strengths in {record!r} are no whole numbers: gained synapses cannot be counted")
    cell = cell_numbers(record)
    choices: list[tuple[np.ndarray, np.ndarray]] = []
    for before, after in pairwise(synapses):
        for inputs in split_by_cell(cell, (before > 0) & ~np.isnan(after)):
            gain = np.maximum(after[inputs] - before[inputs], 0)
            if len(inputs) > 1 and gain.any():
                choices.append((inputs, np.stack([np.log(before[inputs]), gain])))
    if not choices:
        return FeedbackExponent(math.nan, math.nan, 0)
    members = np.array([len(inputs) for inputs, _ in choices])
    log_size, gain = np.concatenate([sizes_and_gains for _, sizes_and_gains in choices], axis=1)
    return _fit(log_size, gain, members, np.array([cell[inputs[0]] for inputs, _ in choices]))


def _fit(log_size: np.ndarray, gain: np.ndarray, members: np.ndarray, cell: np.ndarray) -> FeedbackExponent:
    """Fit the exponent; `members` and `cell` are those of each set of inputs, which lie together in the others."""
    begins = np.cumsum(members) - members
    total, gained = np.add.reduceat(gain, begins), np.add.reduceat(gain * log_size, begins)
    gains = int(total.sum())

    def score(exponent: float) -> tuple[np.ndarray, float]:
        """Return the derivative of the log likelihood of each set, and Fisher's information in all."""
        z = exponent * log_size
        odds = np.exp(z - np.repeat(np.maximum.reduceat(z, begins), members))
        p = odds / np.repeat(np.add.reduceat(odds, begins), members)
        expected = np.add.reduceat(p * log_size, begins)
        variance = np.add.reduceat(p * (log_size - np.repeat(expected, members)) ** 2, begins)
        return gained - total * expected, float(total @ variance)

    above = float(total @ np.maximum.reduceat(log_size, begins) - gained.sum())
    below = float(gained.sum() - total @ np.minimum.reduceat(log_size, begins))
    rounding = 1e-12 * gains * (1 + log_size.max())
    if min(above, below) <= rounding:
        limit = math.nan if max(above, below) <= rounding else math.copysign(math.inf, below - above)
        return FeedbackExponent(limit, math.nan, gains)

    # Newton's method. The log likelihood is concave: every point tried bounds the maximum from one side. Where rounding
    # of the slope decides about the last digits, no step is small, but the bounds meet.
    low, high, exponent = -math.inf, math.inf, 1.0
    for _ in range(MOST_ITERATIONS):
        by_set, information = score(exponent)
        slope, scale = float(by_set.sum()), max(1.0, abs(exponent))
        step = slope / max(information, abs(slope) / scale)  # limited: far from the maximum the information vanishes
        low, high = (exponent, high) if slope > 0 else (low, exponent)
        if abs(step) < 1e-10 * scale or high - low <= 4 * math.ulp(exponent):
            break
        exponent = exponent + step if low < exponent + step < high else (low + high) / 2
    else:
        raise NeuropruneError(f"no exponent of feedback was found in {MOST_ITERATIONS} steps: it is near {exponent:g}")
    _, cluster = np.unique(cell, return_inverse=True)
    by_cell = np.bincount(cluster, weights=by_set)
    overdispersion = max(1.0, float(by_cell @ by_cell) / information)
    return FeedbackExponent(exponent, math.sqrt(overdispersion / information), gains)
