"""The roofline: what a machine allows at each intensity, and where the layers of a network are below it."""

import math
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from neuroprune.plotting.style import BLUE, GREY, ORANGE, PALE, VERMILLION, axes, styled

COLOURS = {"compute": VERMILLION, "memory": BLUE, "overhead": ORANGE}
"""Of layers, by what most of their time is spent on."""
_LABELLED = 6
"""Layers that are named: those that take longest."""
_NEAR = 0.3
"""Layers whose intensities and rates differ by less, in natural logarithms, have a label together."""
_DROP = 0.75
"""A level of memory has at most this share of the bandwidth of the level before."""


class _Bandwidth(Protocol):
    @property
    def sizes(self) -> Sequence[int]: ...
    @property
    def rates(self) -> Sequence[float]: ...


class _Ceilings(Protocol):
    @property
    def peak(self) -> float: ...
    @property
    def triad(self) -> _Bandwidth: ...


class _Work(Protocol):
    @property
    def flops(self) -> int: ...
    @property
    def bytes(self) -> int: ...


class _Parts(Protocol):
    @property
    def bound(self) -> str: ...


class _Layer(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def work(self) -> _Work: ...
    @property
    def parts(self) -> _Parts: ...
    @property
    def seconds(self) -> float: ...


@styled
def plot_roofline(
    ceilings: _Ceilings,
    layers: Sequence[_Layer],
    pruned: Sequence[_Layer] = (),
    *,
    measured: Mapping[str, float] | None = None,
    measured_pruned: Mapping[str, float] | None = None,
    title: str = "",
    ax: Axes | None = None,
) -> Axes:
    """Draw the layers of a network, before and after pruning, below the ceilings of a machine.

    Parameters
    ----------
    ceilings : Ceilings
    layers : sequence of LayerPrediction
        Of a :class:`neuroprune.bridge.roofline.Prediction`; those without products are left out.
    pruned : sequence of LayerPrediction, optional
        Of the pruned network; a line joins what has the same name.
    measured, measured_pruned : mapping of str to float, optional
        Seconds of layers. Without them, what is predicted is drawn.
    title : str
    ax : Axes, optional
        Drawn into; otherwise a new figure is made.

    Returns
    -------
    Axes

    Notes
    -----
    A layer's height is the rate at which it does its operations. How far it is below the roof is what its calls cost,
    and what its shape loses.
    """
    ax = axes(ax, (5.2, 3.6))
    before, after = (_points(found, times or {}) for found, times in ((layers, measured), (pruned, measured_pruned)))
    every = [*before.values(), *after.values()]
    ridge = ceilings.peak / min(ceilings.triad.rates)
    low = min([x for x, _, _ in every] + [ridge / 64]) / 2
    high = max([x for x, _, _ in every] + [ridge * 4]) * 2
    _draw_ceilings(ax, ceilings, low, high)
    for name, (x, y, _) in after.items():
        if name in before:
            ax.plot([before[name][0], x], [before[name][1], y], color=PALE, lw=0.8, zorder=2)
    for points, filled in ((before, not pruned), (after, True)):
        for x, y, bound in points.values():
            colour = COLOURS[bound]
            ax.plot([x], [y], "o", ms=4.5, mec=colour, mfc=colour if filled else "white", mew=1, zorder=3)
    _label(ax, pruned or layers, after or before)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(low, high)
    ax.set_ylim(min([y for _, y, _ in every] + [ceilings.peak / 1e9 / 100]) / 3, 2.5 * ceilings.peak / 1e9)
    ax.set_xlabel("intensity (operations per byte)")
    ax.set_ylabel("rate (10$^9$ operations per second)")
    ax.set_title(title, loc="left")
    ax.legend(handles=_legend(bool(pruned)), loc="lower right", borderaxespad=0.2, handletextpad=0.4)
    return ax


def _points(layers: Sequence[_Layer], times: Mapping[str, float]) -> dict[str, tuple[float, float, str]]:
    """Return intensity, rate in 10^9 per second, and bound of each layer with products."""
    found = {}
    for layer in layers:
        seconds = times.get(layer.name, layer.seconds)
        if layer.work.flops and layer.work.bytes and seconds > 0:
            found[layer.name] = (
                layer.work.flops / layer.work.bytes, layer.work.flops / seconds / 1e9, layer.parts.bound
            )  # fmt: skip
    return found


def _draw_ceilings(ax: Axes, ceilings: _Ceilings, low: float, high: float) -> None:
    peak = ceilings.peak / 1e9
    x = np.geomspace(low, high, 200)
    for k, (size, rate) in enumerate(_levels(ceilings.triad)):
        colour, width, at = ("black", 1.1, 1.3 * low) if k == 0 else (GREY, 0.8, 2 * low)
        ax.plot(x, np.minimum(peak, x * rate / 1e9), color=colour, lw=width, zorder=1)
        height = at * rate / 1e9 * (1.15 if k == 0 else 0.87)
        ax.text(
            at, height, f"{rate / 1e9:.0f} GB/s ({_size(size)})", fontsize=6,
            color=colour, ha="left", va="bottom" if k == 0 else "top", rotation_mode="anchor",
            rotation=math.degrees(math.atan2(height, at)), transform_rotates_text=True,
        )  # fmt: skip
    ax.text(high / 1.1, peak * 1.1, f"{peak:,.0f} GFLOP/s (product of matrices)", ha="right", va="bottom", fontsize=6)


def _levels(triad: _Bandwidth) -> list[tuple[int, float]]:
    """Return working set and bandwidth of the fastest and slowest memory."""
    fast = max(range(len(triad.rates)), key=lambda k: triad.rates[k])
    slow = min(range(len(triad.rates)), key=lambda k: triad.rates[k])
    found = [(triad.sizes[fast], triad.rates[fast])]
    if triad.rates[slow] < _DROP * triad.rates[fast]:
        found.append((triad.sizes[slow], triad.rates[slow]))
    return found


def _label(ax: Axes, layers: Sequence[_Layer], points: Mapping[str, tuple[float, float, str]]) -> None:
    longest = sorted((x for x in layers if x.name in points), key=lambda x: -x.seconds)[:_LABELLED]
    places: dict[tuple[float, float], list[str]] = {}
    for layer in longest:
        x, y, _ = points[layer.name]
        near = next((p for p in places if max(abs(math.log(x / p[0])), abs(math.log(y / p[1]))) < _NEAR), (x, y))
        places.setdefault(near, []).append(layer.name or "network")
    for place, names in places.items():
        ax.annotate(", ".join(names), place, (3, 3), textcoords="offset points", fontsize=6, zorder=4)


def _legend(pruned: bool) -> list[Any]:
    def mark(label: str, colour: str, face: str | None = None) -> Line2D:
        return Line2D([], [], ls="none", marker="o", ms=4.5, mec=colour, mfc=face or colour, label=label)

    bounds = {"compute": "arithmetic", "memory": "memory", "overhead": "calls"}
    found = [mark(f"bound by {bounds[bound]}", colour) for bound, colour in COLOURS.items()]
    return [*found, mark("before pruning", GREY, "white")] if pruned else found


def _size(size: float) -> str:
    power = min(3, max(0, int(math.log2(max(1, size)) // 10)))
    return f"{size / 1024**power:.0f} {('B', 'KiB', 'MiB', 'GiB')[power]}"
