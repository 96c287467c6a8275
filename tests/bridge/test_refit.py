"""The last layer fitted again: which layer, to what, and how well."""

import numpy as np
import pytest
import torch
from torch import nn

from neuroprune.bridge.images import Split
from neuroprune.bridge.masks import mask_weight
from neuroprune.bridge.refit import refit_last_layer
from neuroprune.bridge.training import evaluate
from neuroprune.core.errors import SpecificationError
from neuroprune.solvers.l0 import fit_l0


def blobs(n: int = 600, seed: int = 0) -> Split:
    generator = torch.Generator().manual_seed(seed)
    y = torch.randint(0, 4, (n,), generator=generator)
    centres = 2.0 * torch.randn(4, 6, generator=torch.Generator().manual_seed(1))
    return Split(centres[y] + torch.randn(n, 6, generator=generator), y)


class Network(nn.Module):
    """Its layers are listed in another order than they run in."""

    def __init__(self, bias: bool = True) -> None:
        super().__init__()
        torch.manual_seed(2)
        self.head = nn.Linear(30, 4, bias=bias)
        self.drop = nn.Dropout(0.5)
        self.body = nn.Linear(6, 30)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.drop(self.body(x).relu()))

    def features(self, x: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            return self.body(x).relu().double().numpy()


def test_the_last_layer_becomes_a_sparse_regression() -> None:
    model, data = Network(), blobs()
    before = evaluate(model, blobs(seed=5)).accuracy
    first = model.body.weight.clone()
    report = refit_last_layer(model, data, k=5, batch_size=250)
    wanted = fit_l0(model.features(data.x), np.eye(4)[data.y], k=5, intercept=True)
    assert report.layer == "head" and report.density == 20 / 120
    assert model.head.weight.detach().numpy() == pytest.approx(wanted.coefficients.T, rel=1e-4, abs=1e-6)
    assert model.head.bias.detach().numpy() == pytest.approx(wanted.intercept, rel=1e-4)
    assert torch.count_nonzero(model.head.weight, dim=1).tolist() == [5] * 4
    assert torch.equal(model.body.weight, first) and model.head.weight.requires_grad and model.training
    assert report.solution.gap < 1.0 and set(report.as_dict()) >= {"layer", "value", "lower_bound", "gap", "proven"}
    assert evaluate(model, blobs(seed=5)).accuracy > max(0.9, before + 0.3)


def test_a_layer_without_bias_is_fitted_to_centred_classes() -> None:
    model, data = Network(bias=False), blobs()
    refit_last_layer(model, data, penalty=1.0)
    targets = np.eye(4)[data.y]
    wanted = fit_l0(model.features(data.x), targets - targets.mean(axis=0), penalty=1.0)
    assert model.head.weight.detach().numpy() == pytest.approx(wanted.coefficients.T, rel=1e-4, abs=1e-6)


def test_given_targets_are_fitted() -> None:
    model, data = Network(), blobs()
    with torch.no_grad():
        dense = model.eval()(data.x)
        report = refit_last_layer(model, data, k=30, targets=dense)
        assert report.solution.value < 1e-6
        assert model(data.x).numpy() == pytest.approx(dense.numpy(), abs=1e-3)
    assert not model.training


def test_what_cannot_be_fitted_is_refused() -> None:
    data = blobs()
    with pytest.raises(SpecificationError, match=r"no nn\.Linear runs"):
        refit_last_layer(nn.Sequential(nn.BatchNorm1d(6)), data, k=1)
    with pytest.raises(SpecificationError, match="4 classes but the layer has 3 outputs"):
        refit_last_layer(nn.Sequential(nn.Linear(6, 3)), data, k=1)
    with pytest.raises(SpecificationError, match="there is a class -1: classes are numbered from 0"):
        refit_last_layer(Network(), Split(data.x, data.y - 1), k=1)
    with pytest.raises(SpecificationError, match=r"targets must have shape \(600, 4\), not \(600,\)"):
        refit_last_layer(Network(), data, k=1, targets=torch.zeros(600))
    with pytest.raises(SpecificationError, match=r"the input of 0 has shape \(1, 2, 3\)"):
        refit_last_layer(nn.Sequential(nn.Linear(3, 4)), Split(data.x.view(-1, 2, 3), data.y), k=1)
    with pytest.raises(SpecificationError, match="no images"):
        refit_last_layer(Network(), Split(data.x[:0], data.y[:0]), k=1)
    with pytest.raises(SpecificationError, match="k must be"):
        refit_last_layer(Network(), data, k=31)
    broken = Network()
    with torch.no_grad():
        broken.body.weight[0] = torch.nan
    with pytest.raises(SpecificationError, match="features must be finite"):
        refit_last_layer(broken, data, k=1)


def test_masked_weights_are_refused() -> None:
    model = Network()
    mask_weight(model.head)
    with pytest.raises(SpecificationError, match="the weights of head are parametrized"):
        refit_last_layer(model, blobs(), k=1)
