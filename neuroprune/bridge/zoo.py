"""Networks to prune, small enough for a laptop: two of LeCun's, a CNN, a ResNet and a vision transformer."""

import importlib
import math
import os
import sys
from collections.abc import Callable, Mapping

import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.costs import call_network
from neuroprune.bridge.training import evaluating
from neuroprune.core.errors import NeuropruneError, SpecificationError

Shape = tuple[int, int, int]
"""Channels, height and width of an image."""


def lenet300(shape: Shape, n_classes: int) -> nn.Module:
    """Two hidden layers of 300 and 100 units (LeCun et al. 1998, Proc. IEEE 86:2278)."""
    return nn.Sequential(
        nn.Flatten(),
        nn.Linear(math.prod(shape), 300),
        nn.ReLU(),
        nn.Linear(300, 100),
        nn.ReLU(),
        nn.Linear(100, n_classes),
    )


def lenet5(shape: Shape, n_classes: int) -> nn.Module:
    """Two convolutions and three dense layers, with ReLU and max-pooling (after LeCun et al. 1998)."""
    channels, height, width = shape
    if min(height, width) < 6:
        raise SpecificationError(f"lenet5 needs images of at least 6 x 6 pixels, not {height} x {width}")
    features = nn.Sequential(
        nn.Conv2d(channels, 6, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(),
    )  # fmt: skip
    size = 16 * (height // 4) * (width // 4)
    return nn.Sequential(
        features, nn.Linear(size, 120), nn.ReLU(), nn.Linear(120, 84), nn.ReLU(), nn.Linear(84, n_classes)
    )


def small_cnn(shape: Shape, n_classes: int) -> nn.Module:
    """Three convolutions of 16, 32 and 64 filters with batch normalisation, then two dense layers."""
    channels, height, width = shape
    if min(height, width) < 4:
        raise SpecificationError(f"small-cnn needs images of at least 4 x 4 pixels, not {height} x {width}")
    layers: list[nn.Module] = []
    for n_in, n_out, pool in ((channels, 16, False), (16, 32, True), (32, 64, True)):
        layers += [nn.Conv2d(n_in, n_out, 3, padding=1, bias=False), nn.BatchNorm2d(n_out), nn.ReLU()]
        layers += [nn.MaxPool2d(2)] if pool else []
    size = 64 * (height // 4) * (width // 4)
    return nn.Sequential(*layers, nn.Flatten(), nn.Linear(size, 64), nn.ReLU(), nn.Linear(64, n_classes))


class ResidualBlock(nn.Module):
    """Two convolutions beside a shortcut, which is a convolution where the shape changes."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, stride, 1, bias=False)
        self.norm1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, 1, 1, bias=False)
        self.norm2 = nn.BatchNorm2d(n_out)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or n_in != n_out:
            self.shortcut = nn.Sequential(nn.Conv2d(n_in, n_out, 1, stride, bias=False), nn.BatchNorm2d(n_out))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the sum of both ways, rectified."""
        y = self.norm2(self.conv2(functional.relu(self.norm1(self.conv1(x)))))
        return functional.relu(y + self.shortcut(x))


def resnet20(shape: Shape, n_classes: int) -> nn.Module:
    """The residual network of 20 layers for small images (He et al. 2016, arXiv:1512.03385, section 4.2)."""
    layers: list[nn.Module] = [nn.Conv2d(shape[0], 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    width = 16
    for n_out, stride in ((16, 1), (32, 2), (64, 2)):
        for k in range(3):
            layers.append(ResidualBlock(width, n_out, stride if k == 0 else 1))
            width = n_out
    return nn.Sequential(*layers, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(width, n_classes))


class SelfAttention(nn.Module):
    """Multi-head self-attention whose projections are Linear layers of their own: q, k, v and o."""

    def __init__(self, width: int, n_heads: int) -> None:
        super().__init__()
        self.n_heads, self.head_width = n_heads, width // n_heads
        self.q, self.k, self.v, self.o = (nn.Linear(width, width) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the attended tokens, of shape (batch, tokens, width)."""
        q, k, v = (
            part(x).unflatten(-1, (self.n_heads, self.head_width)).transpose(1, 2) for part in (self.q, self.k, self.v)
        )
        return self.o(functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2))


class EncoderBlock(nn.Module):
    """Attention and a two-layer perceptron, each normalised before and added to what came in."""

    def __init__(self, width: int, n_heads: int, hidden: int) -> None:
        super().__init__()
        self.norm1, self.attention = nn.LayerNorm(width), SelfAttention(width, n_heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, hidden), nn.GELU(), nn.Linear(hidden, width))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the tokens after attention and perceptron."""
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class VisionTransformer(nn.Module):
    """Patches as tokens through encoder blocks, averaged and classified (Dosovitskiy et al. 2021, arXiv:2010.11929).

    Parameters
    ----------
    shape : channels, height and width
    n_classes : int
    patch : int
        Height and width of a patch; it must divide those of the image.
    width, depth, n_heads, hidden : int
        Size of a token, number of blocks, of heads, and units of a block's perceptron.
    """

    def __init__(
        self, shape: Shape, n_classes: int, *, patch: int, width: int = 64, depth: int = 4, n_heads: int = 4,
        hidden: int = 128,
    ) -> None:  # fmt: skip
        super().__init__()
        channels, height, w = shape
        if height % patch or w % patch:
            raise SpecificationError(f"patches of {patch} x {patch} do not tile images of {height} x {w} pixels")
        self.patches = nn.Conv2d(channels, width, patch, patch)
        self.position = nn.Parameter(0.02 * torch.randn(1, (height // patch) * (w // patch), width))
        self.blocks = nn.Sequential(*(EncoderBlock(width, n_heads, hidden) for _ in range(depth)))
        self.norm, self.head = nn.LayerNorm(width), nn.Linear(width, n_classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Return the logits."""
        x = self.patches(x).flatten(2).transpose(1, 2) + self.position
        return self.head(self.norm(self.blocks(x)).mean(1))


def vit_tiny(shape: Shape, n_classes: int) -> nn.Module:
    """A vision transformer of four blocks of four heads, with about 50 tokens or fewer."""
    _, height, width = shape
    patch = next(
        (p for p in (2, 4, 7, 8, 14, 16) if not (height % p or width % p) and height * width <= 64 * p * p), None
    )
    if patch is None:
        raise SpecificationError(f"vit-tiny finds no patch that tiles images of {height} x {width} pixels")
    return VisionTransformer(shape, n_classes, patch=patch)


MODELS: Mapping[str, Callable[[Shape, int], nn.Module]] = {
    "lenet300": lenet300,
    "lenet5": lenet5,
    "small-cnn": small_cnn,
    "resnet20": resnet20,
    "vit-tiny": vit_tiny,
}


def make_model(name: str, shape: Shape, n_classes: int) -> nn.Module:
    """Return a network with random weights, drawn from torch's generator.

    Parameters
    ----------
    name : str
        One of :data:`MODELS`, or ``module:factory``: a function of the image's shape and the number of
        classes that returns a module; the module is looked for in the current folder too.
    shape : channels, height and width
    n_classes : int

    Raises
    ------
    SpecificationError
        If there is no such network, the factory fails or does not return a module, the images do not fit it, or it
        has fewer outputs than there are classes.
    """
    if name in MODELS:
        return MODELS[name](shape, n_classes)
    module_name, colon, factory_name = name.partition(":")
    if not (module_name and colon and factory_name):
        raise SpecificationError(f"no model {name!r}: models are {', '.join(MODELS)}, or module:factory")
    here = os.getcwd()
    sys.path.insert(0, here)
    try:
        module = importlib.import_module(module_name)
    except Exception as error:  # it is anybody's code, and so is the factory
        raise SpecificationError(f"model {name!r} cannot be imported: {type(error).__name__}: {error}") from error
    finally:
        sys.path.remove(here)
    factory = getattr(module, factory_name, None)
    if not callable(factory):
        raise SpecificationError(f"module {module_name!r} has no function {factory_name!r}")
    try:
        model = factory(shape, n_classes)
    except NeuropruneError:
        raise
    except Exception as error:
        raise SpecificationError(f"{name} made no network: {type(error).__name__}: {error}") from error
    if not isinstance(model, nn.Module):
        raise SpecificationError(f"{name} returned {type(model).__name__}, not a torch.nn.Module")
    _check_outputs(name, model, shape, n_classes)
    return model


def _check_outputs(name: str, model: nn.Module, shape: Shape, n_classes: int) -> None:
    """Make sure that a network of somebody's own takes such images and has an output for each class."""
    place = next((p.device for p in model.parameters()), None)
    with evaluating(model), torch.no_grad(), torch.random.fork_rng(devices=[]):
        out = call_network(model, (torch.zeros(1, *shape, device=place),))
    found = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
    if not (isinstance(found, tuple) and len(found) == 2 and found[0] == 1 and found[1] >= n_classes):
        raise SpecificationError(
            f"{name} returns {found} for one image: {n_classes} classes take a tensor (1, {n_classes}) or wider"
        )
