"""What is removed, what cannot be, and what happens to everything else."""

import copy
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn.utils import parametrize

from neuroprune.bridge.costs import network_cost
from neuroprune.bridge.masks import Mask
from neuroprune.bridge.slim import PrunedAttention, groups, mask_units, slim, trace
from neuroprune.core.errors import SpecificationError


def noise(*shape: int) -> torch.Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(2))


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(1)


def test_a_filter_takes_all_its_places_and_its_constant_with_it() -> None:
    # A filter with BatchNorm still passes on a constant when its weights are 0; the masked network must not.
    norm: Any = nn.BatchNorm2d(3)
    nn.init.uniform_(norm.bias, 1, 2)
    model: Any = nn.Sequential(nn.Conv2d(1, 3, 3), norm, nn.ReLU(), nn.Flatten(), nn.Linear(12, 2)).eval()
    x = noise(2, 1, 4, 4)
    features = model[:4](x)
    features[:, 4:8] = 0.0  # filter 1: places 4 to 7
    by_hand = model[4](features)
    torch.testing.assert_close(mask_units(model, {"0": [1]}, (x,))(x), by_hand)
    small: Any = slim(model, {"0": [1]}, (x,))
    torch.testing.assert_close(small(x), by_hand, atol=1e-6, rtol=0)
    assert type(small).__name__ == "Sequential"
    assert torch.equal(small[4].weight, model[4].weight[:, [0, 1, 2, 3, 8, 9, 10, 11]])
    assert (small[0].out_channels, small[1].num_features, small[4].in_features) == (2, 2, 8)
    assert torch.equal(small[1].running_var, norm.running_var[[0, 2]])
    assert (model[0].out_channels, len(norm.bias)) == (3, 3)


