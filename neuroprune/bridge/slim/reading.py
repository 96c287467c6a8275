"""What is noted while the operations of a network are read one after the other."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.fx import Node

from neuroprune.bridge.slim.labels import FIXED, Partition, Value


@dataclass(frozen=True)
class Weight:
    """A parameter or buffer that no operation has used yet, with the order of its axes if it was transposed."""

    name: str
    tensor: torch.Tensor
    axes: tuple[int, ...]


@dataclass(frozen=True)
class Read:
    """A weight that reads units along one of its axes, and which of them it gets nothing from.

    Parameters
    ----------
    parameter : str
    axis : int
    labels : int64 tensor, shape (n,)
    silent : bool tensor, shape (n,)
        What comes in there is always 0.
    """

    parameter: str
    axis: int
    labels: torch.Tensor
    silent: torch.Tensor


@dataclass(frozen=True)
class Term:
    """Multiply-accumulate operations in proportion to the product of the shares of labels that are left."""

    macs: int
    factors: tuple[torch.Tensor, ...]


@dataclass(frozen=True)
class Size:
    """A number that a module's code may hold: how long an axis with units is, after a change of shape.

    Parameters
    ----------
    module : str
    labels : int64 tensor, shape (n,)
        Along the axis; for groups of a convolution or normalisation one label for each group.
    """

    module: str
    labels: torch.Tensor


@dataclass
class Reading:
    """Notes on a network, made by the rules of its operations."""

    partition: Partition = field(default_factory=Partition)
    tensors: dict[str, torch.Tensor] = field(default_factory=dict)
    axes: dict[str, list[torch.Tensor]] = field(default_factory=dict)
    elements: dict[str, torch.Tensor] = field(default_factory=dict)
    reads: list[Read] = field(default_factory=list)
    writes: dict[tuple[str, int], None] = field(default_factory=dict)
    heads: list[torch.Tensor] = field(default_factory=list)
    terms: list[Term] = field(default_factory=list)
    shaped: list[torch.Tensor] = field(default_factory=list)
    sizes: list[Size] = field(default_factory=list)
    grouped: dict[str, torch.Tensor] = field(default_factory=dict)

    def axis(self, weight: Weight, axis: int) -> torch.Tensor:
        """Return the labels of a weight's axis."""
        if weight.name not in self.axes:
            self.tensors[weight.name] = weight.tensor
            self.axes[weight.name] = [self.partition.new(n) for n in weight.tensor.shape]
            self._one_use(weight.name)
        return self.axes[weight.name][weight.axes[axis]]

    def value(self, x: Weight | Value) -> Value:
        """Return a parameter as a tensor like any other, each of its entries with a label of its own."""
        if isinstance(x, Value):
            return x
        if x.tensor.ndim == 1:
            labels = self.axis(x, 0)
        else:
            if x.name not in self.elements:
                self.tensors[x.name] = x.tensor
                self.elements[x.name] = self.partition.new(x.tensor.numel()).reshape(x.tensor.shape)
                self._one_use(x.name)
            labels = self.elements[x.name].permute(x.axes)
        return Value(labels, x.tensor.permute(x.axes) == 0, free=True)

    def _one_use(self, name: str) -> None:
        """Fix a parameter that is a layer's weight here and an operand there: its cuts are not followed."""
        if name in self.axes and name in self.elements:
            for labels in (*self.axes[name], self.elements[name]):
                self.partition.fix(labels)

    def constant(self, shape: Sequence[int]) -> Value:
        """Return a tensor that cannot be cut."""
        return Value(torch.full((), FIXED).expand(tuple(shape)), torch.zeros((), dtype=torch.bool).expand(tuple(shape)))

    def channels(self, x: Value, axis: int) -> tuple[torch.Tensor, torch.Tensor]:
        """Return one label, and whether it is 0 everywhere, for each position along an axis."""
        labels = x.labels.movedim(axis, -1).reshape(-1, x.labels.shape[axis])
        self.partition.couple(labels, 0)
        return labels[0], x.zero.movedim(axis, -1).reshape(labels.shape).all(0)

    def along(self, node: Node, axis: int, labels: torch.Tensor, zero: torch.Tensor) -> Value:
        """Return a node's output whose labels are those of the positions along one axis."""
        shape = shape_of(node)
        view = [1] * len(shape)
        view[axis] = -1
        return Value(labels.reshape(view).expand(*shape), zero.reshape(view).expand(*shape))

    def count(self, node: Node | None, macs: int, *factors: torch.Tensor) -> None:
        """Note the operations of a product."""
        self.terms.append(Term(macs, factors))

    def resize(self, node: Node, value: Value) -> Value:
        """Note the result of a change of shape: what it can be cut to, and the numbers that its module may hold."""
        self.shaped.append(value.labels)
        for axis in self.partition.varies(value.labels):
            first = value.labels.movedim(axis, -1).reshape(-1, value.labels.shape[axis])[0]
            self.sizes.append(Size(module_of(node)[0], first))
        return value

    def make_rectangular(self) -> None:
        """Coarsen until all changes of shape give tensors with units along one axis, the last that may have them."""
        self.partition.where = "a change of shape"
        changed = True
        while changed:
            changed = False
            for labels in self.shaped:
                for axis in self.partition.varies(labels)[:-1]:
                    self.partition.couple(labels, axis)
                    changed = True


def shape_of(node: Node) -> tuple[int, ...]:
    """Return the shape of a node's output."""
    return tuple(node.meta["val"].shape)


def numel(shape: Iterable[int]) -> int:
    """Return the number of entries of a shape."""
    return math.prod(shape)


def module_of(node: Node) -> tuple[str, str]:
    """Return the path and the class of the innermost module that runs an operation."""
    stack = list((node.meta.get("nn_module_stack") or {}).values())
    path, kind = stack[-1] if stack else ("", "")
    return path, str(getattr(kind, "__name__", kind)).rsplit(".", 1)[-1]


def operation_of(node: Node) -> str:
    """Return the name of an operation, without that of its library, its overload or the mark of in-place."""
    target: Any = node.target
    name = target._schema.name.split("::")[-1] if hasattr(target, "_schema") else getattr(target, "__name__", target)
    return str(name)
