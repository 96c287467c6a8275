"""Critical neurons: the cheapest hidden units whose removal cuts a class, or a whole network, off from its inputs."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from neuroprune.bridge.chain import Chain, silenced
from neuroprune.bridge.costs import call_network
from neuroprune.bridge.images import Split
from neuroprune.bridge.training import evaluating
from neuroprune.core.errors import GraphError, SpecificationError
from neuroprune.solvers.vertex_cut import Cut, minimum_vertex_cut

RELEVANCE = 0.55
"""Share of a unit's support that is kept where none is given; on MNIST it makes cuts of 1.5 % of LeNet-300-100."""
BATCH = 1024


@dataclass(frozen=True)
class CriticalNeurons:
    """Hidden units whose removal leaves no relevant path from the inputs to a class.

    Parameters
    ----------
    target : int
        The class.
    relevance : float
    units : mapping of layer to int array
        The cut, by the layer whose outputs the units are; layers without one are left out.
    ranked : mapping of layer to int array
        As many units, those with the most relevance in the whole network: what the cut is to be compared with.
    n_hidden : int
        Hidden units of the network.
    n_connections : int
        Connections of the subgraph.
    cut : Cut
        With the flow that proves it cheapest.
    """

    target: int
    relevance: float
    units: Mapping[str, np.ndarray]
    ranked: Mapping[str, np.ndarray]
    n_hidden: int
    n_connections: int
    cut: Cut

    @property
    def n_units(self) -> int:
        """Return how many units are in the cut."""
        return self.cut.nodes.size


def critical_neurons(
    model: nn.Module,
    data: Split,
    target: int,
    relevance: float = RELEVANCE,
    *,
    costs: Mapping[str, Any] | None = None,
) -> CriticalNeurons:
    """Find the cheapest hidden units that carry a class: without them no relevant path leads to it.

    Parameters
    ----------
    model : nn.Module
        A chain of Linear or Conv2d layers with what keeps units apart between them; a filter counts as one unit.
    data : Split
        Images to measure relevance on; only those of the class are used.
    target : int
        The class.
    relevance : float
        Share of the support of each unit that is kept, from the class backwards: more of it, larger cuts.
    costs : mapping of layer to float array, optional
        Of removing each unit of a layer, above 0, 1 where not given. An infinite cost keeps a unit.

    Returns
    -------
    CriticalNeurons

    Raises
    ------
    SpecificationError
        If there is no such class, the network is no chain or has no output for the class, or `relevance` is not above
        0 and at most 1.
    GraphError
        If nothing supports the class, so that nothing connects it.

    Notes
    -----
    The margin of an image is the logit of its class less the highest other one. A connection supports the class as
    far as removing it would lower the margin, to first order, on average over the images of the class:

    .. math:: r_{ij} = \\max(0, w_{ij} \\, E[\\partial \\mathrm{margin} / \\partial w_{ij}])

    which for a dense layer is the mean of activity times weight times gradient. From the margin backwards, each unit
    keeps the fewest connections that carry `relevance` of its support, and units that nothing kept leads to drop out.
    What remains is where the cut is sought.

    In trained LeNet-300-100 all cuts were those units of the last hidden layer that the threshold kept (see the
    study). So a cut silences about as well as as many units of most relevance do; what it adds is how many it takes,
    the guarantee that no relevant path is left, and the proof that fewer would leave one. Support of the margin finds
    units that spare other classes better than :math:`E|x_i w_{ij}|` does. In convolutional networks the cheapest cut
    can be a few early filters, on which all classes depend: infinite costs keep those.
    """
    if not 0 < relevance <= 1:
        raise SpecificationError(f"relevance is {relevance}, and must be a share above 0 and at most 1")
    mine = torch.nonzero(data.y == target)[:, 0]
    if not len(mine):
        known = ", ".join(map(str, torch.unique(data.y).tolist()))
        raise SpecificationError(f"there are no images of class {target!r}: classes are {known}")
    chain = Chain(model, data.x[mine[:2]])
    support = _support(model, chain, data.x[mine], int(target))
    sources, targets, present = _relevant_arcs(chain, support, relevance)
    sink = int(chain.offsets[-2])
    if not targets.size or not present[0].any():
        raise GraphError(f"the network is disconnected: no connection supports class {target}")
    cut = minimum_vertex_cut(
        sink + 1, sources, targets, chain.costs(costs)[: sink + 1],
        sources=np.arange(chain.sizes[0]), sinks=[sink],
    )  # fmt: skip
    if not cut.nodes.size:
        raise GraphError(f"the network is disconnected: no path of support leads from the inputs to class {target}")
    strength = np.concatenate([s.sum(0) for s in support[1:]])
    ranked = np.sort(np.argsort(-strength, kind="stable")[: cut.nodes.size]) + chain.sizes[0]
    return CriticalNeurons(
        int(target), relevance, chain.by_layer(cut.nodes), chain.by_layer(ranked), chain.n_hidden, sources.size, cut
    )


