"""What slim is held against: the network itself, whatever its outputs are like, and sizes that no output shows."""

from __future__ import annotations

import math
from typing import Any

import pytest

torch = pytest.importorskip("torch")
import torch.nn.functional as F  # noqa: E402, N812
from torch import nn  # noqa: E402
from torch.nn.utils import prune as torch_prune  # noqa: E402

from neuroprune.bridge.sensitivity import prune_to_budget  # noqa: E402
from neuroprune.bridge.slim import mask_units, slim, trace  # noqa: E402
from neuroprune.bridge.slim.budget import Budget, select  # noqa: E402
from neuroprune.core.errors import SpecificationError  # noqa: E402


class Shift(nn.Module):
    """Units of which one is 0 until an operation moves it."""

    def __init__(self, move: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b, self.move = nn.Linear(8, 16), nn.Linear(16, 4), move
        with torch.no_grad():
            self.a.weight[3], self.a.bias[3] = 0, 0

    def forward(self, x):
        h = self.a(x)
        return self.b(self.move(h))


def in_place(view: Any) -> Any:
    def move(h):
        view(h)
        return h

    return move


@pytest.mark.parametrize(
    "move",
    [
        in_place(lambda h: h[:, :].add_(1.0)),
        in_place(lambda h: h.t().add_(1.0)),
        in_place(lambda h: h.unsqueeze(0).sigmoid_()),
        in_place(lambda h: h[:2].add_(1.0)),
        lambda h: F.hardtanh(h, 0.5, 1.0),
        lambda h: h.clamp(min=0.25),
        lambda h: torch.clamp(h, 0.1, 6.0),
        lambda h: F.threshold(h, 0.1, 2.0),
    ],
)
def test_a_unit_that_is_moved_off_0_is_never_lost_without_a_word(move: Any) -> None:
    model, x = Shift(move).eval(), torch.randn(4, 8)
    try:
        smaller = slim(model, None, (x,))
    except SpecificationError:
        return
    torch.testing.assert_close(smaller(x), model(x))


def test_bounds_that_hold_0_keep_it_and_the_unit_goes() -> None:
    for move in (lambda h: h.clamp(0, 6), lambda h: h.clamp(max=6), lambda h: F.hardtanh(h), lambda h: h.clamp_min(0)):
        model, x = Shift(move).eval(), torch.randn(4, 8)
        smaller: Any = slim(model, None, (x,))
        assert smaller.a.out_features == 15
        torch.testing.assert_close(smaller(x), model(x))


def test_a_structure_of_other_weights_is_noticed() -> None:
    model, x = Shift(torch.relu).eval(), torch.randn(4, 8)
    structure = trace(model, (x,))
    with torch.no_grad():
        model.a.bias[3] = 5.0
    with pytest.raises(SpecificationError, match="outputs differ"):
        slim(model, None, (x,), structure=structure)


class Attending(nn.Module):
    """Attention that takes the number of heads from an attribute and their width from what is left."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.h = 4
        self.q, self.k, self.v, self.o = (nn.Linear(16, 16) for _ in range(4))

    def forward(self, x):
        q, k, v = (p(x).view(*x.shape[:2], self.h, -1).transpose(1, 2) for p in (self.q, self.k, self.v))
        return x + self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class Scaled(nn.Module):
    """What it wraps, much smaller or through a softmax over many classes."""

    def __init__(self, classes: int | None) -> None:
        super().__init__()
        self.inner, self.classes = Attending(), None if classes is None else nn.Linear(16, classes)

    def forward(self, x):
        x = self.inner(x)
        return 1e-5 * x if self.classes is None else self.classes(x).softmax(-1)


@pytest.mark.parametrize("case", ["float32", "one token", "bfloat16", "float16", "small", "softmax", "silent"])
def test_the_number_of_heads_follows_whatever_the_outputs_are_like(case: str) -> None:
    model: Any = Attending()
    if case in ("small", "softmax"):
        model = Scaled(None if case == "small" else 5000)
    x = torch.randn(2, 1 if case == "one token" else 5, 16)
    if case in ("bfloat16", "float16"):
        model, x = model.to(getattr(torch, case)), x.to(getattr(torch, case))
    inner = model if isinstance(model, Attending) else model.inner
    if case == "silent":
        nn.init.zeros_(inner.o.weight)
    model.eval()
    group = next(g for g in trace(model, (x,)).groups.values() if g.kind == "heads")
    smaller: Any = slim(model, {group.name: [1, 2]}, (x,))
    assert (smaller if isinstance(smaller, Attending) else smaller.inner).h == 2


def test_a_size_that_code_insists_on_is_named() -> None:
    class Insisting(Attending):
        def forward(self, x):
            q, k, v = (p(x).view(*x.shape[:2], 4, 4).transpose(1, 2) for p in (self.q, self.k, self.v))
            return x + self.o(F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))

    x = torch.randn(2, 5, 16)
    group = next(g for g in trace(Insisting(), (x,)).groups.values() if g.kind == "heads")
    with pytest.raises(SpecificationError, match="insists on a size"):
        slim(Insisting(), {group.name: [0]}, (x,))


def test_constant_examples_are_made_lively() -> None:
    model = Attending().eval()
    x = torch.zeros(2, 5, 16)
    group = next(g for g in trace(model, (x,)).groups.values() if g.kind == "heads")
    smaller = slim(model, {group.name: [0]}, (x,))
    y = torch.randn(2, 7, 16)
    torch.testing.assert_close(smaller(y), mask_units(model, {group.name: [0]}, (x,))(y))


@pytest.mark.parametrize("kind", ["a joint weight", "one module twice"])
def test_attention_that_shares_weights_is_named(kind: str) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a = nn.MultiheadAttention(16, 4, batch_first=True)
            self.b = self.a if kind == "one module twice" else nn.MultiheadAttention(16, 4, batch_first=True)
            self.b.in_proj_weight = self.a.in_proj_weight

        def forward(self, x):
            x = x + self.a(x, x, x)[0]
            return x + self.b(x, x, x)[0]

    with pytest.raises(SpecificationError, match=r"'a' and 'b' .* share weights"):
        trace(Tied(), (torch.randn(2, 3, 16),))


def test_attention_whose_output_projection_is_tied_is_named() -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.o = nn.MultiheadAttention(16, 4, batch_first=True), nn.Linear(16, 16)
            self.o.weight = self.a.out_proj.weight

        def forward(self, x):
            return self.o(self.a(x, x, x)[0])

    with pytest.raises(SpecificationError, match=r"'a' and 'o' .* share weights"):
        trace(Tied(), (torch.randn(2, 3, 16),))


def test_empty_examples_are_refused() -> None:
    with pytest.raises(SpecificationError, match="example inputs are empty"):
        prune_to_budget(Shift(torch.relu), lambda _: 1.0, (torch.randn(0, 8),), macs=0.5)


def test_attention_that_does_more_is_not_taken_apart() -> None:
    class Threefold(nn.MultiheadAttention):
        def forward(self, *args, **options):
            out, weights = super().forward(*args, **options)
            return 3 * out, weights

    class Net(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.o = Threefold(16, 4, batch_first=True), nn.Linear(16, 3)

        def forward(self, x):
            return self.o(self.a(x, x, x)[0])

    model, x = Net().eval(), torch.randn(2, 3, 16)
    torch.testing.assert_close(trace(model, (x,)).model(x), model(x))


@pytest.mark.parametrize("units", [torch.arange(16) < 2, [1.7], ["a"], 3, [True]])
def test_units_are_whole_numbers(units: Any) -> None:
    with pytest.raises(SpecificationError, match="must be whole numbers"):
        slim(Shift(torch.relu), {"a": units}, (torch.randn(4, 8),))


def test_units_may_come_from_a_generator_or_a_tensor() -> None:
    for units in ((u for u in [1, 2]), torch.tensor([2, 1]), range(1, 3)):
        smaller: Any = slim(Shift(torch.relu), {"a": units}, (torch.randn(4, 8),))
        assert smaller.a.out_features == 14


@pytest.mark.parametrize(
    "move",
    [
        lambda h: h.relu() * torch.tensor(2.0),
        lambda h: torch.where(h > 0, h, torch.tensor(0.0)),
        lambda h: torch.maximum(h, torch.tensor(1.0)),
    ],
)
def test_numbers_that_are_tensors_do_not_stand_in_the_way(move: Any) -> None:
    model, x = Shift(move).eval(), torch.randn(4, 8)
    smaller: Any = slim(model, {"a": [0, 1]}, (x,))
    assert smaller.a.out_features == 14
    torch.testing.assert_close(smaller(x), mask_units(model, {"a": [0, 1]}, (x,))(x))


@pytest.mark.parametrize("seconds", [math.nan, math.inf, 0.0, -1.0])
def test_a_clock_that_gives_no_time_is_refused(seconds: float) -> None:
    with pytest.raises(SpecificationError, match=r"finite|no share"):
        prune_to_budget(Shift(torch.relu), lambda _: 1.0, (torch.randn(4, 8),), latency=0.5, clock=lambda *_: seconds)


def test_options_are_checked() -> None:
    model, x = Shift(torch.relu), (torch.randn(4, 8),)
    budget = Budget(trace(model, x), macs=0.5)
    scope: Any = "foo"
    with pytest.raises(SpecificationError, match="scope is global or local"):
        select({"a": torch.ones(16)}, budget, scope=scope)
    with pytest.raises(SpecificationError, match="removes nothing"):
        prune_to_budget(model, lambda _: 1.0, x, macs=0.5, step=0)


def test_masks_that_cannot_be_copied_are_named() -> None:
    model = nn.Sequential(nn.Linear(8, 6), nn.ReLU(), nn.Linear(6, 2))
    torch_prune.l1_unstructured(model[0], "weight", 0.5)
    with pytest.raises(SpecificationError, match=r"module '0' is masked by torch.nn.utils.prune"):
        slim(model, None, (torch.randn(2, 8),))
