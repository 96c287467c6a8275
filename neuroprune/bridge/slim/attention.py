"""Multi-head attention whose heads need not fill the embedding, so that heads can really go."""

import math
from typing import Any, TypeGuard

import torch
from torch import nn
from torch.nn import functional

from neuroprune.core.errors import SpecificationError


class PrunedAttention(nn.Module):
    """Attention with the call of ``nn.MultiheadAttention`` and any number of heads.

    ``nn.MultiheadAttention`` insists on ``num_heads * head_dim == embed_dim``; here only the inner width shrinks
    with the heads.

    Parameters
    ----------
    embed_dim : int
        Width of queries and outputs.
    num_heads, head_dim : int
        Heads, and the width of one.
    kdim, vdim : int, optional
        Widths of keys and values; `embed_dim` without.
    dropout : float
        Share of attention weights dropped in training.
    bias, batch_first : bool
        As in ``nn.MultiheadAttention``.
    """

    # nn.TransformerEncoderLayer reads these two: without a joint bias it leaves its fused kernel, which counts on
    # the layout of nn.MultiheadAttention.
    in_proj_bias = None
    _qkv_same_embed_dim = False

    def __init__(
        self,
        embed_dim: int,
        num_heads: int,
        head_dim: int,
        *,
        kdim: int | None = None,
        vdim: int | None = None,
        dropout: float = 0.0,
        bias: bool = True,
        batch_first: bool = False,
    ) -> None:
        super().__init__()
        self.num_heads, self.head_dim, self.dropout, self.batch_first = num_heads, head_dim, dropout, batch_first
        inner = num_heads * head_dim
        self.q_proj = nn.Linear(embed_dim, inner, bias)
        self.k_proj = nn.Linear(embed_dim if kdim is None else kdim, inner, bias)
        self.v_proj = nn.Linear(embed_dim if vdim is None else vdim, inner, bias)
        self.out_proj = nn.Linear(inner, embed_dim, bias)

    def forward(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        key_padding_mask: torch.Tensor | None = None,
        need_weights: bool = True,
        attn_mask: torch.Tensor | None = None,
        average_attn_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[torch.Tensor, torch.Tensor | None]:
        """Return the attended values and, where needed, the weights; see ``nn.MultiheadAttention.forward``."""
        if is_causal and attn_mask is None:
            raise SpecificationError("attention: is_causal is a hint about attn_mask, which must be given too")
        batched = query.dim() == 3
        if not batched:
            query, key, value = (x.unsqueeze(0) for x in (query, key, value))
            key_padding_mask = None if key_padding_mask is None else key_padding_mask.unsqueeze(0)
        elif not self.batch_first:
            query, key, value = (x.transpose(0, 1) for x in (query, key, value))
        q, k, v = (
            projection(x).unflatten(-1, (self.num_heads, self.head_dim)).transpose(1, 2)
            for projection, x in ((self.q_proj, query), (self.k_proj, key), (self.v_proj, value))
        )
        mask = self._mask(attn_mask, key_padding_mask, q)
        dropout = self.dropout if self.training else 0.0
        weights = None
        if need_weights:
            scores = (q / math.sqrt(self.head_dim)) @ k.transpose(-2, -1)
            weights = torch.softmax(scores if mask is None else scores + mask, -1)
            weights = functional.dropout(weights, dropout) if dropout else weights
            attended = weights @ v
            weights = weights.mean(1) if average_attn_weights else weights
        else:
            attended = functional.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
        out = self.out_proj(attended.transpose(1, 2).flatten(2))
        if not batched:
            return out.squeeze(0), None if weights is None else weights.squeeze(0)
        return (out if self.batch_first else out.transpose(0, 1)), weights

    def _mask(self, attn_mask: torch.Tensor | None, padding: torch.Tensor | None, q: torch.Tensor) -> Any:
        """Return what is added to the scores, broadcast over (batch, heads, queries, keys), or None."""
        masks = []
        if attn_mask is not None:
            if attn_mask.dim() == 3:
                batch = q.shape[0]
                if len(attn_mask) != batch * self.num_heads:
                    raise SpecificationError(
                        f"attention: attn_mask is for {len(attn_mask)} pairs of sample and head, and there are "
                        f"{batch} x {self.num_heads}: give the masks of the heads that are left, or one for all"
                    )
                attn_mask = attn_mask.unflatten(0, (batch, self.num_heads))
            masks.append(_additive(attn_mask, q.dtype))
        if padding is not None:
            masks.append(_additive(padding, q.dtype)[:, None, None, :])
        return sum(masks[1:], masks[0]) if masks else None


def _additive(mask: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
    """Return 0 where attention may look and -inf where a mask of bool is True; additive masks as they are."""
    if mask.dtype != torch.bool:
        return mask.to(dtype)
    return torch.zeros_like(mask, dtype=dtype).masked_fill(mask, -math.inf)


def is_plain_attention(module: Any) -> TypeGuard[nn.MultiheadAttention]:
    """Return whether a module computes what ``nn.MultiheadAttention`` does and no more: no subclass, no hooks."""
    return type(module) is nn.MultiheadAttention and not (module._forward_hooks or module._forward_pre_hooks)


def refuse_shared(model: nn.Module) -> None:
    """Raise if attention shares weights with anything: taken apart, they would part.

    Raises
    ------
    SpecificationError
    """
    modules = list(model.named_modules(remove_duplicate=False))
    attentions = [name for name, module in modules if is_plain_attention(module)]

    def holder(name: str) -> str:
        return next((a for a in attentions if not a or name == a or name.startswith(f"{a}.")), name)

    owners: dict[int, str] = {}
    for name, module in modules:
        for parameter in module.parameters(recurse=False):
            here = holder(name)
            first = owners.setdefault(id(parameter), here)
            if first != here and {first, here} & set(attentions):
                raise SpecificationError(
                    f"layers {first!r} and {here!r} (nn.MultiheadAttention, at least one) share weights, which "
                    "slimming would part: give each its own"
                )


def separate(attention: nn.MultiheadAttention, name: str) -> PrunedAttention:
    """Return a layer that computes the same, with separate projections.

    Raises
    ------
    SpecificationError
        If it has keys and values of its own (``add_bias_kv``, ``add_zero_attn``).
    """
    if attention.bias_k is not None or attention.add_zero_attn:
        raise SpecificationError(
            f"layer {name!r} is nn.MultiheadAttention with add_bias_kv or add_zero_attn, which cannot be slimmed"
        )
    dtype_of = attention.out_proj.weight
    new = PrunedAttention(
        attention.embed_dim, attention.num_heads, attention.head_dim, kdim=attention.kdim, vdim=attention.vdim,
        dropout=attention.dropout, bias=attention.in_proj_bias is not None, batch_first=attention.batch_first,
    ).to(device=dtype_of.device, dtype=dtype_of.dtype)  # fmt: skip
    with torch.no_grad():
        for parameter_name, parameter in new.named_parameters():
            source = locate(attention, parameter_name)
            parameter.copy_(source)
            parameter.requires_grad_(source.requires_grad)
    return new.train(attention.training)


def locate(attention: nn.MultiheadAttention, parameter: str) -> torch.Tensor:
    """Return the part of an ``nn.MultiheadAttention`` that a parameter of :class:`PrunedAttention` stands for."""
    projection, kind = parameter.split(".")
    if projection == "out_proj":
        return getattr(attention.out_proj, kind)
    if kind == "weight" and attention.in_proj_weight is None:
        return getattr(attention, f"{projection}_weight")
    joint = attention.in_proj_weight if kind == "weight" else attention.in_proj_bias
    return joint.chunk(3)[("q_proj", "k_proj", "v_proj").index(projection)]
