"""Counts of subgraph classes, with names and the numbers that other programs give them."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import overload

import numpy as np

from neuroprune.core.errors import GraphError


@dataclass(frozen=True, eq=False, repr=False)
class Census:
    """How often each class of subgraph occurs.

    Parameters
    ----------
    labels : tuple of str, length classes
        Names of the classes.
    counts : array of int64, shape (classes,)
        Induced subgraphs of each class; Python integers (dtype object) where one exceeds int64.
    size : int
        Nodes of a subgraph.

    Examples
    --------
    >>> import numpy as np
    >>> census = Census(("030T", "030C"), np.array([3, 1]), 3)
    >>> census["030T"], census.to_dict()
    (3, {'030T': 3, '030C': 1})
    """

    labels: tuple[str, ...]
    counts: np.ndarray
    size: int

    @property
    def total(self) -> int:
        """All subgraphs counted."""
        return sum(self.to_dict().values())

    @overload
    def to_dict(self, numbering: None = None) -> dict[str, int]: ...

    @overload
    def to_dict(self, numbering: str) -> dict[int, int]: ...

    def to_dict(self, numbering: str | None = None) -> dict[str, int] | dict[int, int]:
        """Return the counts as Python integers, by name or by the number that another program uses.

        Parameters
        ----------
        numbering : {"milo", "mfinder", "bct", "igraph"}, optional
            Keys: None for names, which are those of networkx too; see
            :func:`~neuroprune.netsci.numbering.numbers` for the others. Only classes that have a number there are
            returned.

        Raises
        ------
        GraphError
            If there is no such numbering of subgraphs of this size.
        """
        counts = dict(zip(self.labels, (int(c) for c in self.counts), strict=True))
        if numbering is None:
            return counts
        from neuroprune.netsci.numbering import numbers

        number = numbers(self.size, numbering)
        return {number[label]: count for label, count in counts.items() if label in number}

    def __getitem__(self, label: str) -> int:
        try:
            return int(self.counts[self.labels.index(label)])
        except ValueError:
            raise GraphError(f"no class {label!r} in this census; there are {', '.join(self.labels)}") from None

    def __len__(self) -> int:
        return len(self.labels)

    def __iter__(self) -> Iterator[str]:
        return iter(self.labels)

    def __repr__(self) -> str:
        found = [f"{label} {count:,}" for label, count in self.to_dict().items() if count]
        return f"<Census of {self.size}-node subgraphs: {', '.join(found) or 'none found'}>"
