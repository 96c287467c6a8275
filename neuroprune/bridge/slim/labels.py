"""Which positions of which tensors go together: a partition of labels that grows coarser as a network is read."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch

FIXED = 0
"""Label of a position that cannot be removed; it is the root of its class, whatever joins it."""


@dataclass
class Value:
    """What is known of a tensor.

    Parameters
    ----------
    labels : int64 tensor, of the tensor's shape
        Positions with one label stay or go together.
    zero : bool tensor, of the tensor's shape
        Where it is 0 whatever goes into the network.
    free : bool
        Made of parameters alone, whose labels nothing has bound yet.
    """

    labels: torch.Tensor
    zero: torch.Tensor
    free: bool = False


class Partition:
    """Union-find over labels, with the reason why a label is fixed or why labels were joined.

    ``where`` is the operation that is being read; it becomes the reason of what happens.
    """

    def __init__(self) -> None:
        self.where = ""
        self._parent = np.zeros(1, dtype=np.int64)
        self._why = np.zeros(1, dtype=np.int64)
        self._reasons = [""]

    def new(self, n: int) -> torch.Tensor:
        """Return n labels that nothing else has."""
        start = len(self._parent)
        self._parent = np.concatenate([self._parent, np.arange(start, start + n)])
        self._why = np.concatenate([self._why, np.zeros(n, dtype=np.int64)])
        return torch.arange(start, start + n)

    def roots(self, labels: torch.Tensor) -> torch.Tensor:
        """Return one label for each class."""
        (entries,) = _stored(labels)
        root = self._parent[entries.numpy()]
        while True:
            above = self._parent[root]
            if np.array_equal(above, root):
                return torch.from_numpy(np.asarray(root)).expand(labels.shape)
            root = above

    def join(self, a: torch.Tensor, b: torch.Tensor, *, reason: bool = False) -> None:
        """Put labels into one class, position by position; with `reason`, remember the operation that did it."""
        a, b = _stored(*torch.broadcast_tensors(self.roots(a), self.roots(b)))
        # One number for a pair, because rows are slow to sort.
        coded = np.unique((a * len(self._parent) + b)[a != b].numpy())
        if len(coded) == 0:
            return
        pairs = np.stack(np.divmod(coded, len(self._parent)), 1)
        fixing = (pairs == FIXED).any(1)
        if reason or fixing.any():
            self._explain(np.unique(pairs if reason else pairs[fixing]))
        self._parent[pairs[fixing].max(1)] = FIXED  # these are roots, and may be many
        for x, y in pairs[~fixing].tolist():
            x, y = self._root(x), self._root(y)
            self._parent[max(x, y)] = min(x, y)

    def fix(self, labels: torch.Tensor) -> None:
        """Make labels impossible to remove."""
        self.join(labels, torch.tensor(FIXED))

    def couple(self, labels: torch.Tensor, axis: int) -> None:
        """Join all positions along an axis, separately for each index of the other axes."""
        if labels.shape[axis] > 1:
            self.join(labels.narrow(axis, 0, 1), labels, reason=True)

    def varies(self, labels: torch.Tensor) -> list[int]:
        """Return the axes along which the class of a position changes."""
        root = self.roots(labels)
        (entries,) = _stored(root)
        return [a for a in range(root.ndim) if bool((entries != entries.narrow(a, 0, min(1, root.shape[a]))).any())]

    def reason(self, labels: torch.Tensor) -> str:
        """Return the last operation that coupled any of these labels, or that fixed it, or nothing."""
        return self._reasons[int(self._why[labels.numpy().ravel()].max(initial=0))]

    def _root(self, label: int) -> int:
        while self._parent[label] != label:
            self._parent[label] = self._parent[self._parent[label]]
            label = int(self._parent[label])
        return label

    def _explain(self, roots: np.ndarray) -> None:
        roots = roots[roots != FIXED]
        everything = self.roots(torch.arange(len(self._parent))).numpy()
        self._reasons.append(self.where)
        self._why[np.isin(everything, roots)] = len(self._reasons) - 1


def _stored(*tensors: torch.Tensor) -> list[torch.Tensor]:
    """Return tensors of one shape without the repetitions that ``expand`` made in all of them."""
    repeated = [a for a in range(tensors[0].ndim) if all(t.stride(a) == 0 for t in tensors)]
    found = list(tensors)
    for axis in repeated:
        found = [t.narrow(axis, 0, min(1, t.shape[axis])) for t in found]
    return found


def combine(partition: Partition, values: Sequence[Value], shape: Sequence[int], *, product: bool) -> Value:
    """Return what an elementwise operation on broadcast tensors gives.

    Parameters
    ----------
    partition : Partition
    values : sequence of Value
        Their shapes broadcast to `shape`.
    shape : sequence of int
    product : bool
        0 where one of the operands is 0, as in a product; else where all are.

    Notes
    -----
    An operand with one entry along an axis meets all units that another has there. If it has units itself, those
    of the other are coupled, for a result with units along two axes could not be cut; if not, it must stay as it
    is. Parameters have units along those axes only along which other operands have.
    """
    ndim = len(shape)
    labels = [partition.roots(v.labels).reshape((1,) * (ndim - v.labels.ndim) + tuple(v.labels.shape)) for v in values]
    zeros = [v.zero.reshape((1,) * (ndim - v.zero.ndim) + tuple(v.zero.shape)) for v in values]
    bound = [x for x, v in zip(labels, values, strict=True) if not v.free]
    if bound:
        with_units = {a for x in bound for a in partition.varies(x)}
        for x, v in zip(labels, values, strict=True):
            for axis in range(ndim) if v.free else ():
                if axis not in with_units:
                    partition.couple(x, axis)
    for x in labels:
        # In this order, so that of the units of two operands that cross (heads and their channels) the first stay.
        mine = partition.varies(x)
        for other in labels if mine else ():
            for axis in partition.varies(other):
                if x.shape[axis] == 1:
                    partition.couple(other, axis)
    axes = sorted({a for x in labels for a in partition.varies(x)})
    taking_part = []
    for x in labels:
        if all(x.shape[a] > 1 for a in axes):
            taking_part.append(_compress(x, axes, torch.Tensor.narrow))
        else:
            partition.fix(x)
    for x in taking_part[1:]:
        partition.join(taking_part[0], x)
    zeros = [_compress(z, axes, lambda t, a, *_: t.all(a, keepdim=True)) for z in zeros]
    zero = zeros[0]
    for z in zeros[1:]:
        zero = (zero | z) if product else (zero & z)
    return Value(taking_part[0].expand(*shape), zero.expand(*shape), not bound)


def _compress(x: torch.Tensor, keep: Sequence[int], reduce) -> torch.Tensor:
    for axis in range(x.ndim):
        if axis not in keep and x.shape[axis] > 1:
            x = reduce(x, axis, 0, 1)
    return x
