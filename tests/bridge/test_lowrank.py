"""Thinner dense layers: the theorem of Eckart and Young, the data's own optimum, and the choice of ranks."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrizations

from neuroprune.bridge.costs import network_cost
from neuroprune.bridge.lowrank import (
    calibrated_spectra,
    choose_ranks,
    energy_rank,
    factorize,
    factorize_to_budget,
    largest_saving_rank,
    plain_spectrum,
)
from neuroprune.bridge.lowrank.moments import Moments
from neuroprune.bridge.masks import mask_weight
from neuroprune.bridge.zoo import make_model
from neuroprune.core.errors import BudgetError, SpecificationError


def randn(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def linear(weight: torch.Tensor, bias: torch.Tensor | None = None) -> nn.Linear:
    layer = nn.Linear(weight.shape[1], weight.shape[0], bias=bias is not None)
    with torch.no_grad():
        layer.weight.copy_(weight)
        if bias is not None:
            layer.bias.copy_(bias)
    return layer


def product(pair: nn.Module) -> torch.Tensor:
    """Return the weight that two layers make up."""
    assert isinstance(pair, nn.Sequential)
    return (pair[1].weight @ pair[0].weight).detach().double()  # type: ignore[operator]


def correlated(n: int, d: int, *, mean: float = 0.0, seed: int = 0) -> torch.Tensor:
    """Return data whose covariance has eigenvalues 1, 1/4, 1/9, ..., in random directions."""
    q, _ = torch.linalg.qr(randn(d, d, seed=seed + 1))
    return randn(n, d, seed=seed) / torch.arange(1, d + 1) @ q.T + mean


def output_error(before: nn.Module, after: nn.Module, x: torch.Tensor) -> float:
    with torch.no_grad():
        return float((before(x).double() - after(x).double()).square().sum(1).mean())


# --- plain ---------------------------------------------------------------------------------------------------------


def test_a_diagonal_matrix_loses_its_smallest_entries() -> None:
    weight = torch.zeros(4, 6)
    weight[0, 2], weight[1, 0], weight[2, 5], weight[3, 1] = 4.0, -3.0, 2.0, 1.0
    spectrum = plain_spectrum(weight)
    assert spectrum.energies.tolist() == pytest.approx([16, 9, 4, 1])
    assert spectrum.errors.tolist() == pytest.approx([1, 14 / 30, 5 / 30, 1 / 30, 0])
    model = factorize(nn.Sequential(linear(weight)), {"0": 2}).model
    expected = weight.clone()
    expected[2, 5] = expected[3, 1] = 0
    torch.testing.assert_close(product(model[0]).float(), expected)  # type: ignore[index]


@given(m=st.integers(5, 12), d=st.integers(5, 12), rank=st.integers(1, 2), seed=st.integers(0, 99))
@settings(max_examples=25, deadline=None)
def test_the_distance_is_the_tail_of_the_singular_values(m: int, d: int, rank: int, seed: int) -> None:
    weight = randn(m, d, seed=seed)
    found = factorize(nn.Sequential(linear(weight)), {"0": rank})
    tail = np.linalg.svd(weight.numpy().astype(float), compute_uv=False)[rank:]
    distance = (product(found.model[0]) - weight.double()).norm()  # type: ignore[index]
    assert float(distance) == pytest.approx(float(np.sqrt((tail**2).sum())), rel=1e-5)
    (layer,) = found.layers
    assert layer.error == layer.plain_error == pytest.approx(float((tail**2).sum() / weight.double().norm() ** 2))


def test_a_matrix_of_low_rank_is_kept_to_the_last_digits() -> None:
    weight = randn(20, 3) @ randn(3, 30, seed=1)
    model = nn.Sequential(linear(weight, randn(20, seed=2)), nn.ReLU())
    found = factorize(model, 0.999999)
    assert found.ranks == {"0": 3}
    x = randn(50, 30, seed=3)
    torch.testing.assert_close(found.model(x), model(x), rtol=1e-5, atol=1e-5)
    assert found.layers[0].weights == (600, 150)


def test_both_factors_get_equal_sizes_by_direction() -> None:
    found = factorize(nn.Sequential(linear(randn(10, 14))), {"0": 4}).model[0]  # type: ignore[index]
    torch.testing.assert_close(found[0].weight.norm(dim=1), found[1].weight.norm(dim=0))


def test_a_zero_weight_has_rank_one() -> None:
    found = factorize(nn.Sequential(linear(torch.zeros(8, 9), torch.ones(8))), 0.9)
    assert found.ranks == {"0": 1}
    assert torch.equal(found.model(randn(3, 9)), torch.ones(3, 8))


def test_what_saves_nothing_is_left_and_said() -> None:
    model = nn.Sequential(nn.Linear(6, 3), nn.Linear(3, 30))
    found = factorize(model, {"0": 2, "1": 2})
    assert found.ranks == {"1": 2}
    first, second = found.layers
    assert (first.rank, first.reason) == (None, "rank 2 saves no weights (up to 1 does)")
    assert (second.reason, second.weights) == ("", (90, 66))
    assert type(found.model[0]) is nn.Linear  # type: ignore[index]


@given(st.integers(1, 40), st.integers(1, 40))
def test_the_largest_rank_that_saves(m: int, d: int) -> None:
    rank = largest_saving_rank(m, d)
    assert rank * (m + d) < m * d or rank == 0
    assert (rank + 1) * (m + d) >= m * d


def test_the_network_given_is_left_and_the_copy_is_like_it() -> None:
    model = nn.Sequential(nn.Linear(20, 20), nn.ReLU(), nn.Linear(20, 20, bias=False)).double()
    model[0].weight.requires_grad_(False)
    model.eval()
    state = {k: v.clone() for k, v in model.state_dict().items()}
    thinner = factorize(model, {"0": 3, "2": 4}).model
    assert all(torch.equal(v, state[k]) for k, v in model.state_dict().items())
    assert list(thinner.state_dict()) == ["0.0.weight", "0.1.weight", "0.1.bias", "2.0.weight", "2.1.weight"]
    assert {p.dtype for p in thinner.parameters()} == {torch.float64}
    assert [p.requires_grad for p in thinner.parameters()] == [False, False, True, True, True]
    assert not any(m.training for m in thinner.modules())
    assert factorize(model, {"0": 3}, copy=False).model is model
    assert isinstance(model[0], nn.Sequential)


# --- as the data see it --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("m", "d"), [(12, 20), (30, 16)])
@pytest.mark.parametrize("mean", [0.0, 1.5])
@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("regularisation", [None, 0.0, 0.1])
def test_on_its_data_it_beats_the_plain_svd(
    m: int, d: int, mean: float, bias: bool, regularisation: float | None
) -> None:
    layer = linear(randn(m, d), randn(m, seed=1) if bias else None)
    model, x = nn.Sequential(layer), correlated(400, d, mean=mean)
    rank = 4
    plain = factorize(model, {"0": rank})
    found = factorize(model, {"0": rank}, calibration=(x,), regularisation=regularisation)
    ours, theirs = output_error(model, found.model, x), output_error(model, plain.model, x)
    assert ours < 0.8 * theirs
    (report,) = found.layers
    z = x.double() @ layer.weight.detach().double().T
    power = (z - z.mean(0) if bias else z).square().sum(1).mean()
    assert report.error == pytest.approx(ours / float(power), rel=1e-4)
    assert report.plain_error == pytest.approx(theirs / float(power), rel=1e-4)


@given(share=st.floats(0, 1), rank=st.integers(1, 5), n=st.integers(8, 40), bias=st.booleans(), seed=st.integers(0, 99))
@settings(max_examples=40, deadline=None)
def test_it_is_never_worse_than_plain_on_its_data(share: float, rank: int, n: int, bias: bool, seed: int) -> None:
    layer = nn.Linear(12, 10, bias=bias)
    with torch.no_grad():
        layer.weight.copy_(randn(10, 12, seed=seed))
    x = correlated(n, 12, mean=0.5, seed=seed)
    found = calibrated_spectra(nn.Sequential(layer), {"0": layer}, (x,), regularisation=share)["0"]
    assert found.errors[rank] <= found.plain_errors[rank] + 1e-12
    # Among rows that are fewer than the inputs some directions carry nothing: no inverse is taken, nothing breaks.
    assert torch.isfinite(found.directions).all()


def test_the_optimum_is_the_whitened_svd() -> None:
    """Against the formula as published: factor W L, cut it off, and undo L."""
    weight, x, rank = randn(9, 14).double(), correlated(300, 14).double(), 3
    root = torch.linalg.cholesky(x.T @ x / len(x))
    u, s, v = torch.linalg.svd(weight @ root, full_matrices=False)
    expected = (u[:, :rank] * s[:rank]) @ v[:rank] @ torch.linalg.inv(root)
    model = nn.Sequential(linear(weight)).double()
    found = factorize(model, {"0": rank}, calibration=(x,), regularisation=0.0)
    torch.testing.assert_close(product(found.model[0]), expected)  # type: ignore[index]
    assert found.layers[0].error == pytest.approx(float((s[rank:] ** 2).sum() / (s**2).sum()))


@pytest.mark.parametrize("bias", [True, False])
def test_the_regularised_optimum_is_that_of_a_covariance_with_white_noise(bias: bool) -> None:
    x, rank, share = correlated(30, 14, mean=0.7).double(), 3, 0.2
    model = nn.Sequential(linear(randn(9, 14), randn(9, seed=1) if bias else None)).double()
    weight = model[0].weight.detach()  # type: ignore[union-attr]
    about = x - x.mean(0) if bias else x
    covariance = about.T @ about / len(x)
    root = torch.linalg.cholesky((1 - share) * covariance + share * covariance.trace() / 14 * torch.eye(14).double())
    u, s, v = torch.linalg.svd(weight @ root, full_matrices=False)
    expected = (u[:, :rank] * s[:rank]) @ v[:rank] @ torch.linalg.inv(root)
    found = factorize(model, {"0": rank}, calibration=(x,), regularisation=share)
    torch.testing.assert_close(product(found.model[0]), expected)  # type: ignore[index]


def test_moments_of_parts_are_those_of_the_whole() -> None:
    x, t = randn(50, 6).double() + 2, randn(3, 6, seed=1).double()
    parts = [Moments(t), Moments(t)]
    parts[0].add(x[:20])
    parts[1].add(x[20:])
    whole = parts[0].combine(parts[1])
    point = randn(3, seed=2).double()
    off = x @ t.T - point
    torch.testing.assert_close(whole.second(point), off.T @ off / 50)
    torch.testing.assert_close(whole.second(), (x @ t.T).T @ (x @ t.T) / 50)
    assert whole.spread(True) == pytest.approx(float((x - x.mean(0)).square().mean()))
    assert whole.spread(False) == pytest.approx(float(x.square().mean()))
    torch.testing.assert_close(whole.combine(parts[0], -1).second(point), parts[1].second(point))


def test_for_white_inputs_it_is_the_plain_svd() -> None:
    q, _ = torch.linalg.qr(randn(200, 15).double() - randn(200, 15).double().mean(0))
    white = q - q.mean(0)
    white = white @ torch.linalg.inv(torch.linalg.cholesky(white.T @ white)).T * 200**0.5
    model = nn.Sequential(linear(randn(10, 15), randn(10, seed=1))).double()
    plain = factorize(model, {"0": 4}).model
    found = factorize(model, {"0": 4}, calibration=(white,), regularisation=0.0)
    torch.testing.assert_close(product(found.model[0]), product(plain[0]))  # type: ignore[index]
    assert found.layers[0].error == pytest.approx(found.layers[0].plain_error)


def test_the_bias_takes_up_the_mean() -> None:
    """Inputs that vary in one direction around a mean: rank 1 and a bias are exact, and not without the bias."""
    x = randn(100, 1) * randn(1, 10, seed=1) + randn(10, seed=2)
    exact = nn.Sequential(linear(randn(8, 10, seed=3), randn(8, seed=4)))
    found = factorize(exact, {"0": 1}, calibration=(x,), regularisation=0.0)
    torch.testing.assert_close(found.model(x), exact(x), rtol=1e-4, atol=1e-4)
    assert found.layers[0].error < 1e-9
    without = factorize(nn.Sequential(linear(randn(8, 10, seed=3))), {"0": 1}, calibration=(x,), regularisation=0.0)
    assert without.layers[0].error > 0.01


def test_few_data_are_regularised_and_many_are_not() -> None:
    # Directions of 40 inputs cannot be told from 12 samples of near-white data.
    model = nn.Sequential(linear(randn(30, 40)))
    white = factorize(model, {"0": 6}, calibration=(randn(12, 40, seed=1),))
    assert white.layers[0].regularisation >= 0.1
    many = factorize(model, {"0": 6}, calibration=(correlated(5000, 40),))
    assert many.layers[0].regularisation <= 0.01
    fresh = randn(4000, 40, seed=7)
    unregularised = factorize(model, {"0": 6}, calibration=(randn(12, 40, seed=1),), regularisation=0.0)
    assert output_error(model, white.model, fresh) < output_error(model, unregularised.model, fresh)


def test_tokens_count_one_by_one() -> None:
    model = nn.Sequential(linear(randn(9, 12), randn(9, seed=1)))
    tokens = correlated(64, 12).reshape(16, 4, 12)
    by_token = factorize(model, {"0": 3}, calibration=(tokens,), regularisation=0.1)
    flat = factorize(model, {"0": 3}, calibration=(tokens.reshape(64, 12),), regularisation=0.1)
    torch.testing.assert_close(product(by_token.model[0]), product(flat.model[0]))  # type: ignore[index]


# --- ranks ---------------------------------------------------------------------------------------------------------


def test_ranks_by_energy_counted_by_hand() -> None:
    spectrum = plain_spectrum(torch.diag(torch.tensor([2.0, 1, 1, 0])))  # energies 4, 1, 1, 0
    shares = (0.1, 4 / 6, 0.67, 5 / 6 - 1e-9, 0.9, 1.0)
    assert [energy_rank(spectrum, share) for share in shares] == [1, 1, 2, 2, 3, 3]


@given(st.integers(0, 10**6), st.floats(0.15, 1.2))
@settings(max_examples=30, deadline=None)
def test_a_budget_is_spent_as_brute_force_would(seed: int, share: float) -> None:
    rng = np.random.default_rng(seed)
    shapes = {name: (int(rng.integers(4, 12)), int(rng.integers(4, 12))) for name in "abc"}
    spectra = {n: plain_spectrum(randn(*s, seed=seed % 1000 + i)) for i, (n, s) in enumerate(shapes.items())}
    rows = {name: int(rng.integers(1, 4)) for name in shapes}
    budget = int(share * sum(rows[n] * m * d for n, (m, d) in shapes.items()))
    options = []
    for name, (m, d) in shapes.items():
        errors = spectra[name].errors
        choices = [(rows[name] * r * (m + d), float(errors[r])) for r in range(1, largest_saving_rank(m, d) + 1)]
        options.append([*choices, (rows[name] * m * d, 0.0)])
    fitting = [c for c in itertools.product(*options) if sum(cost for cost, _ in c) <= budget]
    if not fitting:
        with pytest.raises(BudgetError, match="rank 1 everywhere"):
            choose_ranks(spectra, shapes, rows, budget)
        return
    best = min(sum(error for _, error in c) for c in fitting)
    chosen = choose_ranks(spectra, shapes, rows, budget)
    cost = sum(rows[n] * (m * d if (r := chosen[n]) is None else r * (m + d)) for n, (m, d) in shapes.items())
    lost = sum(0.0 if r is None else float(spectra[n].errors[r]) for n, r in chosen.items())
    assert cost <= budget
    assert lost == pytest.approx(best, abs=1e-9)


def test_a_budget_of_a_network_is_met() -> None:
    torch.manual_seed(0)
    model = make_model("lenet300", (1, 8, 8), 10)
    x = randn(64, 1, 8, 8)
    found = factorize_to_budget(model, 0.3, (x[:1],), calibration=(x,))
    whole, left = (sum(layer.weights[k] for layer in found.layers) for k in (0, 1))
    assert whole == 64 * 300 + 300 * 100 + 100 * 10
    assert 0.29 * whole < left <= 0.3 * whole
    # Every layer sees each image once, so operations are weights.
    macs = factorize_to_budget(model, 0.3, (x[:1],), per="macs", calibration=(x,))
    assert macs.ranks == found.ranks
    assert network_cost(macs.model, (x[:1],)).macs == left
    assert factorize_to_budget(model, 1.0, (x[:1],)).ranks == {}


def test_operations_are_dearer_for_what_sees_tokens() -> None:
    torch.manual_seed(0)
    model = make_model("vit-tiny", (1, 8, 8), 400)
    x = randn(8, 1, 8, 8)
    names = ["blocks.0.mlp.0", "head"]
    macs = factorize_to_budget(model, 0.4, (x[:1],), per="macs", layers=names)
    weights = factorize_to_budget(model, 0.4, (x[:1],), per="parameters", layers=names)
    assert macs.layers[1].rank is None and "room" in macs.layers[1].reason  # 16 tokens against one pooled vector
    assert weights.layers[1].rank is not None
    saved = network_cost(model, (x[:1],)).macs - network_cost(macs.model, (x[:1],)).macs
    head, mlp = 400 * 64, 16 * 128 * 64
    assert saved >= 0.6 * (head + mlp)


# --- what makes no sense -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ranks", "message"),
    [
        ({"9": 2}, "no layer '9'; those to replace are: '0', '2'"),
        ({"1": 2}, "it is ReLU, not torch.nn.Linear"),
        ({"0": 0}, "rank 0 must be from 1 to 8"),
        ({"0": 9}, "rank 9 must be from 1 to 8"),
        ({"0": True}, "neither a rank"),
        ({"0": 0.0}, "energy is 0.0"),
        (1.5, "energy is 1.5"),
        (float("nan"), "energy is nan"),
        ({}, "no Linear layer"),
        (3, "give a rank or share for each layer"),
    ],
)
def test_requests_that_make_no_sense(ranks: object, message: str) -> None:
    model = nn.Sequential(nn.Linear(9, 8), nn.ReLU(), nn.Linear(8, 8))
    with pytest.raises(SpecificationError, match=message):
        factorize(model, ranks)  # type: ignore[arg-type]


def test_layers_that_cannot_be_replaced() -> None:
    encoder = nn.TransformerEncoderLayer(8, 2, 32)
    with pytest.raises(SpecificationError, match=r"nn\.TransformerEncoderLayer reads its weight itself"):
        factorize(nn.Sequential(encoder), {"0.linear1": 2})
    with pytest.raises(SpecificationError, match="NonDynamicallyQuantizableLinear, not"):
        factorize(nn.Sequential(encoder), {"0.self_attn.out_proj": 2})
    with pytest.raises(SpecificationError, match="no Linear layer"):
        factorize(nn.Sequential(encoder), 0.9)
    with pytest.raises(SpecificationError, match="network itself"):
        factorize(nn.Linear(8, 8), {"": 2})
    tied = nn.Sequential(nn.Embedding(20, 12), nn.Linear(12, 20))
    tied[1].weight = tied[0].weight
    with pytest.raises(SpecificationError, match="'0' has the same weight"):
        factorize(tied, {"1": 2})
    masked = nn.Sequential(nn.Linear(8, 8))
    mask_weight(masked[0])  # type: ignore[arg-type]
    with pytest.raises(SpecificationError, match="parametrized"):
        factorize(masked, {"0": 2})
    with pytest.raises(SpecificationError, match="parametrized"):
        factorize(nn.Sequential(parametrizations.weight_norm(nn.Linear(8, 8))), {"0": 2})
    hooked = nn.Sequential(nn.Linear(8, 8))
    hooked[0].register_forward_hook(lambda *_: None)
    with pytest.raises(SpecificationError, match="hooks"):
        factorize(hooked, {"0": 2})


def test_data_that_make_no_sense() -> None:
    model = nn.Sequential(nn.Linear(9, 8), nn.Linear(8, 8))
    x = randn(20, 9)
    x[3, 2] = torch.nan
    with pytest.raises(SpecificationError, match=r"what reaches layer '1' .* is not finite"):
        factorize(model, {"1": 2}, calibration=(x,))
    with pytest.raises(SpecificationError, match="at least 8"):
        factorize(model, {"1": 2}, calibration=(randn(7, 9),))
    with pytest.raises(SpecificationError, match="cannot be called with calibration data of shape"):
        factorize(model, {"1": 2}, calibration=(randn(20, 5),))
    with pytest.raises(SpecificationError, match="regularisation is 2"):
        factorize(model, {"1": 2}, calibration=(randn(20, 9),), regularisation=2)
    with pytest.raises(SpecificationError, match="give calibration data"):
        factorize(model, {"1": 2}, regularisation=0.1)
    with torch.no_grad():
        model[0].weight[0, 0] = torch.inf  # type: ignore[index]
    with pytest.raises(SpecificationError, match="weight of layer '0' is not finite"):
        factorize(model, {"0": 2}, calibration=(randn(20, 9),))
    with pytest.raises(SpecificationError, match="weight is not finite"):
        factorize(model, {"0": 2})
    # The hooks are gone whatever happened.
    assert not model[1]._forward_pre_hooks and not model[0]._forward_pre_hooks


def test_budgets_that_make_no_sense() -> None:
    model, x = nn.Sequential(nn.Linear(9, 8), nn.Linear(8, 8)), randn(1, 9)
    with pytest.raises(BudgetError, match="rank 1 everywhere they cost 33"):
        factorize_to_budget(model, 0.2, (x,))
    with pytest.raises(SpecificationError, match="a share above 0"):
        factorize_to_budget(model, 0.0, (x,))
    with pytest.raises(SpecificationError, match="parameters or macs"):
        factorize_to_budget(model, 0.5, (x,), per="bytes")  # type: ignore[arg-type]
