"""Sparse layers do what dense ones do, keep their state, and are put only where they are faster."""

import copy
import pickle
from collections.abc import Callable
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from neuroprune.bridge.masks import mask_weight
from neuroprune.bridge.sparse_linear import SparseLinear, auto_sparse
from neuroprune.bridge.timing import Timing
from neuroprune.core.errors import SpecificationError


def sparse_weights(linear: nn.Linear, density: float, seed: int = 0) -> nn.Linear:
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        linear.weight.normal_(generator=generator)
        linear.weight.mul_(torch.rand(linear.weight.shape, generator=generator) < density)
    return linear


@settings(max_examples=60)
@given(
    n_in=st.integers(1, 40),
    n_out=st.integers(1, 40),
    shape=st.sampled_from([(), (1,), (2,), (3,), (4,), (7,), (8,), (19,), (2, 3), (2, 2, 5), (0,)]),
    density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
    bias=st.booleans(),
    seed=st.integers(0, 1000),
)
def test_it_computes_what_the_dense_layer_does(
    n_in: int, n_out: int, shape: tuple[int, ...], density: float, dtype: torch.dtype, bias: bool, seed: int
) -> None:
    linear = sparse_weights(nn.Linear(n_in, n_out, bias=bias, dtype=dtype), density, seed)
    x = torch.randn(*shape, n_in, dtype=dtype, generator=torch.Generator().manual_seed(seed))
    with torch.no_grad():
        expected, found = linear(x), SparseLinear.from_linear(linear)(x)
    assert found.shape == expected.shape and found.dtype == dtype and found.is_contiguous()
    torch.testing.assert_close(found, expected, rtol=1e-4 if dtype == torch.float32 else 1e-10, atol=1e-5)


def test_inputs_need_not_be_contiguous() -> None:
    linear = sparse_weights(nn.Linear(6, 5), 0.5)
    x = torch.randn(6, 9).t()
    assert not x.is_contiguous()
    with torch.no_grad():
        torch.testing.assert_close(SparseLinear.from_linear(linear)(x), linear(x))


def test_a_mask_decides_what_is_kept() -> None:
    linear = nn.Linear(4, 3)
    mask_weight(linear).alive[:, 1:] = False
    sparse = SparseLinear.from_linear(linear)
    assert (sparse.n_connections, sparse.density) == (3, 0.25)
    assert sparse.columns.tolist() == [0, 0, 0] and sparse.starts.tolist() == [0, 1, 2, 3]
    assert "3 connections (25.0%)" in repr(sparse)
    with torch.no_grad():
        x = torch.randn(2, 4)
        torch.testing.assert_close(sparse.to_linear()(x), linear(x))


def test_an_infinite_input_reaches_only_what_it_is_connected_to() -> None:
    linear = nn.Linear(2, 2, bias=False)
    with torch.no_grad():
        linear.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))
        assert SparseLinear.from_linear(linear)(torch.tensor([[torch.inf, 1.0]])).tolist() == [[torch.inf, 1.0]]


def test_a_state_goes_into_a_layer_with_another_number_of_connections() -> None:
    one, other = (SparseLinear.from_linear(sparse_weights(nn.Linear(9, 7), d, s)) for d, s in ((0.5, 1), (0.1, 2)))
    x = torch.randn(5, 9)
    before = other(x)
    assert one.n_connections != other.n_connections
    other.load_state_dict(one.state_dict())
    assert torch.equal(other(x), one(x)) and not torch.equal(before, other(x))
    fresh = nn.Sequential(SparseLinear(9, 7))
    fresh.load_state_dict({f"0.{k}": v for k, v in one.state_dict().items()})
    assert torch.equal(fresh(x), one(x))
    assert {k: v.dtype for k, v in one.state_dict().items()} == {
        "starts": torch.int32, "columns": torch.int32, "values": torch.float32, "bias": torch.float32
    }  # fmt: skip


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("columns", lambda t: t + 9),
        ("columns", lambda t: t - 1),
        ("starts", lambda t: t.flip(0)),
        ("starts", lambda t: t + 1),
        ("starts", lambda t: t[1:]),
        ("starts", lambda t: torch.cat([t[:1] + 1, t[1:]])),  # all but the first are right
        ("starts", lambda t: torch.cat([t[:-1], t[-1:] + 1])),  # all but the last
        ("starts", lambda t: t[[0, 2, 1, *range(3, 8)]]),  # both ends are right, and one row goes backwards
        ("values", lambda t: t[1:]),
        ("values", lambda t: t[:, None]),
        ("columns", lambda t: t[:, None]),
        ("columns", lambda t: torch.cat([t[1:], t[:1] + 9])),
        ("columns", lambda t: torch.cat([t[1:], t[:1] - 1])),
        ("columns", lambda t: t + 2**32),  # in another type, before it is copied into this one
        ("bias", lambda t: t[1:]),
    ],
)
def test_a_state_that_would_read_elsewhere_is_refused(
    name: str, change: Callable[[torch.Tensor], torch.Tensor]
) -> None:
    sparse = SparseLinear.from_linear(nn.Linear(9, 7))
    state = sparse.state_dict()
    state[name] = change(state[name].long() if name == "columns" else state[name])
    x = torch.randn(2, 9)
    before = sparse(x)
    for part in (state, {name: state[name]}):  # what is not given stays, and must fit
        with pytest.raises(SpecificationError, match="no sparse matrix of 7 x 9"):
            sparse.load_state_dict(part, strict=False)
        assert torch.equal(sparse(x), before)
    with pytest.raises(SpecificationError, match="no sparse matrix of 7 x 9"):
        setattr(sparse, name, state[name])
        sparse(x)


