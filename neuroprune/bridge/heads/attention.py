"""Attention while a network runs: the probabilities of each head, and gates on what heads pass on."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional
from torch.overrides import TorchFunctionMode

from neuroprune.core.errors import SpecificationError

_FORBIDDEN = -1e4
"""An additive mask this low keeps a key from being seen; position biases (ALiBi) stay well above it."""

Change = Callable[[str, torch.Tensor], torch.Tensor]
"""What becomes of the outputs of a layer's heads, shape (batch, heads, queries, width of a head)."""


@dataclass(frozen=True)
class Observation:
    """What one attention layer did in one forward pass.

    Parameters
    ----------
    layer : str
        Name of the module that attends: the innermost one whose ``forward`` is running.
    probabilities : float32 tensor, shape (batch, heads, queries, keys)
        Of attention, after masks and before dropout; 0 in rows that see no key.
    rows : bool tensor, shape (batch, queries)
        Queries that count: those that see a key and, where queries and keys are as many, are seen by a query. What
        no query sees is padding.
    """

    layer: str
    probabilities: torch.Tensor
    rows: torch.Tensor


@contextmanager
def attending(
    model: nn.Module, *, observe: Callable[[Observation], object] | None = None, change: Change | None = None
) -> Iterator[None]:
    """Observe attention, or change what its heads pass on, while a network runs.

    Parameters
    ----------
    model : nn.Module
        Any network whose attention is ``scaled_dot_product_attention`` (as in transformers with ``sdpa``) or
        ``nn.MultiheadAttention``. It is not changed.
    observe : function of an Observation, optional
    change : function of the layer's name and the heads' outputs, optional
        Applied before the output projection.

    Raises
    ------
    SpecificationError
        While the network runs: if a layer attends twice in a pass, or without an axis of heads.

    Notes
    -----
    Attention that is written out as matrix products and a softmax cannot be told from other products: it is not
    seen. Compiled networks are not seen either.
    """
    running: list[str] = []
    names = {module: name for name, module in model.named_modules()}
    handles = []
    for module in names:
        handles.append(module.register_forward_pre_hook(lambda m, _: running.append(names[m])))
        handles.append(module.register_forward_hook(lambda *_: (running.pop(), None)[1], always_call=True))
    seen: set[str] = set()
    handles.append(model.register_forward_pre_hook(lambda *_: seen.clear()))
    try:
        with _Attending(running, seen, observe, change):
            yield
    finally:
        for handle in handles:
            handle.remove()


class _Attending(TorchFunctionMode):
    """Sees each call of torch's attention functions, from whatever code it comes."""

    def __init__(
        self,
        running: list[str],
        seen: set[str],
        observe: Callable[[Observation], object] | None,
        change: Change | None,
    ) -> None:
        super().__init__()
        self._running, self._seen, self._observe, self._change = running, seen, observe, change

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if self._running and func is functional.scaled_dot_product_attention:
            return self._sdpa(*args, **kwargs)
        if self._running and func is functional.multi_head_attention_forward:
            return self._multi_head(*args, **kwargs)
        return func(*args, **kwargs)

    def _layer(self, n_axes: int) -> str:
        layer = self._running[-1]
        if n_axes != 4:
            raise SpecificationError(
                f"layer {layer!r} attends with queries of {n_axes} axes: heads need (batch, heads, queries, width)"
            )
        if layer in self._seen:
            raise SpecificationError(
                f"layer {layer!r} attends more than once in a pass: its heads cannot be told apart; give each "
                "attention a module of its own"
            )
        self._seen.add(layer)
        return layer

    def _sdpa(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        attn_mask: torch.Tensor | None = None,
        dropout_p: float = 0.0,
        is_causal: bool = False,
        **others: Any,
    ) -> torch.Tensor:
        layer = self._layer(query.ndim)
        heads = functional.scaled_dot_product_attention(query, key, value, attn_mask, dropout_p, is_causal, **others)
        if self._observe is not None:
            scale = others.get("scale")
            with torch.no_grad():
                self._observe(_observation(layer, query, key, attn_mask, is_causal, scale))
        return heads if self._change is None else self._change(layer, heads)

    def _multi_head(
        self,
        query: torch.Tensor,
        key: torch.Tensor,
        value: torch.Tensor,
        embed_dim_to_check: int,
        num_heads: int,
        *args: Any,
        **kwargs: Any,
    ) -> Any:
        """Call ``multi_head_attention_forward`` with an identity as output projection, so that heads are apart."""
        layer = self._layer(4)
        bound = dict(zip(_MULTI_HEAD, args, strict=False)) | kwargs
        weight, bias = bound.pop("out_proj_weight"), bound.pop("out_proj_bias")
        identity = torch.eye(weight.shape[1], dtype=weight.dtype, device=weight.device)

        def call(**other: Any) -> Any:
            return functional.multi_head_attention_forward(
                query, key, value, embed_dim_to_check, num_heads,
                out_proj_weight=identity, out_proj_bias=None, **(bound | other),
            )  # fmt: skip

        heads, weights = call()
        if self._observe is not None:
            # Once more without dropout, whatever the mode is, and hidden from who observes or changes beside us.
            with torch.no_grad(), torch._C.DisableTorchFunction():
                found = call(need_weights=True, average_attn_weights=False, training=False)[1]
                probabilities = found if query.ndim == 3 else found[None]
                masks = _additive_masks(bound.get("attn_mask"), bound.get("key_padding_mask"), probabilities)
                observation = _counted(layer, probabilities.float(), masks > _FORBIDDEN)
            self._observe(observation)
        if self._change is not None:
            apart = heads if query.ndim == 3 else heads[:, None]
            apart = apart.unflatten(-1, (num_heads, -1)).permute(1, 2, 0, 3)
            apart = self._change(layer, apart).permute(2, 0, 1, 3).flatten(2)
            heads = apart if query.ndim == 3 else apart[:, 0]
        return functional.linear(heads, weight, bias), weights