def _support(model: nn.Module, chain: Chain, x: torch.Tensor, target: int) -> list[np.ndarray]:
    """Return, for each layer, what its connections between units add to the margin on average, of either sign."""
    weights = [layer.weight for layer in chain.layers.values()]
    totals = [torch.zeros_like(w) for w in weights]
    with evaluating(model), torch.enable_grad():
        for batch in x.split(BATCH):
            out = _logits(model, batch.to(weights[0].device), target)
            others = out.clone()
            others[:, target] = -torch.inf
            margin = out[:, target] - others.amax(1)
            for total, gradient in zip(totals, torch.autograd.grad(margin.sum(), weights), strict=True):
                total += gradient
    found = [
        chain.between_units(k, (w.detach() * g) / len(x)) for k, (w, g) in enumerate(zip(weights, totals, strict=True))
    ]
    found[-1] = found[-1].sum(0, keepdims=True)  # all outputs meet in the margin
    return found


def _logits(model: nn.Module, x: torch.Tensor, target: int) -> torch.Tensor:
    """Return the outputs of a network, of which a class has one and its rivals others."""
    out = call_network(model, (x,))
    if out.ndim != 2 or out.shape[1] <= max(1, target):
        raise SpecificationError(
            f"{type(model).__name__} returns {tuple(out.shape)} for {len(x)} images: for class {target} and its rivals "
            f"that must be ({len(x)}, {max(1, target) + 1}) or wider"
        )
    return out


def _relevant_arcs(
    chain: Chain, support: list[np.ndarray], relevance: float
) -> tuple[np.ndarray, np.ndarray, list[np.ndarray]]:
    """Return the arcs of the relevant subgraph, and for each layer a mask of them."""
    present: list[np.ndarray] = []
    reached: np.ndarray = np.ones(1, bool)
    for values in reversed(support):
        kept = _carries(np.maximum(values, 0.0), relevance) & reached[:, None]
        present.insert(0, kept)
        reached = np.any(kept, axis=0)
    arcs = [chain.arcs(k, kept) for k, kept in enumerate(present)]
    return np.concatenate([a for a, _ in arcs]), np.concatenate([b for _, b in arcs]), present


def _carries(values: np.ndarray, share: float) -> np.ndarray:
    """Return the fewest entries of each row that carry a share of its sum."""
    order = np.argsort(-values, axis=1, kind="stable")
    ranked = np.take_along_axis(values, order, 1)
    before = np.cumsum(ranked, 1) - ranked
    kept = np.zeros(values.shape, bool)
    np.put_along_axis(kept, order, before < share * ranked.sum(1, keepdims=True), 1)
    return kept & (values > 0)


def weakest_cut(
    model: nn.Module, example: torch.Tensor, costs: Mapping[str, Any] | None = None
) -> tuple[dict[str, np.ndarray], Cut]:
    """Find the cheapest hidden units that separate all inputs of a network from all its outputs.

    In a dense network that is always a whole layer: while one unit of each layer is left, they form a path. Pruned by
    magnitude, LeNet-300-100 has a cut as large as its narrowest layer, counting units that are alive, or a few units
    smaller (measured up to 98 % sparsity, see the study). So it says little more than which layer is narrowest or
    cheapest. Networks that are sparse at random have smaller cuts; ask :func:`critical_neurons` for those of a class.

    Parameters
    ----------
    model : nn.Module
        A chain, as for :func:`critical_neurons`; weights of 0 are no connections.
    example : tensor
        Inputs to call it with.
    costs : mapping of layer to float array, optional
        Of removing each unit of a layer, 1 where not given.

    Returns
    -------
    units : dict of layer to int array
    cut : Cut

    Raises
    ------
    SpecificationError
        If the network is no chain or costs make no sense.
    GraphError
        If no path leads from the inputs to the outputs.
    """
    chain = Chain(model, example)
    arcs = [
        chain.arcs(k, chain.between_units(k, (layer.weight.detach() != 0).float()) > 0)
        for k, layer in enumerate(chain.layers.values())
    ]
    n = int(chain.offsets[-1])
    cut = minimum_vertex_cut(
        n, np.concatenate([a for a, _ in arcs]), np.concatenate([b for _, b in arcs]), chain.costs(costs),
        sources=np.arange(chain.sizes[0]), sinks=np.arange(chain.offsets[-2], n),
    )  # fmt: skip
    if not cut.nodes.size:
        raise GraphError("the network is disconnected: no path leads from its inputs to its outputs")
    return chain.by_layer(cut.nodes), cut


