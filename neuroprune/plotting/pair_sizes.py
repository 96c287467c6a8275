"""Synapses per connected pair: how they are distributed, in models and in counts."""

from collections.abc import Mapping
from itertools import cycle

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import ArrayLike

from neuroprune.core.errors import SpecificationError
from neuroprune.plotting.style import BLUE, GREEN, PURPLE, VERMILLION, axes, styled


@styled
def plot_pair_sizes(sizes: Mapping[str, ArrayLike], *, ax: Axes | None = None) -> Axes:
    """Draw what fraction of the connected pairs has at most so many synapses, on a logarithmic axis of synapses.

    Parameters
    ----------
    sizes : mapping of str to array_like of float, shape (n_pairs,)
        Synapses per connected pair of each sample, by its label; all positive, of any order.
    ax : Axes, optional

    Returns
    -------
    Axes

    Raises
    ------
    SpecificationError
        If a sample is empty, or one of its sizes is not positive.
    """
    samples = {label: np.sort(np.asarray(values, float)) for label, values in sizes.items()}
    for label, values in samples.items():
        if not (len(values) and (values > 0).all()):
            raise SpecificationError(f"pair sizes {label!r} must be positive, and there must be some")
    ax = axes(ax, (3.0, 2.2))
    largest = max((values[-1] for values in samples.values()), default=1.0)
    for (label, values), colour in zip(samples.items(), cycle((BLUE, VERMILLION, GREEN, PURPLE)), strict=False):
        at, pairs = np.unique(values, return_counts=True)
        share = np.cumsum(pairs) / len(values)
        # From 0 below the smallest to 1 at the right edge, so that curves of different range can be compared.
        course = np.concatenate([[at[0]], at, [largest]]), np.concatenate([[0.0], share, [1.0]])
        ax.step(*course, where="post", color=colour, label=f"{label} (n = {len(values):,})")
    ax.set(xscale="log", xlabel="synapses per connected pair", ylabel="cumulative fraction of pairs", ylim=(0, 1.02))
    ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    ax.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.legend(loc="lower right")
    return ax
