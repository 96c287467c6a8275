"""A network as a graph: its units are nodes, and the weights that are left are arcs."""

import copy

import numpy as np
import torch
from torch import nn

from neuroprune.bridge.chain import Chain
from neuroprune.bridge.masks import bake_all
from neuroprune.netsci import Graph


def network_graph(model: nn.Module, x: torch.Tensor) -> Graph:
    """Return the graph of a network's units, from inputs to outputs.

    Parameters
    ----------
    model : nn.Module
        A chain of Linear and Conv2d layers; masks count as zeros.
    x : tensor
        Inputs to call it with.

    Returns
    -------
    Graph
        Directed. Nodes are named ``input.3`` or ``layer.3``, and stand at (depth, place in the layer). A filter, or a
        channel of the input, is one node. The weight of an arc is the weight between two units; of several (those of a
        kernel, or of the places of a channel that was flattened) it is the root of the sum of their squares, with the
        sign of their sum. Units that nothing joins are nodes, too.

    Raises
    ------
    SpecificationError
        If the network is no chain.

    Examples
    --------
    >>> model = nn.Sequential(nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1))
    >>> network_graph(model, torch.randn(1, 2))
    <Graph: 6 nodes, 9 arcs, weighted>
    """
    plain = copy.deepcopy(model)
    bake_all(plain)
    chain = Chain(plain, x)
    sources, targets, weights = [], [], []
    for k, layer in enumerate(chain.layers.values()):
        values = layer.weight.detach()
        strength = np.sqrt(chain.between_units(k, values.double().square()))
        signed = np.where(chain.between_units(k, values) < 0, -strength, strength)
        source, target = chain.arcs(k, strength > 0)
        sources.append(source)
        targets.append(target)
        weights.append(signed[target - chain.offsets[k + 1], source - chain.offsets[k]])
    return Graph.from_coo(
        np.concatenate(sources),
        np.concatenate(targets),
        np.concatenate(weights),
        n=int(chain.offsets[-1]),
        names=[
            f"{name}.{unit}"
            for name, size in zip(["input", *chain.names], chain.sizes, strict=True)
            for unit in range(size)
        ],
        positions=np.asarray([(k, unit) for k, size in enumerate(chain.sizes) for unit in range(size)], np.float64),
    )
