"""What heads matter for: squared gradients of a loss with respect to a gate on each head."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.heads.attention import attending
from neuroprune.core.errors import SpecificationError


@dataclass(frozen=True)
class Batch:
    """Samples that a network is run with.

    Parameters
    ----------
    inputs : tuple or mapping
        The network's arguments, by place or by name; tensors whose first axis is that of the samples.
    targets : tensor, optional
        What a loss compares the output with.
    tokens : bool tensor, shape (samples, tokens), optional
        Which positions are no padding. Without it that is read from the masks of attention, where a position that no
        query sees is padding.
    """

    inputs: tuple[Any, ...] | Mapping[str, Any]
    targets: torch.Tensor | None = None
    tokens: torch.Tensor | None = None

    def run(self, model: nn.Module) -> Any:
        """Return the output of a network."""
        return model(**self.inputs) if isinstance(self.inputs, Mapping) else model(*self.inputs)


class Loss(Protocol):
    """A loss of each sample; where it is drawn, several draws are averaged."""

    @property
    def draws(self) -> int: ...
    def __call__(self, output: Any, batch: Batch, generator: torch.Generator) -> torch.Tensor: ...


@dataclass(frozen=True)
class CrossEntropy:
    """Cross-entropy of a classifier with the targets of the batch: the empirical Fisher information."""

    draws: int = 1

    def __call__(self, output: torch.Tensor, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        """Return the loss of each sample, shape (samples,)."""
        if batch.targets is None:
            raise SpecificationError("cross-entropy needs the targets of a batch; OwnClasses and SelfDistance do not")
        return functional.cross_entropy(output, batch.targets, reduction="none")


@dataclass(frozen=True)
class OwnClasses:
    """Cross-entropy with classes drawn from the classifier's own output: the Fisher information, without labels."""

    draws: int = 4

    def __call__(self, output: torch.Tensor, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        """Return the loss of each sample, shape (samples,)."""
        classes = torch.multinomial(output.detach().softmax(-1).cpu(), 1, generator=generator)[:, 0]
        return functional.cross_entropy(output, classes.to(output.device), reduction="none")


@dataclass(frozen=True)
class SelfDistance:
    """Half the squared distance of a unit-length embedding to the network's own, perturbed by normal noise.

    Notes
    -----
    With :math:`e` the embedding divided by its length, :math:`e_0` the same at gates of 1 and
    :math:`z \\sim N(0, I)`, the loss is :math:`\\frac{1}{2} |e - (e_0 + z)|^2`. Without the noise its gradient is 0
    at gates of 1, for the network agrees with itself; with it the gradient is :math:`-z \\cdot \\partial e / \\partial
    g`, and the mean of its square over draws is :math:`|\\partial e / \\partial g|^2`. As
    :math:`\\frac{1}{2} |e - e_0|^2 = 1 - \\cos(e, e_0)`, half the Fisher information of a gate is to second order the
    cosine distance at which the network is without that head.
    """

    draws: int = 8

    def __call__(self, output: torch.Tensor, batch: Batch, generator: torch.Generator) -> torch.Tensor:
        """Return the loss of each sample, shape (samples,)."""
        e = functional.normalize(output.flatten(1), dim=1)
        noise = torch.randn(e.shape, generator=generator).to(e)
        return 0.5 * (e - (e.detach() + noise)).square().sum(1)


def gate_gradients(model: nn.Module, batch: Batch, loss: Loss, generator: torch.Generator) -> dict[str, torch.Tensor]:
    """Return the gradient of each sample's loss with respect to a gate on each head, at 1.

    Parameters
    ----------
    model : nn.Module
        In the mode that it is to be judged in; samples must not depend on each other, as they do with batch
        normalisation in training.
    batch : Batch
    loss : Loss
    generator : torch.Generator
        On the CPU, for what the loss draws.

    Returns
    -------
    mapping of str to tensor, shape (draws, samples, heads)
        By layer, in the order in which they run. A gate multiplies what its head passes on, before the output
        projection.

    Raises
    ------
    SpecificationError
        If no attention is seen, its batch is not that of the loss, or the loss has no draws or does not depend on it.
    """
    if loss.draws < 1:
        raise SpecificationError(f"a loss is averaged over 1 draw or more, not {loss.draws}")
    gates: dict[str, torch.Tensor] = {}

    def gate(layer: str, heads: torch.Tensor) -> torch.Tensor:
        g = gates[layer] = torch.ones(heads.shape[:2], device=heads.device, requires_grad=True)
        return (heads.float() * g[:, :, None, None]).to(heads.dtype)

    with torch.enable_grad(), attending(model, change=gate):
        output = batch.run(model)
        require_attention(model, gates)
        found: list[list[torch.Tensor]] = []
        for draw in range(loss.draws):
            losses = loss(output, batch, generator)
            for layer, g in gates.items():
                if losses.shape != g.shape[:1]:
                    raise SpecificationError(
                        f"layer {layer!r} attends in a batch of {g.shape[0]}, and the loss has the shape "
                        f"{tuple(losses.shape)}: both must be that of the samples"
                    )
            more = draw + 1 < loss.draws
            gradients = torch.autograd.grad(losses.sum(), list(gates.values()), retain_graph=more, allow_unused=True)
            for layer, gradient in zip(gates, gradients, strict=True):
                if gradient is None:
                    raise SpecificationError(f"the loss does not depend on the attention of layer {layer!r}")
            found.append(list(gradients))
    return {layer: torch.stack([g[k] for g in found]) for k, layer in enumerate(gates)}


def require_attention(model: nn.Module, seen: Mapping[str, Any]) -> None:
    """Raise if no layer was seen.

    Raises
    ------
    SpecificationError
    """
    if not seen:
        raise SpecificationError(
            f"no attention was seen in {type(model).__name__}: it must use nn.MultiheadAttention or "
            "torch.nn.functional.scaled_dot_product_attention (in transformers: attn_implementation='sdpa')"
        )