def test_a_head_takes_its_rows_of_all_projections() -> None:
    attention = nn.MultiheadAttention(6, 3, batch_first=True)
    nn.init.normal_(attention.in_proj_bias)

    class Model(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.attention = attention

        def forward(self, x: torch.Tensor, padding: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
            return self.attention(x, x, x, key_padding_mask=padding, attn_mask=mask, need_weights=False)[0]

    inputs = (noise(2, 4, 6), torch.tensor([[False] * 4, [False, False, False, True]]), torch.ones(4, 4).triu(1) > 0)
    model = Model().eval()
    masked = copy.deepcopy(model)
    with torch.no_grad():
        masked.attention.out_proj.weight[:, 2:4] = 0.0
    small = slim(model, {"attention": [1]}, inputs)
    torch.testing.assert_close(small(*inputs), masked(*inputs), atol=1e-6, rtol=0)
    assert isinstance(small.attention, PrunedAttention) and small.attention.num_heads == 2
    assert torch.equal(small.attention.k_proj.weight, attention.in_proj_weight[[6, 7, 10, 11]])
    # 2 of 3 heads of width 2: projections 4 x 6 x 4 for each of 8 tokens, products 2 x 2 heads x 4 x 4 x 2 twice.
    assert network_cost(small, inputs).macs == 8 * 4 * 24 + 2 * 2 * 2 * 32


@pytest.mark.parametrize("batch_first", [False, True])
@pytest.mark.parametrize("need_weights", [False, True])
@pytest.mark.parametrize("average", [False, True])
@pytest.mark.parametrize("batched", [False, True])
def test_attention_taken_apart_is_torchs_own(
    batch_first: bool, need_weights: bool, average: bool, batched: bool
) -> None:
    from neuroprune.bridge.slim.attention import separate

    own = nn.MultiheadAttention(6, 2, kdim=5, vdim=4, batch_first=batch_first).eval()
    nn.init.normal_(own.in_proj_bias)
    ours = separate(own, "attention")
    batch = 3
    q, k, v = noise(4, batch, 6), noise(5, batch, 5), noise(5, batch, 4)
    padding = torch.zeros(batch, 5, dtype=torch.bool)
    padding[1, 3:] = True
    per_head = noise(batch * 2, 4, 5)
    if not batched:
        q, k, v, padding, per_head = q[:, 0], k[:, 0], v[:, 0], padding[1], per_head[:2]
    elif batch_first:
        q, k, v = (x.transpose(0, 1) for x in (q, k, v))
    for mask in (None, noise(4, 5) > 1, noise(4, 5), per_head):
        if mask is not None and mask.dtype == torch.bool:
            mask[:, 0] = False  # no query may be left without a key
        same_kind = padding if mask is None or mask.dtype == torch.bool else padding.float() * -1e9
        arguments = {"key_padding_mask": same_kind, "attn_mask": mask, "need_weights": need_weights}
        want, want_weights = own(q, k, v, average_attn_weights=average, **arguments)
        out, weights = ours(q, k, v, average_attn_weights=average, **arguments)
        torch.testing.assert_close(out, want, atol=1e-6, rtol=1e-5)
        assert (weights is None) == (want_weights is None)
        if weights is not None:
            torch.testing.assert_close(weights, want_weights, atol=1e-6, rtol=1e-5)


def test_attention_refuses_masks_of_heads_that_are_gone() -> None:
    attention = PrunedAttention(6, 2, 3)
    x = noise(4, 2, 6)
    with pytest.raises(SpecificationError, match="2 x 2"):
        attention(x, x, x, attn_mask=torch.zeros(6, 4, 4))
    with pytest.raises(SpecificationError, match="is_causal"):
        attention(x, x, x, is_causal=True)


def test_shared_parameters_stay_shared() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.words, self.mix, self.out = nn.Embedding(7, 6), nn.Linear(6, 6), nn.Linear(6, 7, bias=False)
            self.out.weight = self.words.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.out(torch.relu(self.mix(self.words(x))) + self.words(x))

    model, x = Tied(), (torch.tensor([[0, 3, 6]]),)
    small: Any = slim(model, {"words": [0, 4]}, x)
    assert small.out.weight is small.words.weight and small.out.weight.shape == (7, 4)
    torch.testing.assert_close(small(*x), mask_units(model, {"words": [0, 4]}, x)(*x))
    assert sum(p.numel() for p in small.parameters()) == trace(model, x).parameters({"words": [0, 4]})


def test_transposed_weight_of_an_autoencoder_is_cut_once() -> None:
    class Autoencoder(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.code = nn.Linear(6, 4)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return nn.functional.linear(torch.relu(self.code(x)), self.code.weight.t())

    x = (noise(3, 6),)
    model: Any = Autoencoder()
    small = slim(model, {"code": [2]}, x)
    keep = [0, 1, 3]
    by_hand = torch.relu(model.code(x[0]))[:, keep] @ model.code.weight[keep]
    torch.testing.assert_close(small(*x), by_hand)


def test_in_place_keeps_what_is_not_cut_and_undoes_what_fails() -> None:
    model, x = nn.Sequential(nn.Linear(4, 5), nn.ReLU(), nn.Linear(5, 3), nn.Linear(3, 2)), (noise(2, 4),)
    last = model[3].weight
    out = slim(model, {"0": [1]}, x, copy=False)
    assert out is model and model[0].out_features == 4 and model[3].weight is last

    class Stubborn(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(4, 6), nn.Linear(6, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(x).reshape(-1, 2 * 3))

    stubborn = Stubborn()
    before = {n: p for n, p in stubborn.named_parameters()}
    with pytest.raises(SpecificationError, match="insists on a size that goes from 6 to 5"):
        slim(stubborn, {"a": [0]}, x, copy=False)
    assert all(p is before[n] for n, p in stubborn.named_parameters())
    assert stubborn.a.out_features == 6


def test_masks_are_baked_and_dead_units_found_from_zeros() -> None:
    model: Any = nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 5), nn.Tanh(), nn.Linear(5, 2))
    with torch.no_grad():
        model[0].weight[1] = model[0].bias[1] = 0.0  # sends 0
        model[4].weight[:, 3] = 0.0  # unit 3 of the second layer is not read
        model[2].weight[[0, 1, 2, 4], 4] = 0.0  # and unit 4 of the first by that one alone
    alive = torch.ones(6, 4, dtype=torch.bool)
    alive[5] = False
    parametrize.register_parametrization(model[0], "weight", Mask(alive))
    model[0].bias.data[5] = 0.0
    x = (noise(3, 4),)
    small: Any = slim(model, None, x)
    assert trace(model, x).dead() == {"0": (1, 4, 5), "2": (3,)}
    assert [m.out_features for m in small if isinstance(m, nn.Linear)] == [3, 4, 2]
    assert not any(parametrize.is_parametrized(m) for m in small.modules())
    assert parametrize.is_parametrized(model[0])
    torch.testing.assert_close(small(*x), model(*x))


@pytest.mark.parametrize(
    ("between", "dead"),
    [
        (nn.ReLU(), True),
        (nn.Sigmoid(), False),  # 0.5 is passed on
        (nn.BatchNorm1d(3), False),  # its bias is
        (nn.Sequential(nn.Softplus(), nn.ReLU()), False),  # log 2 is
        (nn.Sequential(nn.Dropout(), nn.Hardswish(), nn.GELU(), nn.Softsign()), True),
    ],
)
def test_zero_goes_through_what_is_0_at_0(between: nn.Module, dead: bool) -> None:
    model: Any = nn.Sequential(nn.Linear(4, 3), between, nn.Linear(3, 2)).eval()
    with torch.no_grad():
        model[0].weight[1] = model[0].bias[1] = 0.0
    if isinstance(between, nn.BatchNorm1d):
        nn.init.ones_(between.bias)
    assert trace(model, (noise(3, 4),)).dead() == ({"0": (1,)} if dead else {})


def test_of_a_dead_layer_one_unit_stays() -> None:
    model: Any = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2))
    nn.init.zeros_(model[2].weight)
    x = (noise(3, 4),)
    small: Any = slim(model, None, x)
    assert small[0].out_features == 1
    torch.testing.assert_close(small(*x), model(*x))


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.lstm, self.hidden, self.out = (
            nn.Embedding(5, 6),
            nn.LSTM(6, 6),
            nn.Linear(6, 4),
            nn.Linear(4, 2),
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.out(torch.relu(self.hidden(self.lstm(self.words(x))[0])))


def test_what_cannot_be_slimmed_is_named() -> None:
    x = (torch.tensor([[1, 2]]),)
    model = Recurrent()
    assert [g.name for g in groups(model, x)] == ["hidden"]
    for layer in ("lstm", "words"):
        with pytest.raises(SpecificationError, match=rf"layer '{layer}' .*lstm in module 'lstm' \(LSTM\).*: hidden\)"):
            slim(model, {layer: [0]}, x)
    with pytest.raises(SpecificationError, match=r"'out'.*the output of the network"):
        slim(model, {"out": [0]}, x)
    residual = nn.TransformerEncoderLayer(8, 2, 4)
    with pytest.raises(
        SpecificationError, match=r"'linear2'.*layer_norm in module 'norm2'|'linear2'.*the network itself"
    ):
        slim(residual, {"linear2": [0]}, (noise(3, 2, 8),))


def test_requests_that_make_no_sense() -> None:
    model, x = nn.Sequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 2)), (noise(2, 4),)
    for remove, message in (
        ({"0": [3]}, "has units 0 to 2, not 3"),
        ({"0": [-1]}, "not -1"),
        ({"0": [0, 1, 2]}, "would lose all its 3 units"),
        ({"7": [0]}, "has no layer '7'"),
    ):
        with pytest.raises(SpecificationError, match=message):
            slim(model, remove, x)
    with pytest.raises(SpecificationError, match=r"cannot be read by torch\.export"):
        slim(model, {"0": [0]}, (noise(2, 5),))

    class Branching(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return x if x.sum() > 0 else -x

    with pytest.raises(SpecificationError, match=r"Branching cannot be read by torch\.export"):
        groups(Branching(), x)
    with pytest.raises(SpecificationError, match="add_bias_kv"):
        groups(nn.MultiheadAttention(8, 2, add_bias_kv=True), (noise(2, 1, 8),) * 3)


def test_averaged_attention_weights_as_output_bind_all_heads() -> None:
    model = nn.MultiheadAttention(6, 3)
    with pytest.raises(SpecificationError, match="because of the output of the network"):
        slim(model, {"q_proj": [0]}, (noise(4, 2, 6),) * 3)


class Random(nn.Module):
    """A chain of blocks, each of which keeps, doubles or mixes the channels that come in."""

    kinds = frozenset({"conv", "residual", "concat", "depthwise", "grouped", "norm", "gate", "halves", "shuffle"})

    def __init__(self, kinds: list[str]) -> None:
        super().__init__()
        self.plan = kinds
        width = 4
        self.stem = nn.Conv2d(2, width, 1)
        self.blocks = nn.ModuleList()
        for kind in kinds:
            width_in, out = width, width
            if kind == "conv":
                out = 6 if width_in != 6 else 4
                block: nn.Module = nn.Conv2d(width_in, out, 3, padding=1)
            elif kind == "concat":
                block = nn.Conv2d(width_in, 4, 1)
                out = width_in + 4
            elif kind == "depthwise":
                block = nn.Conv2d(width_in, width_in, 3, padding=1, groups=width_in)
            elif kind == "grouped":
                block = nn.Conv2d(width_in, width_in, 1, groups=2)
            elif kind == "norm":
                block = nn.BatchNorm2d(width_in)
            elif kind == "halves":
                block, out = nn.Conv2d(width_in, 2 * width_in, 1), width_in
            else:
                block = nn.Conv2d(width_in, width_in, 1)
            self.blocks.append(block)
            width = out
        self.head = nn.Linear(width * 9, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for kind, block in zip(self.plan, self.blocks, strict=True):
            y = block(x)
            if kind in ("residual", "shuffle"):
                y = (x.roll(1, -1) if kind == "shuffle" else x) + y
            elif kind == "concat":
                y = torch.cat([y, x], 1)
            elif kind == "gate":
                y = x * torch.sigmoid(y.mean((2, 3), keepdim=True))
            elif kind == "halves":
                a, b = y.chunk(2, 1)
                y = torch.tanh(a) * b
            x = torch.relu(y)
        return self.head(x.flatten(1))


@settings(max_examples=10, suppress_health_check=[HealthCheck.too_slow])
@given(
    kinds=st.lists(st.sampled_from(sorted(Random.kinds)), min_size=1, max_size=5),
    seed=st.integers(0, 2**31),
    share=st.floats(0.1, 0.9),
)
def test_random_networks_are_cut_right(kinds: list[str], seed: int, share: float) -> None:
    generator = torch.Generator().manual_seed(seed)
    torch.manual_seed(seed)
    model = Random(kinds).eval()
    x = (torch.randn(2, 2, 3, 3, generator=generator),)
    structure = trace(model, x)
    assert structure.groups
    remove = {
        g.name: torch.randperm(g.size, generator=generator)[: int(share * g.size)].tolist()
        for g in structure.groups.values()
    }
    small = slim(model, remove, x, structure=structure)
    masked = mask_units(model, remove, x, structure=structure)
    other = torch.randn(5, 2, 3, 3, generator=generator)  # data, and a batch, that the cut has not seen
    torch.testing.assert_close(small(other), masked(other), atol=1e-5, rtol=0)
    cost = network_cost(small, x)
    assert (structure.macs(remove), structure.parameters(remove)) == (cost.macs, cost.parameters)
