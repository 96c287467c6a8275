"""Slimmed networks against masked ones, over the ways in which layers can depend on each other."""

import copy
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.costs import network_cost
from neuroprune.bridge.slim import groups, mask_units, slim, trace
from neuroprune.bridge.zoo import make_model


class Net(nn.Module):
    """Layers as attributes, and a forward pass given as a function of them and the input."""

    def __init__(self, run: Callable[..., torch.Tensor], **layers: nn.Module) -> None:
        super().__init__()
        self.run = run
        for name, layer in layers.items():
            self.add_module(name, layer)

    def forward(self, *x: torch.Tensor) -> torch.Tensor:
        return self.run(self, *x)


class Grouped(nn.Module):
    """Queries in more heads than keys and values, written as in Llama, without rotation."""

    def __init__(self, width: int = 12, n_heads: int = 4, n_kv: int = 2, head_dim: int = 3) -> None:
        super().__init__()
        self.head_dim, self.n_rep = head_dim, n_heads // n_kv
        self.q_proj = nn.Linear(width, n_heads * head_dim, bias=False)
        self.k_proj = nn.Linear(width, n_kv * head_dim, bias=False)
        self.v_proj = nn.Linear(width, n_kv * head_dim, bias=False)
        self.o_proj = nn.Linear(n_heads * head_dim, width, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, t, _ = x.shape
        q, k, v = (p(x).view(b, t, -1, self.head_dim).transpose(1, 2) for p in (self.q_proj, self.k_proj, self.v_proj))
        k, v = (
            h[:, :, None].expand(b, h.shape[1], self.n_rep, t, self.head_dim).reshape(b, -1, t, self.head_dim)
            for h in (k, v)
        )
        scores = torch.matmul(q, k.transpose(2, 3)) / self.head_dim**0.5
        causal = torch.full((t, t), float("-inf")).triu(1)
        weights = torch.softmax(scores + causal, -1)
        return self.o_proj(torch.matmul(weights, v).transpose(1, 2).reshape(b, t, -1))


class Bert(nn.Module):
    """Attention that keeps three sizes as numbers, with as many heads as a head is wide."""

    def __init__(self, width: int = 16, n_heads: int = 4) -> None:
        super().__init__()
        self.num_heads, self.head_size, self.all_head_size = n_heads, width // n_heads, width
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.dense = nn.Linear(width, width)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def split(y: torch.Tensor) -> torch.Tensor:
            return y.view(*y.shape[:-1], self.num_heads, self.head_size).permute(0, 2, 1, 3)

        q, k, v = split(self.query(x)), split(self.key(x)), split(self.value(x))
        mixed = torch.softmax(q @ k.transpose(-1, -2) / self.head_size**0.5, -1) @ v
        mixed = mixed.permute(0, 2, 1, 3).contiguous()
        return self.dense(mixed.view(*mixed.shape[:-2], self.all_head_size)) + x


class Fused(nn.Module):
    """Attention with one projection for queries, keys and values, as in timm."""

    def __init__(self, width: int = 12, n_heads: int = 3) -> None:
        super().__init__()
        self.num_heads, self.head_dim = n_heads, width // n_heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.q_norm = nn.LayerNorm(self.head_dim)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, n, _ = x.shape
        q, k, v = self.qkv(x).reshape(b, n, 3, self.num_heads, self.head_dim).permute(2, 0, 3, 1, 4).unbind(0)
        y = functional.scaled_dot_product_attention(self.q_norm(q), k, v)
        return self.proj(y.transpose(1, 2).reshape(b, n, self.num_heads * self.head_dim))


def query_heads(net: Any, x: torch.Tensor) -> torch.Tensor:
    """Several heads of queries for one of keys and values, left to the kernel."""
    q, k, v = (p(x).unflatten(-1, (-1, 4)).transpose(1, 2) for p in (net.q, net.k, net.v))
    y = functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    return net.o(y.transpose(1, 2).flatten(2))


class Batched(nn.Module):
    """Attention over one axis of samples and heads, as in the first transformers."""

    def __init__(self, width: int = 12, n_heads: int = 3) -> None:
        super().__init__()
        self.n_heads, self.head_dim = n_heads, width // n_heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        t, b, _ = x.shape
        q, k, v = (p(x).view(t, b * self.n_heads, self.head_dim).transpose(0, 1) for p in (self.q, self.k, self.v))
        weights = torch.softmax(torch.bmm(q, k.transpose(1, 2)), -1)
        return self.o(torch.bmm(weights, v).transpose(0, 1).reshape(t, b, self.n_heads * self.head_dim))


def u_net(net: Any, x: torch.Tensor) -> torch.Tensor:
    a = functional.relu(net.a(x))
    b = functional.relu(net.b(functional.max_pool2d(a, 2)))
    return net.out(functional.relu(net.merge(torch.cat([net.up(b), a], 1))))


def dense_net(net: Any, x: torch.Tensor) -> torch.Tensor:
    a = net.a(x)
    b = net.b(functional.relu(net.norm(a)))
    c = net.c(functional.relu(torch.cat([a, b], 1)))
    return net.out(torch.cat([a, b, c], 1).mean((2, 3)))


def halves(net: Any, x: torch.Tensor) -> torch.Tensor:
    """One half of the channels is passed on as it is, so both must stay halves."""
    a, b = torch.relu(net.a(x)).chunk(2, 1)
    return net.out(torch.cat([net.b(a), b], 1))


def squeeze_excite(net: Any, x: torch.Tensor) -> torch.Tensor:
    y = net.conv(x)
    gate = torch.sigmoid(net.up(functional.relu(net.down(functional.adaptive_avg_pool2d(y, 1)))))
    return net.out((y * gate).flatten(1))


def tokens(net: Any, image: torch.Tensor) -> torch.Tensor:
    """Class token and positions are parameters, and everything is normalised without coupling units."""
    x = net.patches(image).flatten(2).transpose(1, 2)
    x = torch.cat([net.extra.token.expand(len(x), -1, -1), x], 1) + net.extra.position
    return net.out(torch.tanh(net.mix(x))[:, 0])


class Extra(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.token, self.position = nn.Parameter(torch.randn(1, 1, 6)), nn.Parameter(torch.randn(1, 5, 6))


def image(*shape: int) -> tuple[torch.Tensor, ...]:
    return (torch.randn(shape, generator=torch.Generator().manual_seed(1)),)


def conv(n_in: int, n_out: int, size: int = 3, **options: object) -> nn.Conv2d:
    return nn.Conv2d(n_in, n_out, size, padding=size // 2, **options)  # type: ignore[arg-type]


def batch_normalised(n: int) -> nn.BatchNorm2d:
    norm = nn.BatchNorm2d(n)
    for tensor in (norm.weight, norm.bias, norm.running_mean, norm.running_var):
        nn.init.uniform_(tensor, 0.5, 1.5)  # type: ignore[arg-type]
    return norm


IMAGES = image(2, 3, 8, 8)
SEQUENCES = image(2, 5, 12)
NETWORKS: dict[str, tuple[Callable[[], nn.Module], tuple[torch.Tensor, ...], dict[str, int]]] = {
    "perceptron": (
        lambda: nn.Sequential(nn.Linear(6, 9), nn.Sigmoid(), nn.Linear(9, 7), nn.GELU(), nn.Linear(7, 3)),
        image(4, 6), {"0": 9, "2": 7},
    ),
    "lenet5": (lambda: make_model("lenet5", (3, 8, 8), 4), IMAGES, {"0.0": 6, "0.3": 16, "1": 120, "3": 84}),
    "small-cnn": (
        lambda: make_model("small-cnn", (3, 8, 8), 4), IMAGES, {"0": 16, "3": 32, "7": 64, "12": 64},
    ),
    "resnet20": (
        lambda: make_model("resnet20", (3, 8, 8), 4), IMAGES,
        {"0": 16, **{f"{i}.conv1": n for i, n in zip(range(3, 12), [16] * 3 + [32] * 3 + [64] * 3, strict=True)},
         "6.conv2": 32, "9.conv2": 64},
    ),
    "vit-tiny": (
        lambda: make_model("vit-tiny", (3, 8, 8), 4), IMAGES,
        {f"blocks.{i}.{part}": n for i in range(4) for part, n in (("attention", 4), ("mlp.0", 128))},
    ),
    "separable": (
        lambda: nn.Sequential(
            conv(3, 6, 1), batch_normalised(6), conv(6, 6, groups=6), batch_normalised(6), nn.ReLU6(inplace=True),
            conv(6, 12, groups=6), nn.PReLU(12), conv(12, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(5, 2),
        ), IMAGES, {"0": 6, "7": 5},
    ),
    "few wide groups": (
        lambda: nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 12, groups=2), nn.ReLU(), conv(12, 2, 1)),
        IMAGES, {"0": 4, "2": 6},
    ),
    "many narrow groups": (
        lambda: nn.Sequential(conv(3, 8), nn.ReLU(), conv(8, 12, groups=4), nn.ReLU(), conv(12, 2, 1)),
        IMAGES, {"0": 4},
    ),
    "group normalisation": (
        lambda: nn.Sequential(conv(3, 12), nn.GroupNorm(4, 12), nn.ReLU(), conv(12, 2, 1)), IMAGES, {"0": 4},
    ),
    "instance normalisation": (
        lambda: nn.Sequential(conv(3, 6), nn.InstanceNorm2d(6, affine=True), nn.ReLU(), conv(6, 2, 1)),
        IMAGES, {"0": 6},
    ),
    "transposed groups": (
        lambda: nn.Sequential(
            conv(3, 8), nn.ConvTranspose2d(8, 12, 2, 2, groups=2), nn.ReLU(), nn.ConvTranspose2d(12, 12, 2, groups=12),
            conv(12, 2, 1),
        ), IMAGES, {"0": 4, "1": 6},
    ),
    "u-net": (
        lambda: Net(
            u_net, a=conv(3, 6), b=conv(6, 8), up=nn.ConvTranspose2d(8, 5, 2, 2), merge=conv(11, 7), out=conv(7, 2, 1)
        ), IMAGES, {"a": 6, "b": 8, "up": 5, "merge": 7},
    ),
    "dense net": (
        lambda: Net(
            dense_net, a=conv(3, 4), norm=batch_normalised(4), b=conv(4, 5), c=conv(9, 3), out=nn.Linear(12, 2)
        ), IMAGES, {"a": 4, "b": 5, "c": 3},
    ),
    "halves": (lambda: Net(halves, a=conv(3, 8), b=conv(4, 5), out=conv(9, 2, 1)), IMAGES, {"a": 4, "b": 5}),
    "squeeze and excite": (
        lambda: Net(squeeze_excite, conv=conv(3, 6), down=conv(6, 4, 1), up=conv(4, 6, 1), out=nn.Linear(6 * 64, 2)),
        IMAGES, {"conv": 6, "down": 4},
    ),
    "pixel shuffle": (
        lambda: nn.Sequential(conv(3, 12), nn.PixelShuffle(2), conv(3, 2)), IMAGES, {"0": 3},
    ),
    "decoder": (
        lambda: nn.Sequential(
            nn.Linear(12, 20), nn.ReLU(), nn.Unflatten(2, (5, 4)), nn.Flatten(2), nn.Linear(20, 3)
        ), SEQUENCES, {"0": 4},
    ),
    "in three dimensions": (
        lambda: nn.Sequential(nn.Conv3d(1, 4, 2), nn.ReLU(), nn.MaxPool3d(2), nn.Flatten(), nn.Linear(4, 2)),
        image(2, 1, 3, 3, 3), {"0": 4},
    ),
    "gated": (
        lambda: nn.Sequential(nn.Linear(12, 14), nn.GLU(), nn.Linear(7, 2)), SEQUENCES, {"0": 7},
    ),
    "embedding": (
        lambda: nn.Sequential(nn.Embedding(9, 6), nn.Tanh(), nn.Linear(6, 4), nn.ReLU(), nn.Linear(4, 2)),
        (torch.tensor([[1, 2, 8], [0, 4, 4]]),), {"0": 6, "2": 4},
    ),
    "tokens": (
        lambda: Net(tokens, patches=nn.Conv2d(3, 6, 4, 4), extra=Extra(), mix=nn.Linear(6, 5), out=nn.Linear(5, 2)),
        IMAGES, {"patches": 6, "mix": 5},
    ),
    "encoder": (
        lambda: nn.TransformerEncoderLayer(12, 4, 20, batch_first=True, dropout=0.1), SEQUENCES,
        {"self_attn": 4, "linear1": 20},
    ),
    "decoder layer": (
        lambda: nn.TransformerDecoderLayer(12, 2, 8), (SEQUENCES[0], torch.randn(2, 5, 12)),
        {"self_attn": 2, "multihead_attn": 2, "linear1": 8},
    ),
    "widths of their own": (
        lambda: Net(
            lambda net, q, k, v: net.attention(q, k, v, need_weights=False)[0],
            attention=nn.MultiheadAttention(12, 3, kdim=5, vdim=6, bias=False),
        ), (SEQUENCES[0], torch.randn(4, 5, 5), torch.randn(4, 5, 6)), {"attention": 3},
    ),
    "grouped queries": (Grouped, SEQUENCES, {"q_proj": 2}),
    "grouped queries in the kernel": (
        lambda: Net(
            query_heads, q=nn.Linear(12, 24), k=nn.Linear(12, 12), v=nn.Linear(12, 12), o=nn.Linear(24, 2)
        ), SEQUENCES, {"q": 3},
    ),
    "numbers in attributes": (Bert, image(2, 5, 16), {"query": 4}),
    "heads and samples on one axis": (Batched, SEQUENCES, {"q": 3}),
    "fused projection": (Fused, SEQUENCES, {"qkv": 3}),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_slimmed_equals_masked_and_costs_what_was_said(name: str) -> None:
    make, inputs, sizes = NETWORKS[name]
    torch.manual_seed(3)
    model = make().eval()
    before = model(*inputs)
    structure = trace(model, inputs)
    assert {n: g.size for n, g in structure.groups.items()} == sizes
    remove = {n: [u for u in range(size) if u % 3][: size - 1] for n, size in sizes.items()}
    masked = mask_units(model, remove, inputs, structure=structure)
    small = slim(model, remove, inputs, structure=structure)
    out = small(*inputs)
    torch.testing.assert_close(out, masked(*inputs), atol=1e-5, rtol=0)
    assert not torch.allclose(out, before, atol=1e-4)  # the units did something
    cost = network_cost(small, inputs)
    assert (structure.macs(remove), structure.parameters(remove)) == (cost.macs, cost.parameters)
    assert cost.macs < network_cost(model, inputs).macs
    assert torch.equal(model(*inputs), before)


@pytest.mark.parametrize("name", ["separable", "encoder"])
def test_slimming_twice_is_slimming_once(name: str) -> None:
    make, inputs, sizes = NETWORKS[name]
    torch.manual_seed(3)
    model = make().eval()
    once = slim(model, {n: [0, size - 1] for n, size in sizes.items() if size > 2}, inputs)
    twice = slim(model, {n: [0] for n, size in sizes.items() if size > 2}, inputs)
    left = {g.name: g.size for g in groups(twice, inputs)}
    assert left == {n: size - 1 if size > 2 else size for n, size in sizes.items() if size > 1}
    twice = slim(twice, {n: [left[n] - 1] for n, size in sizes.items() if size > 2}, inputs)
    torch.testing.assert_close(twice(*inputs), once(*inputs), atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["dense net", "encoder"])
def test_slimmed_networks_are_plain_modules(name: str) -> None:
    make, inputs, sizes = NETWORKS[name]
    torch.manual_seed(3)
    model = make()
    small = slim(model, {n: [0] for n in sizes}, inputs)
    assert type(small) is type(model) and small.training
    small.eval()
    twin = copy.deepcopy(small)
    twin.load_state_dict({n: torch.zeros_like(t) for n, t in small.state_dict().items()})
    twin.load_state_dict(small.state_dict())
    exported = torch.export.export(small, inputs, strict=False).module()
    out = small(*inputs)
    assert torch.equal(twin(*inputs), out)
    torch.testing.assert_close(exported(*inputs), out)
    small.train()
    small(*inputs).sum().backward()
    assert all(p.grad is not None and p.grad.shape == p.shape for p in small.parameters())
