"""Training and scoring a classifier: one loop for every network and every method, so that they are compared fairly."""

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.images import Split
from neuroprune.core.errors import SpecificationError

Loss = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]
"""Loss of a batch from its images, the network's outputs and its classes."""
Step = Callable[[int], object]
"""What else is done at a step, which is counted from 0."""


@dataclass(frozen=True)
class Training:
    """How a network is trained.

    Parameters
    ----------
    epochs : int
    batch_size : int
    lr : float
        Learning rate at the start; it falls to 0 along half a cosine over the run.
    momentum : float
        Of SGD, with Nesterov's correction.
    weight_decay : float
    optimizer : "sgd" or "adamw"
        ``adamw`` for transformers.
    warmup : float
        Share of the steps over which the learning rate first rises from 0.

    Raises
    ------
    SpecificationError
        If a value makes no sense.
    """

    epochs: int
    batch_size: int = 128
    lr: float = 0.1
    momentum: float = 0.9
    weight_decay: float = 5e-4
    optimizer: Literal["sgd", "adamw"] = "sgd"
    warmup: float = 0.0

    def __post_init__(self) -> None:
        valid = {
            "epochs": (self.epochs >= 0, "0 or more"),
            "batch_size": (self.batch_size >= 1, "1 or more"),
            "lr": (0 < self.lr < math.inf, "above 0"),
            "momentum": (0 <= self.momentum < 1, "from 0 to below 1"),
            "weight_decay": (0 <= self.weight_decay < math.inf, "0 or more"),
            "optimizer": (self.optimizer in ("sgd", "adamw"), "sgd or adamw"),
            "warmup": (0 <= self.warmup < 1, "from 0 to below 1"),
        }
        for name, (ok, must) in valid.items():
            if not ok:
                raise SpecificationError(f"training: {name} is {getattr(self, name)!r}, and must be {must}")

    def steps_per_epoch(self, n_images: int) -> int:
        """Return the number of batches in an epoch."""
        return math.ceil(n_images / self.batch_size)

    def make_optimizer(self, model: nn.Module) -> torch.optim.Optimizer:
        """Return the optimizer of a network's parameters."""
        if self.optimizer == "adamw":
            return torch.optim.AdamW(model.parameters(), self.lr, weight_decay=self.weight_decay)
        return torch.optim.SGD(
            model.parameters(), self.lr, self.momentum, weight_decay=self.weight_decay, nesterov=self.momentum > 0
        )

    def rate(self, progress: float) -> float:
        """Return the learning rate as a share of `lr`, after a share of the steps."""
        if progress < self.warmup:
            return progress / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))


def default_training(model: str, epochs: int) -> Training:
    """Return how a network of the zoo is trained: SGD, and AdamW with a warm-up for transformers."""
    if model.startswith("vit"):
        return Training(epochs, lr=2e-3, weight_decay=0.05, optimizer="adamw", warmup=0.1)
    return Training(epochs, lr=0.05)


def train(
    model: nn.Module,
    split: Split,
    training: Training,
    *,
    seed: int,
    loss: Loss | None = None,
    optimizer: torch.optim.Optimizer | None = None,
    before_step: Step | None = None,
    after_step: Step | None = None,
    after_epoch: Step | None = None,
) -> list[float]:
    """Train a network in place and return the mean loss of each epoch.

    Parameters
    ----------
    model : nn.Module
        It is trained on the device that its parameters are on, and left in training mode.
    split : Split
    training : Training
    seed : int
        Of the order of the images. It does not touch torch's global generator.
    loss : function of images, outputs and classes, optional
        Cross-entropy without it.
    optimizer : optional
        One that something else holds too; its learning rate is set here.
    before_step, after_step : function of the step, optional
        Called when gradients are there, and when weights have moved.
    after_epoch : function of the epoch, optional

    Raises
    ------
    SpecificationError
        If there is nothing to train on, or the loss is not finite.
    """
    if len(split) == 0:
        raise SpecificationError("there are no images to train on")
    device = next(model.parameters()).device
    split = split.to(device)
    optimizer = training.make_optimizer(model) if optimizer is None else optimizer
    generator = torch.Generator().manual_seed(seed)
    n_steps = training.epochs * training.steps_per_epoch(len(split))
    model.train()
    losses, step = [], 0
    for epoch in range(training.epochs):
        order = torch.randperm(len(split), generator=generator).to(device)
        total = torch.zeros((), device=device)
        for chosen in order.split(training.batch_size):
            for group in optimizer.param_groups:
                group["lr"] = training.lr * training.rate(step / n_steps)
            x, y = split.x[chosen], split.y[chosen]
            out = model(x)
            value = functional.cross_entropy(out, y) if loss is None else loss(x, out, y)
            optimizer.zero_grad(set_to_none=True)
            value.backward()
            if before_step is not None:
                before_step(step)
            optimizer.step()
            if after_step is not None:
                after_step(step)
            total += value.detach() * len(y)
            step += 1
        losses.append(float(total) / len(split))
        if not math.isfinite(losses[-1]):
            raise SpecificationError(f"the loss of epoch {epoch} is {losses[-1]}: train with a lower learning rate")
        if after_epoch is not None:
            after_epoch(epoch)
    return losses


@dataclass(frozen=True)
class Score:
    """How well a classifier does.

    Parameters
    ----------
    accuracy : float
        Share of the images that it names right.
    loss : float
        Mean cross-entropy, in nats.
    """

    accuracy: float
    loss: float


def evaluate(model: nn.Module, split: Split, *, batch_size: int = 1024) -> Score:
    """Score a classifier in evaluation mode; it is left in the mode it was in.

    Raises
    ------
    SpecificationError
        If there are no images.
    """
    if len(split) == 0:
        raise SpecificationError("there are no images to score a network on")
    device = next(model.parameters()).device
    right, loss = 0, 0.0
    with evaluating(model), torch.no_grad():
        for x, y in zip(split.x.split(batch_size), split.y.split(batch_size), strict=True):
            out, y = model(x.to(device)).float(), y.to(device)
            right += int((out.argmax(1) == y).sum())
            loss += float(functional.cross_entropy(out, y, reduction="sum"))
    return Score(right / len(split), loss / len(split))


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Put a network into evaluation mode, and each of its modules back into the mode it was in."""
    modes = {module: module.training for module in model.modules()}
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes.items():
            module.training = mode