@dataclass(frozen=True)
class Ablation:
    """Accuracy without some units, in [0, 1]: of a class, and the mean of the other classes."""

    target: float
    others: float


def ablate(model: nn.Module, data: Split, units: Mapping[str, np.ndarray], target: int) -> Ablation:
    """Return how well a class and the others are recognised while some hidden units are silent.

    Parameters
    ----------
    model : nn.Module
    data : Split
    units : mapping of layer to int array
    target : int

    Raises
    ------
    SpecificationError
        If there are no images of the class, or of any other, or the network has no output for the class.
    """
    with silenced(model, data.x[:2], units), evaluating(model), torch.no_grad():
        device = next(model.parameters()).device
        guess = torch.cat([_logits(model, x.to(device), target).argmax(1) for x in data.x.split(BATCH)]).to(
            data.y.device
        )
    right = guess == data.y
    accuracy = {int(c): float(right[data.y == c].double().mean()) for c in torch.unique(data.y)}
    if target not in accuracy or len(accuracy) < 2:
        raise SpecificationError(f"images of class {target} and of others are needed, but they are of {list(accuracy)}")
    own = accuracy.pop(target)
    return Ablation(own, sum(accuracy.values()) / len(accuracy))


@dataclass(frozen=True)
class Trial:
    """A class before and after its critical neurons are silent, beside other sets of as many units.

    Parameters
    ----------
    found : CriticalNeurons
    before, cut, ranked : Ablation
        With all units; without the cut; without the units of most relevance.
    random : tuple of Ablation
        Without units drawn at random.
    """

    found: CriticalNeurons
    before: Ablation
    cut: Ablation
    ranked: Ablation
    random: tuple[Ablation, ...]

    def lost(self, after: Ablation) -> tuple[float, float]:
        """Return by how much the accuracy of the class and of the others fell, in [-1, 1]."""
        return self.before.target - after.target, self.before.others - after.others

    @property
    def lost_at_random(self) -> tuple[float, float]:
        """Return the mean of what the class and the others lost without random units."""
        losses = np.array([self.lost(after) for after in self.random])
        return float(losses[:, 0].mean()), float(losses[:, 1].mean())


def try_critical(
    model: nn.Module,
    data: Split,
    test: Split,
    target: int,
    relevance: float = RELEVANCE,
    *,
    costs: Mapping[str, Any] | None = None,
    draws: int = 10,
    seed: int = 0,
) -> Trial:
    """Find the critical neurons of a class, and measure what silencing them does against sets of the same size.

    Parameters
    ----------
    model, data, target, relevance, costs
        As for :func:`critical_neurons`.
    test : Split
        Images to measure accuracy on.
    draws : int
        Random sets, 1 or more.
    seed : int

    Returns
    -------
    Trial
    """
    if draws < 1:
        raise SpecificationError(f"draws is {draws}, and must be 1 or more")
    found = critical_neurons(model, data, target, relevance, costs=costs)
    chain = Chain(model, test.x[:2])
    rng = np.random.default_rng((seed, target))
    sets = [
        chain.by_layer(np.sort(rng.choice(chain.n_hidden, found.n_units, replace=False)) + chain.sizes[0])
        for _ in range(draws)
    ]
    return Trial(
        found,
        ablate(model, test, {}, target),
        ablate(model, test, found.units, target),
        ablate(model, test, found.ranked, target),
        tuple(ablate(model, test, units, target) for units in sets),
    )
