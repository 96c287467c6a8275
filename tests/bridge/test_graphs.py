"""Networks as graphs: arcs are the weights that are left, and network science measures them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
from torch import nn  # noqa: E402

from neuroprune.bridge import Budget, prune  # noqa: E402
from neuroprune.bridge.graphs import network_graph  # noqa: E402
from neuroprune.core.errors import SpecificationError  # noqa: E402
from neuroprune.netsci.bipartite import bifans, layers  # noqa: E402
from neuroprune.rules import WeakestFirst  # noqa: E402


def test_a_perceptron_by_hand() -> None:
    model: Any = nn.Sequential(nn.Linear(2, 2), nn.ReLU(), nn.Linear(2, 1))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[1.0, -2.0], [0.0, 3.0]]))
        model[2].weight.copy_(torch.tensor([[-4.0, 5.0]]))
    graph = network_graph(model, torch.randn(1, 2))
    assert graph.names == ("input.0", "input.1", "0.0", "0.1", "2.0")
    assert graph.weight is not None
    arcs = {(int(a), int(b)): float(w) for a, b, w in zip(graph.source, graph.target, graph.weight, strict=True)}
    assert arcs == {(0, 2): 1.0, (1, 2): -2.0, (1, 3): 3.0, (2, 4): -4.0, (3, 4): 5.0}
    assert graph.positions is not None and graph.positions.tolist() == [[0, 0], [0, 1], [1, 0], [1, 1], [2, 0]]


def test_filters_and_flattened_channels_are_one_node_each() -> None:
    model: Any = nn.Sequential(nn.Conv2d(1, 2, 2), nn.ReLU(), nn.Flatten(), nn.Linear(8, 2))
    with torch.no_grad():
        model[0].weight.copy_(torch.tensor([[[[3.0, 0.0], [0.0, -4.0]]], [[[0.0, 0.0], [0.0, 0.0]]]]))
        model[3].weight.zero_()
        model[3].weight[1, 4:] = 1.0  # four places of the second channel
    graph = network_graph(model, torch.randn(1, 1, 3, 3))
    assert graph.n == 5 and graph.weight is not None
    arcs = {(int(a), int(b)): float(w) for a, b, w in zip(graph.source, graph.target, graph.weight, strict=True)}
    assert arcs == {(0, 1): -5.0, (2, 4): 2.0}


def test_a_pruned_network_has_as_many_arcs_as_living_weights_and_layers_by_depth() -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(20, 30), nn.ReLU(), nn.Linear(30, 10))
    prune(model, [WeakestFirst()], budget=Budget(0.8))
    graph = network_graph(model, torch.randn(2, 1, 4, 5))
    assert len(graph.source) == 180 and graph.n == 60
    assert bifans(graph) > 0
    joined = np.unique(np.concatenate([graph.source, graph.target]))
    depth = layers(graph)
    assert depth is None or (np.diff(depth[joined]) >= 0).all()


def test_what_is_no_chain_is_refused() -> None:
    class Residual(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 4), nn.Linear(4, 4)

        def forward(self, x):
            return self.b(x + self.a(x))

    with pytest.raises(SpecificationError, match="no chain of layers"):
        network_graph(Residual(), torch.randn(2, 4))