def test_parts_of_a_state_are_taken_where_they_fit() -> None:
    sparse, x = SparseLinear.from_linear(nn.Linear(9, 7)), torch.randn(2, 9)
    before = sparse(x)
    sparse.load_state_dict({"columns": sparse.columns.flip(0)}, strict=False)
    expected = nn.functional.linear(x, sparse.to_linear().weight, sparse.bias)
    torch.testing.assert_close(sparse(x), expected)
    assert not torch.equal(sparse(x), before)
    sparse.load_state_dict(
        {k: v.long() if v.dtype == torch.int32 else v for k, v in sparse.state_dict().items()}, assign=True
    )
    torch.testing.assert_close(sparse(x), expected)


@pytest.mark.parametrize("duplicate", [copy.deepcopy, lambda m: pickle.loads(pickle.dumps(m))])
def test_copies_share_nothing(duplicate: Callable[[Any], Any]) -> None:
    sparse = SparseLinear.from_linear(sparse_weights(nn.Linear(9, 7), 0.5))
    x = torch.randn(5, 9)
    before = sparse(x)
    twin = duplicate(sparse)
    assert torch.equal(twin(x), before)
    twin.values.zero_()
    assert torch.equal(twin(x), twin.bias.expand(5, 7)) and torch.equal(sparse(x), before)
    # What is changed or replaced after a call counts in the next.
    sparse.values.mul_(2)
    sparse.bias = torch.zeros(7)
    torch.testing.assert_close(sparse(x), 2 * (before - twin.bias))


def test_it_moves_to_another_precision_and_back() -> None:
    sparse = SparseLinear.from_linear(sparse_weights(nn.Linear(9, 7), 0.5))
    x = torch.randn(5, 9)
    before = sparse(x)
    torch.testing.assert_close(sparse.double()(x.double()).float(), before)
    assert sparse.starts.dtype == torch.int32
    with pytest.raises(SpecificationError, match=r"9 features in torch.float64.*\(5, 9\) in torch.float32"):
        sparse(x)
    with pytest.raises(SpecificationError, match=r"not in torch.bfloat16"):
        sparse.bfloat16()(x.bfloat16())


def test_what_cannot_be_computed_is_refused() -> None:
    sparse = SparseLinear.from_linear(nn.Linear(4, 3))
    with pytest.raises(SpecificationError, match="4 features"):
        sparse(torch.randn(2, 5))
    with pytest.raises(SpecificationError, match="no gradient"):
        sparse(torch.randn(2, 4, requires_grad=True))
    with torch.no_grad():
        assert sparse(torch.randn(2, 4, requires_grad=True)).shape == (2, 3)
    with pytest.raises(SpecificationError, match=r"not torch\.float16 on cpu"):
        SparseLinear.from_linear(nn.Linear(4, 3, dtype=torch.float16))


def clock(dense: float, sparse: float, network: float = 0.0) -> Callable[[Any], Timing]:
    """Return a stopwatch that knows what dense and sparse layers take, and each sparse one more in a network."""

    def time_call(call: Any) -> Timing:
        modules = list(call.func.modules())
        sparse_ones = sum(isinstance(m, SparseLinear) for m in modules)
        extra = network * sparse_ones if len(modules) > 1 else 0.0
        return Timing(sparse * sparse_ones + dense * sum(isinstance(m, nn.Linear) for m in modules) + extra)

    return time_call


def network() -> nn.Sequential:
    return nn.Sequential(sparse_weights(nn.Linear(8, 6), 0.2), nn.ReLU(), sparse_weights(nn.Linear(6, 3), 0.2)).train()


@pytest.mark.parametrize(("sparse", "chosen"), [(0.94, True), (0.96, False), (1.5, False)])
def test_sparse_is_chosen_only_where_it_is_clearly_faster(sparse: float, chosen: bool) -> None:
    model, x = network(), torch.randn(5, 8)
    before = copy.deepcopy(model.state_dict())
    made, choices = auto_sparse(model, (x,), time_call=clock(1.0, sparse))
    assert [c.chosen for c in choices] == [chosen, chosen]
    assert [(c.name, c.rows, c.dense, c.sparse) for c in choices] == [("0", 5, 1.0, sparse), ("2", 5, 1.0, sparse)]
    assert choices[0].speedup == pytest.approx(1 / sparse)
    assert [isinstance(made[k], SparseLinear) for k in (0, 2)] == [chosen, chosen]  # type: ignore[index]
    with torch.no_grad():
        torch.testing.assert_close(made(x), model(x))
    # The original is as it was.
    assert model.training and all(torch.equal(v, before[k]) for k, v in model.state_dict().items())


