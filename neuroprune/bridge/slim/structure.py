"""The structure of a network: which units of which layers can only be removed together."""

import math
import operator
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from neuroprune.bridge.costs import network_cost
from neuroprune.bridge.slim.labels import FIXED
from neuroprune.bridge.slim.reading import Reading, Size
from neuroprune.core.errors import SpecificationError

Removal = Mapping[str, Iterable[int]]
"""Units to remove, by the name of their group (or of a layer that makes them)."""


@dataclass(frozen=True)
class Slot:
    """An axis of a parameter or buffer that has units of a group.

    Parameters
    ----------
    parameter : str
        Its name; of ``nn.MultiheadAttention`` the projections are apart (``q_proj.weight``, ...).
    axis : int
    unit : int64 tensor, shape (size of the axis,)
        Which unit a position belongs to, or -1.
    role : "written", "read" or "carried"
        Weights that make the units, weights that read them, and all else that has them (biases, normalisation,
        depthwise filters).
    """

    parameter: str
    axis: int
    unit: torch.Tensor
    role: str


@dataclass(frozen=True)
class Group:
    """Units that are alternatives to each other: the filters of a layer, say, with all that depends on them.

    Parameters
    ----------
    name : str
        Of the layer that makes them, the first one if there are several; for attention of the module that holds
        the projections.
    kind : "filters", "units", "heads" or "channels"
    size : int
        Number of units.
    layers, readers : tuple of str
        Names of the layers that make the units, and of those that read them.
    slots : tuple of Slot
    """

    name: str
    kind: str
    size: int
    layers: tuple[str, ...]
    readers: tuple[str, ...]
    slots: tuple[Slot, ...]


def _numbers(units: Iterable[int], group: Group) -> list[int]:
    """Return units as whole numbers; a mask or a share is none, though it could be read as one."""
    try:
        chosen = list(units)
        if any(isinstance(u, bool) or getattr(u, "dtype", None) in (torch.bool, np.bool_) for u in chosen):
            raise TypeError
        return [operator.index(u) for u in chosen]
    except TypeError:
        raise SpecificationError(
            f"the {group.kind} of group {group.name!r} to remove must be whole numbers, such as [0, 3], not {units!r}"
        ) from None


class _Share:
    """How many of some labels are left without units."""

    def __init__(self, roots: torch.Tensor) -> None:
        values, counts = roots.unique(return_counts=True)
        self.total = roots.numel()
        self._counts = dict(zip(values.tolist(), counts.tolist(), strict=True))

    def left(self, gone: Iterable[int]) -> int:
        return self.total - sum(self._counts.get(root, 0) for root in gone)