_MULTI_HEAD = (
    "in_proj_weight", "in_proj_bias", "bias_k", "bias_v", "add_zero_attn", "dropout_p", "out_proj_weight",
    "out_proj_bias", "training", "key_padding_mask", "need_weights", "attn_mask", "use_separate_proj_weight",
    "q_proj_weight", "k_proj_weight", "v_proj_weight", "static_k", "static_v", "average_attn_weights", "is_causal",
)  # fmt: skip
"""Further arguments of ``multi_head_attention_forward``, in their order."""


def _observation(
    layer: str,
    query: torch.Tensor,
    key: torch.Tensor,
    mask: torch.Tensor | None,
    is_causal: bool,
    scale: float | None,
) -> Observation:
    query, key = query.detach().float(), key.detach().float()
    key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)  # of grouped queries
    scores = query @ key.transpose(-2, -1) * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device)
    if is_causal:
        allowed = allowed.tril()
    if mask is not None and mask.dtype == torch.bool:
        allowed = allowed & mask
    elif mask is not None:
        scores = scores + mask.float()
        allowed = allowed & (mask > _FORBIDDEN)
    return _counted(layer, scores.masked_fill(~allowed, -math.inf).softmax(-1), allowed)


def _additive_masks(attn_mask: torch.Tensor | None, padding: torch.Tensor | None, like: torch.Tensor) -> torch.Tensor:
    """Return the sum of the masks of ``nn.MultiheadAttention``, broadcast over (batch, heads, queries, keys)."""
    batch, heads, n_queries, n_keys = like.shape
    total = like.new_zeros(1, 1, n_queries, n_keys)
    for mask, shape in ((attn_mask, None), (padding, (batch, 1, 1, -1))):
        if mask is None:
            continue
        if mask.dtype == torch.bool:
            mask = torch.zeros_like(mask, dtype=like.dtype).masked_fill(mask, -math.inf)
        if shape is None:
            shape = (batch, heads, n_queries, -1) if mask.ndim == 3 else (1, 1, n_queries, -1)
        # Keys that the layer adds itself (bias_k, zeros) are seen by all.
        mask = mask.reshape(shape)
        total = total + functional.pad(mask, (0, n_keys - mask.shape[-1]))
    return total


def _counted(layer: str, probabilities: torch.Tensor, allowed: torch.Tensor) -> Observation:
    """Find the rows that count, and set the others' probabilities (NaN where a softmax had nothing) to 0."""
    n_queries, n_keys = probabilities.shape[-2:]
    sees = allowed.any(-1, keepdim=True)
    allowed = allowed.expand(probabilities.shape)
    rows = allowed.any(-1).all(1)
    if n_queries == n_keys:
        rows = rows & allowed.any(2).any(1)
    return Observation(layer, probabilities.where(sees, torch.zeros_like(probabilities)), rows)
