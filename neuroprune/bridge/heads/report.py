"""What the heads of a network do: measured once, and read by tables, figures and selection."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from neuroprune.bridge.heads.attention import Observation, attending
from neuroprune.bridge.heads.divergence import entropy, pairwise_jensen_shannon
from neuroprune.bridge.heads.importance import Batch, Loss, gate_gradients, require_attention
from neuroprune.bridge.training import evaluating
from neuroprune.core.errors import SpecificationError


@dataclass(frozen=True)
class HeadReport:
    """Diagnostics of all heads of a network, layer by layer in the order in which they run.

    Parameters
    ----------
    layers : tuple of str
        Name of the layer of each head.
    indices : int array, shape (heads,)
        Number of each head in its layer.
    entropy : float array, shape (heads,)
        Mean entropy of attention over queries, in nats.
    divergence : float array, shape (heads, heads)
        Mean Jensen-Shannon divergence of attention over queries, in nats; NaN where two layers have not the same
        queries and keys.
    fisher : float array, shape (heads,)
        Gate Fisher: mean over samples of the squared gradient of the loss with respect to a gate on each head.
    samples : int

    Notes
    -----
    Entropy and divergence describe heads and do not tell which can go: on a sentence encoder in use, the most diffuse
    heads and those nearest to another were worse to remove than heads at random
    (``analysis/results/head_redundancy.txt``).
    """

    layers: tuple[str, ...]
    indices: np.ndarray
    entropy: np.ndarray
    divergence: np.ndarray
    fisher: np.ndarray
    samples: int

    def __len__(self) -> int:
        return len(self.layers)

    def nearest(self, left: np.ndarray | None = None, *, within_layer: bool = False) -> np.ndarray:
        """Return the divergence of each head from the most similar other one, shape (heads,).

        Parameters
        ----------
        left : bool array, shape (heads,), optional
            Only these heads are looked for.
        within_layer : bool
            Only heads of the same layer are looked for.

        Returns
        -------
        float array, shape (heads,)
            ln 2, the largest possible, for a head that has no other to be compared with.
        """
        others = self.divergence.copy()
        np.fill_diagonal(others, np.nan)
        if within_layer:
            layers = np.array(self.layers)
            others[layers[:, None] != layers] = np.nan
        if left is not None:
            others[:, ~left] = np.nan
        return np.where(np.isnan(others), np.log(2), others).min(1, initial=np.log(2))

    def linkage(self) -> np.ndarray:
        """Return the hierarchical clustering of heads by the square root of their divergence (average linkage).

        Returns
        -------
        float array, shape (heads - 1, 4)
            As of ``scipy.cluster.hierarchy.linkage``. Heads that cannot be compared are as far apart as can be.

        Raises
        ------
        SpecificationError
            If there is one head only.
        """
        from scipy.cluster.hierarchy import linkage
        from scipy.spatial.distance import squareform

        if len(self) < 2:
            raise SpecificationError("one head cannot be clustered")
        distance = np.sqrt(np.where(np.isnan(self.divergence), np.log(2), self.divergence))
        np.fill_diagonal(distance, 0)
        return linkage(squareform(distance, checks=False), "average")

    def clusters(self, divergence: float) -> np.ndarray:
        """Return the number of the cluster of each head, from 1; clusters are further apart than a divergence.

        Parameters
        ----------
        divergence : float
            In nats, from 0 to ln 2; the distance at which clusters are parted is its square root.
        """
        from scipy.cluster.hierarchy import fcluster

        if not 0 <= divergence <= np.log(2):
            raise SpecificationError(f"a divergence is from 0 to ln 2 = 0.693, not {divergence}")
        return fcluster(self.linkage(), np.sqrt(divergence), "distance")

    def to_dict(self) -> dict[str, Any]:
        """Return it as lists, for JSON; what is undefined is None."""
        columns = zip(self.layers, self.indices, self.entropy, self.nearest(), self.fisher, strict=True)
        return {
            "samples": self.samples,
            "heads": [
                {"layer": layer, "head": int(k), "entropy": float(h), "nearest_js": float(js), "fisher": float(f)}
                for layer, k, h, js, f in columns
            ],
            "js": [[None if np.isnan(x) else float(x) for x in row] for row in self.divergence],
        }


def head_report(model: nn.Module, batches: Iterable[Batch], loss: Loss, *, seed: int = 0) -> HeadReport:
    """Measure the heads of a network.

    Parameters
    ----------
    model : nn.Module
        It runs in evaluation mode, and is left in the mode it was in.
    batches : iterable of Batch
        A few hundred samples or fewer. Batches of different lengths are fine.
    loss : Loss
        What heads are important for: :class:`CrossEntropy`, :class:`OwnClasses`, :class:`SelfDistance`.
    seed : int
        Of what the loss draws.

    Returns
    -------
    HeadReport

    Raises
    ------
    SpecificationError
        If there are no batches, no attention is seen, layers change between batches, or what is measured is not
        finite.
    """
    generator = torch.Generator().manual_seed(seed)
    sums = _Sums()
    with evaluating(model):
        for batch in batches:
            seen: dict[str, Observation] = {}
            with torch.no_grad(), attending(model, observe=lambda o, seen=seen: seen.setdefault(o.layer, o)):
                batch.run(model)
            require_attention(model, seen)
            sums.observe(list(seen.values()), batch.tokens)
            sums.gradients(gate_gradients(model, batch, loss, generator))
    return sums.report()


class _Sums:
    """Adds up what batches give."""

    def __init__(self) -> None:
        self.sizes: dict[str, int] = {}
        self.samples = 0

    def observe(self, seen: list[Observation], tokens: torch.Tensor | None) -> None:
        """Add the attention of a batch."""
        sizes = {o.layer: o.probabilities.shape[1] for o in seen}
        n = sum(sizes.values())
        if not self.sizes:
            self.sizes = sizes
            self.entropy, self.rows = np.zeros(n), np.zeros(n)
            self.divergence, self.pairs = np.zeros((n, n)), np.zeros((n, n))
            self.fisher = np.zeros(n)
        if sizes != self.sizes:
            raise SpecificationError(f"heads by layer are {sizes} in one batch and {self.sizes} in another")
        if tokens is not None and all(o.rows.shape != tokens.shape for o in seen):
            raise SpecificationError(
                f"the tokens of a batch are {tuple(tokens.shape)}, and no layer has so many queries: "
                f"they have {', '.join(str(tuple(shape)) for shape in dict.fromkeys(o.rows.shape for o in seen))}"
            )
        start = np.cumsum([0, *sizes.values()])
        groups: list[tuple[Observation, torch.Tensor, list[int]]] = []
        for k, o in enumerate(seen):
            rows = o.rows
            if tokens is not None and tokens.shape == rows.shape:
                rows = rows & tokens.to(rows.device)
            for first, rows_there, members in groups:
                same = first.probabilities.shape[::3] == o.probabilities.shape[::3]
                if same and rows_there.shape == rows.shape and torch.equal(rows_there, rows):
                    members.append(k)
                    break
            else:
                groups.append((o, rows, [k]))
        for _, rows, members in groups:
            # Layers whose queries and keys are as many are taken to have the same ones.
            p = torch.cat([seen[k].probabilities.transpose(0, 1)[:, rows] for k in members])
            at = np.concatenate([np.arange(start[k], start[k + 1]) for k in members])
            self.entropy[at] += entropy(p).sum(1, dtype=torch.float64).cpu().numpy()
            self.rows[at] += p.shape[1]
            self.divergence[np.ix_(at, at)] += pairwise_jensen_shannon(p).cpu().numpy()
            self.pairs[np.ix_(at, at)] += p.shape[1]

    def gradients(self, found: dict[str, torch.Tensor]) -> None:
        """Add the gates' gradients of a batch."""
        g = torch.cat(list(found.values()), -1).double()
        self.fisher += g.square().mean(0).sum(0).cpu().numpy()
        self.samples += g.shape[1]

    def report(self) -> HeadReport:
        """Return the means.

        Raises
        ------
        SpecificationError
            If nothing was added, or it is not finite.
        """
        if self.samples == 0:
            raise SpecificationError("there are no samples to measure heads with")
        if not self.rows.all():
            raise SpecificationError("attention has no query that counts: every position is padding")
        with np.errstate(invalid="ignore"):
            divergence = self.divergence / self.pairs
        if not (np.isfinite(self.fisher).all() and np.isfinite(self.entropy).all()):
            raise SpecificationError("attention or its gradients are not finite: NaN in the weights or the data")
        layers = tuple(layer for layer, n in self.sizes.items() for _ in range(n))
        indices = np.concatenate([np.arange(n) for n in self.sizes.values()])
        return HeadReport(
            layers, indices, self.entropy / self.rows, divergence, self.fisher / self.samples, self.samples
        )