class Structure:
    """Groups of a network, and what it costs without some of their units.

    Made by :func:`~neuroprune.bridge.slim.trace`.

    Attributes
    ----------
    groups : mapping of str to Group
        In the order in which they are first computed.
    model : nn.Module
        A copy of the network in evaluation mode: masks are baked, and each ``nn.MultiheadAttention`` is a
        :class:`~neuroprune.bridge.slim.attention.PrunedAttention`, whose parameters the slots name.
    """

    def __init__(self, model: nn.Module, example_inputs: tuple[Any, ...], reading: Reading) -> None:
        self.model, self.example_inputs = model, example_inputs
        self._reading = reading
        self._tensors = dict(model.named_parameters()) | dict(model.named_buffers())
        partition = reading.partition
        self._roots = {key: partition.roots(labels) for key, labels in _axes_of(reading).items()}
        self.groups, self._unit_of = self._find_groups()
        self._terms = [(t.macs, [_Share(partition.roots(f)) for f in t.factors]) for t in reading.terms]
        self._lengths = {key: _Share(roots) for key, roots in self._roots.items()}
        self._macs = network_cost(model, example_inputs).macs
        self._parameters = sum(p.numel() for p in model.parameters())

    def normalise(self, remove: Removal) -> dict[str, tuple[int, ...]]:
        """Return units to remove by the name of their group, sorted and each once.

        Raises
        ------
        SpecificationError
            If a name is that of no group, with the operation that stands in the way; if a unit is not there; or if
            a group would lose all its units.
        """
        found: dict[str, set[int]] = {}
        for name, units in remove.items():
            group = self.find(name)
            chosen = _numbers(units, group)
            for unit in chosen:
                if not 0 <= unit < group.size:
                    raise SpecificationError(f"group {group.name!r} has {group.kind} 0 to {group.size - 1}, not {unit}")
            found.setdefault(group.name, set()).update(chosen)
        for name, units in found.items():
            if len(units) == self.groups[name].size:
                raise SpecificationError(
                    f"group {name!r} would lose all its {len(units)} {self.groups[name].kind}: one at least must stay"
                )
        return {name: tuple(sorted(units)) for name, units in found.items() if units}

    def find(self, name: str) -> Group:
        """Return a group by its name, or by that of a layer that makes its units and no others."""
        if name in self.groups:
            return self.groups[name]
        made = [g for g in self.groups.values() if name in g.layers]
        if len(made) == 1:
            return made[0]
        have = ", ".join(self.groups) or "none"
        kind = type(self.model).__name__
        if made:
            raise SpecificationError(f"layer {name!r} of {kind} makes units of several groups: name one of {have}")
        modules = dict(self.model.named_modules())
        if name not in modules:
            raise SpecificationError(f"{kind} has no layer {name!r} (its groups are: {have})")
        raise SpecificationError(
            f"layer {name!r} ({type(modules[name]).__name__}) of {kind} cannot be slimmed: {self.why_not(name)} "
            f"(groups that can: {have})"
        )

    def why_not(self, layer: str) -> str:
        """Return what stands in the way of removing units that a layer makes."""
        written = [k for k in self._reading.writes if k[0].rpartition(".")[0] == layer]
        keys = written or [k for k in self._roots if k[0].rpartition(".")[0].startswith(layer)]
        for key in keys:
            reason = self._reading.partition.reason(_axes_of(self._reading)[key])
            if reason:
                return f"its units can only stay or go together, because of {reason}"
        return "no unit that it makes reaches a layer that could do without"

    def kept(self, remove: Removal) -> dict[str, tuple[int, ...]]:
        """Return the units that stay, for each group."""
        gone = self.normalise(remove)
        return {n: tuple(u for u in range(g.size) if u not in gone.get(n, ())) for n, g in self.groups.items()}

    def macs(self, remove: Removal) -> int:
        """Return the multiply-accumulate operations of the network without units, for the example's batch."""
        gone = self._gone(remove)
        total = self._macs
        for macs, factors in self._terms:
            total += macs * math.prod(f.left(gone) for f in factors) // math.prod(f.total for f in factors) - macs
        return total

    def parameters(self, remove: Removal) -> int:
        """Return the number of parameters of the network without units."""
        gone = self._gone(remove)
        shapes: dict[str, list[int]] = {}
        for (name, axis), share in self._lengths.items():
            if isinstance(self._tensors[name], nn.Parameter):
                shapes.setdefault(name, list(self._tensors[name].shape))[axis] = share.left(gone)
        return self._parameters + sum(math.prod(s) - self._tensors[n].numel() for n, s in shapes.items())

    def cuts(self, remove: Removal) -> dict[str, dict[int, torch.Tensor]]:
        """Return which positions stay along each axis that loses some, by parameter or buffer."""
        gone = self._tensor_gone(remove)
        found: dict[str, dict[int, torch.Tensor]] = {}
        for (name, axis), labels in self._roots.items():
            lost = torch.isin(labels, gone)
            if lost.any():
                found.setdefault(name, {})[axis] = torch.nonzero(~lost)[:, 0]
        return found

    def reads(self, remove: Removal) -> list[tuple[str, int, torch.Tensor]]:
        """Return the positions at which weights read units: parameter, axis, index."""
        gone = self._tensor_gone(remove)
        found = []
        for name, axis in dict.fromkeys((read.parameter, read.axis) for read in self._reading.reads):
            index = torch.nonzero(torch.isin(self._roots[name, axis], gone))[:, 0]
            if len(index):
                found.append((name, axis, index))
        return found

    def resized(self, remove: Removal) -> tuple[list[tuple[str, int, int]], dict[str, int]]:
        """Return sizes that the code of modules may hold, before and after, and how many groups modules keep."""
        gone = self._tensor_gone(remove)
        partition = self._reading.partition

        def left(labels: torch.Tensor) -> int:
            return labels.numel() - int(torch.isin(partition.roots(labels), gone).sum())

        sizes = [*self._reading.sizes, *(Size(m, labels) for m, labels in self._reading.grouped.items())]
        changed = [(s.module, s.labels.numel(), left(s.labels)) for s in sizes]
        return (
            list(dict.fromkeys(c for c in changed if c[1] != c[2])),
            {module: left(labels) for module, labels in self._reading.grouped.items()},
        )

    def dead(self) -> dict[str, tuple[int, ...]]:
        """Return the units that change nothing: what they send is always 0, or no weight reads it.

        The last unit of a group is never among them.
        """
        alive: set[int] = set()
        roots = {FIXED}
        while True:
            # What only dead units read is dead too, so the units that are alive are found from the outputs on.
            for read in self._reading.reads:
                weight = self._tensors[read.parameter].detach().cpu()
                rows = self._roots[read.parameter, 1 - read.axis]
                used = (weight != 0).reshape(*weight.shape[:2], -1).any(2)
                used = (used if read.axis == 1 else used.T)[torch.isin(rows, torch.tensor(sorted(roots)))]
                reached = used.any(0) & ~read.silent
                alive |= set(self._roots[read.parameter, read.axis][reached].tolist())
            if alive <= roots:
                break
            roots |= alive
        found = {}
        for name, group in self.groups.items():
            units = [u for u in range(group.size) if self._unit_of[name][u] not in alive]
            found[name] = tuple(units[1:] if len(units) == group.size else units)
        return {name: units for name, units in found.items() if units}

    def _gone(self, remove: Removal) -> list[int]:
        return [self._unit_of[name][u] for name, units in self.normalise(remove).items() for u in units]

    def _tensor_gone(self, remove: Removal) -> torch.Tensor:
        return torch.tensor(self._gone(remove), dtype=torch.int64)

    def _find_groups(self) -> tuple[dict[str, Group], dict[str, list[int]]]:
        reading = self._reading
        reads = {(read.parameter, read.axis) for read in reading.reads}
        where: dict[int, list[tuple[str, int]]] = {}
        for key, roots in self._roots.items():
            for root in dict.fromkeys(roots[roots != FIXED].tolist()):
                where.setdefault(root, []).append(key)
        members: dict[tuple[tuple[str, int], ...], dict[int, None]] = {}
        # The order of writes is that of the computation.
        order = [*(k for k in reading.writes if k in self._roots), *self._roots]
        for key in dict.fromkeys(order):
            for root in dict.fromkeys(self._roots[key][self._roots[key] != FIXED].tolist()):
                keys = where[root]
                if any(k in reading.writes for k in keys):
                    members.setdefault(tuple(sorted(keys)), {})[root] = None
        heads = {r for labels in reading.heads for r in reading.partition.roots(labels).unique().tolist()}
        groups, unit_of = {}, {}
        for keys, found in members.items():
            roots = list(found)
            if len(roots) < 2:
                continue
            written = [k for k in reading.writes if k in keys]
            layers = tuple(dict.fromkeys(_owner(k[0]) for k in written))
            kind = "heads" if roots[0] in heads else self._kind(layers[0])
            name = _common(layers) if kind == "heads" else layers[0]
            name = next(n for n in (name, *(f"{name}:{i}" for i in range(2, 10_000))) if n not in groups)
            index = {root: u for u, root in enumerate(roots)}
            slots = tuple(
                Slot(
                    key[0],
                    key[1],
                    torch.tensor([index.get(root, -1) for root in self._roots[key].tolist()]),
                    "written" if key in reading.writes else "read" if key in reads else "carried",
                )
                for key in keys
            )
            readers = tuple(dict.fromkeys(_owner(k[0]) for k in keys if k in reads))
            groups[name] = Group(name, kind, len(roots), layers, readers, slots)
            unit_of[name] = roots
        return groups, unit_of

    def _kind(self, layer: str) -> str:
        module = self.model.get_submodule(layer)
        if isinstance(module, nn.Linear):
            return "units"
        return "filters" if isinstance(module, nn.modules.conv._ConvNd) else "channels"


def _axes_of(reading: Reading) -> dict[tuple[str, int], torch.Tensor]:
    """Return the labels along each axis of each parameter and buffer."""
    found = {(name, a): labels for name, axes in reading.axes.items() for a, labels in enumerate(axes)}
    for name, labels in reading.elements.items():
        if name not in reading.axes:
            # Units lie along one axis at most; where a parameter belongs to one as a whole, any axis will do.
            axis = next(iter(reading.partition.varies(labels)), 0)
            found[name, axis] = labels.movedim(axis, -1).reshape(-1, labels.shape[axis])[0] if labels.ndim else labels
    return {key: labels for key, labels in found.items() if labels.ndim}


def _owner(parameter: str) -> str:
    return parameter.rpartition(".")[0]


def _common(layers: Sequence[str]) -> str:
    """Return the path of the module that holds all these layers."""
    if len(layers) == 1:
        return layers[0]
    paths = [layer.split(".") for layer in layers]
    shared = []
    for parts in zip(*paths, strict=False):
        if len(set(parts)) > 1:
            break
        shared.append(parts[0])
    return ".".join(shared) or layers[0]
