"""Sparse regression as figures: what few features explain, what they could at most, and which ones they are."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import TwoSlopeNorm
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, PercentFormatter
from numpy.typing import ArrayLike, NDArray

from neuroprune.plotting.style import BLUE, GREY, PALE, axes, styled

SHOWN = 24
"""Features with a row of their own."""


class Solved(Protocol):
    """What is drawn of a solution."""

    @property
    def coefficients(self) -> NDArray[np.float64]: ...
    @property
    def proven(self) -> bool: ...


class Path(Protocol):
    """What is drawn; :class:`neuroprune.solvers.l0.Path` is one."""

    @property
    def sizes(self) -> NDArray[np.int64]: ...
    @property
    def explained(self) -> NDArray[np.float64]: ...
    @property
    def most_explained(self) -> NDArray[np.float64]: ...
    @property
    def solutions(self) -> Sequence[Solved]: ...


@styled
def plot_sparse_path(path: Path, *, ax: Axes | None = None) -> Axes:
    """Draw how much of the target the features explain, against how many there are.

    Parameters
    ----------
    path : Path
        Of :func:`neuroprune.solvers.l0.l0_path`.
    ax : Axes, optional
        Drawn into; otherwise a new figure is made.

    Returns
    -------
    Axes

    Notes
    -----
    The band reaches up to what no support of that size can exceed, by the lower bound of the solver. Where the optimum
    is proven the point is filled and the band has no height.
    """
    ax = axes(ax, (3.5, 2.6))
    sizes, explained, most = path.sizes, path.explained, np.maximum(path.most_explained, path.explained)
    proven = np.array([solution.proven for solution in path.solutions])
    ax.fill_between(sizes, explained, most, color=PALE, lw=0, zorder=1)
    ax.plot(sizes, explained, "-", color=BLUE, lw=1, zorder=2)
    for which, face in ((proven, BLUE), (~proven, "white")):
        ax.plot(sizes[which], explained[which], "o", ms=4, mec=BLUE, mfc=face, zorder=3)
    ax.xaxis.set_major_locator(MaxNLocator(integer=True))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, symbol=""))
    ax.set_xlabel("features in use")
    ax.set_ylabel("explained (%)")
    ax.set_ylim(0.0, 1.03)
    handles = []
    if proven.any():
        handles.append(Line2D([], [], color=BLUE, marker="o", ms=4, label="proven optimum"))
    if not proven.all():
        handles.append(Line2D([], [], color=BLUE, marker="o", ms=4, mfc="white", label="best found"))
        handles.append(Patch(color=PALE, label="not ruled out"))
    ax.legend(handles=handles, loc="lower right")
    return ax


@styled
def plot_supports(path: Path, names: list[str], *, scale: ArrayLike | None = None, ax: Axes | None = None) -> Axes:
    """Draw which features are in use along a path, and their coefficients by colour.

    Parameters
    ----------
    path : Path
        Of one output.
    names : list of str
        Of the features.
    scale : (p,) array, optional
        Coefficients are multiplied by it; standard deviations make them comparable.
    ax : Axes, optional
        Drawn into; otherwise a new figure is made.

    Returns
    -------
    Axes

    Notes
    -----
    Columns are the supports of the path, each once. Rows are in the order in which features enter; the 24 that are in
    use most often are shown.

    Raises
    ------
    ValueError
        If the path has several outputs.
    """
    weights = np.array([np.reshape(s.coefficients, (len(names), -1)) for s in path.solutions])
    if weights.shape[2] != 1:
        raise ValueError(f"supports can be drawn of one output, not of {weights.shape[2]}")
    weights = weights[:, :, 0] * (1.0 if scale is None else np.asarray(scale))
    used = weights != 0.0
    fresh = np.flatnonzero([x == 0 or (used[x] != used[x - 1]).any() for x in range(len(used))])
    weights, used, sizes = weights[fresh], used[fresh], path.sizes[fresh]
    often = np.argsort(-used.sum(axis=0), kind="stable")[: min(SHOWN, int(used.any(axis=0).sum()))]
    rows = often[np.argsort(used[:, often].argmax(axis=0), kind="stable")]
    ax = axes(ax, (3.5, 0.16 * max(4, rows.size) + 0.8))
    shown = np.where(used[:, rows], weights[:, rows], np.nan).T
    largest = float(np.nanmax(np.abs(shown))) if used.any() else 1.0
    image = ax.imshow(
        shown, aspect="auto", interpolation="nearest", cmap="RdBu_r", norm=TwoSlopeNorm(0.0, -largest, largest)
    )
    ax.set_yticks(range(rows.size), [str(names[j]) for j in rows])
    ax.tick_params(axis="y", length=0)
    step = max(1, -(-sizes.size // 10))
    ax.set_xticks(range(0, sizes.size, step), [str(s) for s in sizes[::step]])
    ax.set_xlabel("features in use")
    left_out = int(used.any(axis=0).sum()) - rows.size
    if left_out > 0:
        ax.set_title(f"and {left_out} more", loc="right", color=GREY, fontsize=7)
    figure = ax.get_figure(root=True)
    assert figure is not None
    label = "coefficient" if scale is None else "coefficient × SD of the feature"
    figure.colorbar(image, ax=ax, label=label, pad=0.02, aspect=30)
    return ax