def test_a_network_is_never_slower_than_dense() -> None:
    """A layer may be faster alone and not in the network: then the one that gains least is dense again."""
    x = (torch.randn(5, 8),)
    made, choices = auto_sparse(network(), x, time_call=clock(1.0, 0.5, network=0.6))
    assert not any(c.chosen for c in choices) and not any(isinstance(m, SparseLinear) for m in made.modules())

    def time_call(call: Any) -> Timing:  # the first layer gains much, the second little, and loses it in the network
        gains = {8: (1.0, 0.2), 6: (0.3, 0.25)}
        linear = [m for m in call.func.modules() if isinstance(m, nn.Linear | SparseLinear)]
        total = sum(gains[m.in_features][isinstance(m, SparseLinear)] for m in linear)
        return Timing(total + 2.0 * (len(linear) > 1 and isinstance(linear[1], SparseLinear)))

    made, choices = auto_sparse(network(), x, time_call=time_call)
    assert [c.chosen for c in choices] == [True, False]
    assert isinstance(made[0], SparseLinear) and isinstance(made[2], nn.Linear)  # type: ignore[index]


def test_masks_are_baked_into_the_copy_alone() -> None:
    model, x = network(), torch.randn(5, 8)
    mask_weight(model[0]).alive[:3] = False  # type: ignore[arg-type]
    for speed in (0.5, 2.0):
        made, choices = auto_sparse(model, (x,), time_call=clock(1.0, speed))
        assert "parametrizations" not in "".join(made.state_dict())
        assert choices[0].density < 0.5
        with torch.no_grad():  # in particular, the original still has its weight
            torch.testing.assert_close(made(x), model(x))


def test_masks_of_other_layers_are_baked_too() -> None:
    model = nn.Sequential(nn.Conv1d(2, 2, 3), nn.Flatten(), nn.Linear(4, 3)).eval()
    mask_weight(model[0]).alive[0] = False  # type: ignore[arg-type]
    x = (torch.randn(1, 2, 4),)
    made, _ = auto_sparse(model, x, time_call=clock(1.0, 2.0))
    assert type(made[0]) is nn.Conv1d and isinstance(made[0].weight, nn.Parameter)  # type: ignore[index]
    assert set(made.state_dict()) == {"0.weight", "0.bias", "2.weight", "2.bias"}
    with torch.no_grad():
        torch.testing.assert_close(made(*x), model(*x))


def test_a_single_layer_and_one_at_two_places() -> None:
    linear, x = sparse_weights(nn.Linear(6, 6), 0.2), torch.randn(5, 6)
    made, _ = auto_sparse(linear, (x,), time_call=clock(1.0, 0.5))
    assert isinstance(made, SparseLinear)
    made, choices = auto_sparse(nn.Sequential(linear, nn.ReLU(), linear), (x,), time_call=clock(1.0, 0.5))
    assert made[0] is made[2] and isinstance(made[0], SparseLinear)  # type: ignore[index]
    assert [c.name for c in choices] == ["0", "2"]


def test_layers_whose_weights_are_read_directly_stay() -> None:
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True).eval()
    x = torch.randn(2, 5, 8)
    with torch.inference_mode():
        expected = layer(x)
        made, choices = auto_sparse(layer, (x,), time_call=clock(1.0, 0.5))
        torch.testing.assert_close(made(x), expected)
    assert not any(isinstance(m, SparseLinear) for m in made.modules()) and not choices


class Reader(nn.Module):
    """It looks at the weight of the first of its layers."""

    def __init__(self) -> None:
        super().__init__()
        self.fc, self.out = sparse_weights(nn.Linear(8, 6), 0.2), sparse_weights(nn.Linear(6, 3), 0.2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(self.fc(x.to(self.fc.weight.dtype)))


def test_a_layer_whose_weight_something_reads_stays_dense() -> None:
    model, x = Reader(), torch.randn(5, 8)
    made, choices = auto_sparse(model, (x,), time_call=clock(1.0, 0.5))
    assert [(c.name, c.chosen) for c in choices] == [("fc", False), ("out", True)]
    assert type(made.fc) is nn.Linear and isinstance(made.out, SparseLinear)
    with torch.no_grad():
        torch.testing.assert_close(made(x), model(x))


def test_inputs_that_do_not_fit_are_refused() -> None:
    with pytest.raises(SpecificationError, match=r"Reader cannot be called with a tensor \(5, 9\)"):
        auto_sparse(Reader(), (torch.randn(5, 9),), time_call=clock(1.0, 0.5))
