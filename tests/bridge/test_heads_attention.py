"""Attention that is observed and changed while networks run: against formulas, with masks, whatever the code."""

import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.heads import Observation, attending, without_heads
from neuroprune.bridge.zoo import SelfAttention, make_model
from neuroprune.core.errors import SpecificationError

WIDTH, HEADS, TOKENS, BATCH = 8, 2, 5, 3


class HubAttention(nn.Module):
    """Attention as in transformers: projections named query, key, value, masks added, a Linear after it elsewhere."""

    def __init__(self, causal: bool = False, kv_heads: int = HEADS) -> None:
        super().__init__()
        self.causal, self.kv_heads = causal, kv_heads
        self.query = nn.Linear(WIDTH, WIDTH)
        self.key, self.value = (nn.Linear(WIDTH, WIDTH // HEADS * kv_heads) for _ in range(2))

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        q, k, v = (
            part(x).unflatten(-1, (-1, WIDTH // HEADS)).transpose(1, 2) for part in (self.query, self.key, self.value)
        )
        out = functional.scaled_dot_product_attention(
            q, k, v, attn_mask=mask, is_causal=self.causal, enable_gqa=self.kv_heads < HEADS
        )
        return out.transpose(1, 2).flatten(2)


class HubLayer(nn.Module):
    """The module that attends, and beside it the output projection."""

    def __init__(self, **options: object) -> None:
        super().__init__()
        self.attention, self.output = HubAttention(**options), nn.Linear(WIDTH, WIDTH)  # type: ignore[arg-type]

    def forward(self, x: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return self.output(self.attention(x, mask))


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


def tokens() -> torch.Tensor:
    return torch.randn(BATCH, TOKENS, WIDTH)


def observed(model: nn.Module, *inputs: torch.Tensor | None, **named: object) -> list[Observation]:
    seen: list[Observation] = []
    with torch.no_grad(), attending(model, observe=seen.append):
        model(*inputs, **named)
    return seen


def test_probabilities_are_the_softmax_of_the_scaled_products() -> None:
    attention, x = SelfAttention(WIDTH, HEADS), tokens()
    (seen,) = observed(nn.Sequential(attention), x)
    assert seen.layer == "0"
    q, k = (part(x).reshape(BATCH, TOKENS, HEADS, 4).transpose(1, 2) for part in (attention.q, attention.k))
    torch.testing.assert_close(seen.probabilities, torch.softmax(q @ k.mT / math.sqrt(4), -1))
    assert seen.rows.all() and seen.rows.shape == (BATCH, TOKENS)


def test_layers_have_the_names_of_modules_in_the_order_in_which_they_run() -> None:
    model = make_model("vit-tiny", (1, 8, 8), 10)
    seen = observed(model, torch.randn(2, 1, 8, 8))
    assert [o.layer for o in seen] == [f"blocks.{k}.attention" for k in range(4)]
    assert seen[0].probabilities.shape == (2, 4, 16, 16)


@pytest.mark.parametrize("batch_first", [True, False])
@pytest.mark.parametrize("need_weights", [True, False])
def test_multihead_attention_is_seen_with_what_it_returns_itself(batch_first: bool, need_weights: bool) -> None:
    attention = nn.MultiheadAttention(WIDTH, HEADS, batch_first=batch_first).eval()
    x = tokens() if batch_first else tokens().transpose(0, 1)
    padding = torch.zeros(BATCH, TOKENS, dtype=torch.bool)
    padding[1, 3:] = True
    out, weights = attention(x, x, x, key_padding_mask=padding, need_weights=True, average_attn_weights=False)
    seen: list[Observation] = []
    with torch.no_grad(), attending(attention, observe=seen.append):
        again = attention(x, x, x, key_padding_mask=padding, need_weights=need_weights)
    torch.testing.assert_close(seen[0].probabilities, weights.detach())
    torch.testing.assert_close(again[0], out)
    assert (again[1] is None) != need_weights
    assert torch.equal(seen[0].rows, ~padding)


def test_multihead_attention_without_a_batch() -> None:
    attention, x = nn.MultiheadAttention(WIDTH, HEADS).eval(), torch.randn(TOKENS, WIDTH)
    out, weights = attention(x, x, x, average_attn_weights=False)
    (seen,) = observed(attention, x, x, x)
    torch.testing.assert_close(seen.probabilities[0], weights.detach())
    with attending(attention, change=lambda _, heads: 2 * heads):
        doubled = attention(x, x, x)[0]
    bias = attention.out_proj.bias
    torch.testing.assert_close(doubled - bias, 2 * (out - bias))


def test_a_torch_encoder_is_seen_despite_its_fused_path() -> None:
    layer = nn.TransformerEncoderLayer(WIDTH, HEADS, 16, batch_first=True)
    model = nn.TransformerEncoder(layer, 2).eval()
    x, padding = tokens(), torch.zeros(BATCH, TOKENS, dtype=torch.bool)
    padding[0, 2:] = True
    expected = model(x, src_key_padding_mask=padding)
    seen: list[Observation] = []
    with torch.no_grad(), attending(model, observe=seen.append):
        out = model(x, src_key_padding_mask=padding)
    assert [o.layer for o in seen] == ["layers.0.self_attn", "layers.1.self_attn"]
    assert all(torch.equal(o.rows, ~padding) for o in seen)
    torch.testing.assert_close(out[~padding], expected[~padding])


def test_a_causal_mask_leaves_what_is_ahead_unseen() -> None:
    for seen in (
        observed(HubLayer(causal=True), tokens())[0],
        observed(HubLayer(), tokens(), torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril())[0],
    ):
        ahead = torch.ones(TOKENS, TOKENS, dtype=torch.bool).triu(1)
        assert (seen.probabilities[..., ahead] == 0).all() and (seen.probabilities[..., ~ahead] > 0).all()
        torch.testing.assert_close(seen.probabilities.sum(-1), torch.ones(BATCH, HEADS, TOKENS))
        assert seen.rows.all()


@pytest.mark.parametrize("kind", ["bool", "added", "-1e4 added", "causal", "causal, from the left"])
def test_padding_is_no_row_and_changes_nothing(kind: str) -> None:
    keep = torch.ones(BATCH, TOKENS, dtype=torch.bool)
    keep[0, :2] = "left" not in kind
    keep[1, 3:] = "left" in kind
    mask = keep[:, None, None, :]
    if "causal" in kind:
        mask = mask & torch.ones(TOKENS, TOKENS, dtype=torch.bool).tril()
    if "added" in kind:
        mask = torch.zeros(mask.shape).masked_fill(~mask, -1e4 if "1e4" in kind else torch.finfo(torch.float32).min)
    model, x = HubLayer(), tokens()
    (seen,) = observed(model, x, mask)
    assert torch.equal(seen.rows, keep)
    assert seen.probabilities.isfinite().all()
    other = torch.where(keep[:, :, None], x, 50 * torch.randn_like(x))
    (again,) = observed(model, other, mask)
    torch.testing.assert_close(
        again.probabilities.transpose(1, 2)[keep], seen.probabilities.transpose(1, 2)[keep], rtol=0, atol=0
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("make", [HubLayer, lambda: nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)])
def test_a_mask_of_minus_ten_thousand_hides_padding(make, dtype: torch.dtype) -> None:
    """As it comes with BERT; bfloat16 rounds it up."""
    model, x, keep = make().to(dtype).eval(), tokens().to(dtype), torch.ones(BATCH, TOKENS, dtype=torch.bool)
    keep[1, 3:] = False
    mask = torch.zeros(BATCH, TOKENS, dtype=dtype).masked_fill(~keep, -1e4)
    if isinstance(model, HubLayer):
        (seen,) = observed(model, x, mask[:, None, None, :])
    else:
        (seen,) = observed(model, x, x, x, key_padding_mask=mask)
    assert torch.equal(seen.rows, keep)


def test_grouped_queries_have_their_group_s_keys() -> None:
    model, x = HubLayer(kv_heads=1), tokens()
    (seen,) = observed(model, x)
    q = model.attention.query(x).reshape(BATCH, TOKENS, HEADS, 4).transpose(1, 2)
    k = model.attention.key(x)[:, None]
    torch.testing.assert_close(seen.probabilities, torch.softmax(q @ k.mT / 2, -1))


def test_a_bias_of_positions_is_no_mask() -> None:
    distance = (torch.arange(TOKENS)[:, None] - torch.arange(TOKENS)).abs()
    (seen,) = observed(HubLayer(), tokens(), -200.0 * distance)
    assert seen.rows.all()


@pytest.mark.parametrize("training", [True, False])
def test_observing_changes_no_output(training: bool) -> None:
    for model, inputs in (
        (HubLayer(), (tokens(),)),
        (SelfAttention(WIDTH, HEADS), (tokens(),)),
        (nn.MultiheadAttention(WIDTH, HEADS, dropout=0.5), (tokens(),) * 3),
    ):
        model.train(training)
        torch.manual_seed(1)
        expected = model(*inputs)
        torch.manual_seed(1)
        with attending(model, observe=lambda _: None):
            out = model(*inputs)
        for a, b in zip(*((t if isinstance(t, tuple) else (t,)) for t in (out, expected)), strict=True):
            torch.testing.assert_close(a, b)
        assert not model._forward_hooks and not model._forward_pre_hooks


@pytest.mark.parametrize("make", [lambda: SelfAttention(WIDTH, HEADS), HubLayer])
def test_a_silent_head_is_a_head_whose_columns_of_the_output_projection_are_0(make) -> None:
    model, x = make(), tokens()
    layer, output = ("", model.o) if isinstance(model, SelfAttention) else ("attention", model.output)
    with without_heads(model, {layer: [1]}):
        masked = model(x)
    with torch.no_grad():
        output.weight[:, 4:] = 0
    torch.testing.assert_close(masked, model(x))


def test_a_silent_head_of_multihead_attention() -> None:
    model, x = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True), tokens()
    with without_heads(model, {"": [0]}):
        masked = model(x, x, x)[0]
    with torch.no_grad():
        model.out_proj.weight[:, :4] = 0
    torch.testing.assert_close(masked, model(x, x, x)[0])


def test_a_network_trains_without_a_head() -> None:
    model, x = SelfAttention(WIDTH, HEADS), tokens()
    with without_heads(model, {"": (0,)}):
        model(x).sum().backward()
    gradient = model.v.weight.grad
    assert gradient is not None and (gradient[:4] == 0).all() and (gradient[4:] != 0).any()


def test_heads_that_are_not_there() -> None:
    model, x = SelfAttention(WIDTH, HEADS), tokens()
    other = without_heads(model, {"attn": [0]})
    with pytest.raises(SpecificationError, match="SelfAttention has no layer 'attn'"), other:
        pass
    with pytest.raises(SpecificationError, match=r"heads 0 to 1, not \[0, 2\]"), without_heads(model, {"": [2, 0]}):
        model(x)
    assert not model._forward_hooks  # also after an error


def test_attention_that_cannot_be_told_apart() -> None:
    class Twice(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return functional.scaled_dot_product_attention(x, x, x) + functional.scaled_dot_product_attention(x, x, x)

    with pytest.raises(SpecificationError, match="attends more than once in a pass"):
        observed(Twice(), torch.randn(1, 2, 3, 4))
    with pytest.raises(SpecificationError, match="queries of 3 axes"):
        observed(Twice(), torch.randn(2, 3, 4))
    # Two passes are no trouble.
    model, seen = SelfAttention(WIDTH, HEADS), []
    with attending(model, observe=seen.append):
        model(tokens())
        model(tokens())
    assert len(seen) == 2
