"""Which network a command works on: options that commands share, and the network that they mean."""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from neuroprune.core.errors import SpecificationError

if TYPE_CHECKING:
    import torch
    from torch import nn

    from neuroprune.bridge.images import Images
    from neuroprune.bridge.training import Training

NetworkOption = Annotated[
    str,
    typer.Option(
        "--model", metavar="NAME", help="lenet300, lenet5, small-cnn, resnet20, vit-tiny, or your own module:factory."
    ),
]
DataOption = Annotated[
    str,
    typer.Option(
        "--data", metavar="NAME|FOLDER", help="digits, mnist, fashion-mnist, cifar10, or a folder of IDX files."
    ),
]
WeightsOption = Annotated[
    Path | None,
    typer.Option("--weights", metavar="FILE", help="Weights to load instead of training (.safetensors, .pt)."),
]
EpochsOption = Annotated[int, typer.Option(min=0, metavar="N", help="Epochs of training, without --weights.")]
SeedOption = Annotated[
    int, typer.Option(min=0, metavar="N", help="Seed of the initial weights and the order of images.")
]
DeviceOption = Annotated[
    str, typer.Option(metavar="NAME", help="Where it runs: auto (a GPU where there is one), cpu, cuda, mps.")
]


@dataclass(frozen=True)
class Network:
    """A trained network, the images it was trained on, and how."""

    name: str
    model: "nn.Module"
    images: "Images"
    training: "Training"
    seed: int

    def example(self, batch: int = 1) -> "tuple[torch.Tensor]":
        """Return inputs to call it with: the first test images, over again where there are fewer."""
        import torch

        x = self.images.test.x
        return (x[torch.arange(batch, device=x.device) % len(x)],)


def load_network(
    model: str, data: str, *, weights: Path | None, epochs: int, seed: int, device: str, say: Any = None
) -> Network:
    """Return the network that a command's options mean, trained unless weights are given.

    Raises
    ------
    SpecificationError
        If the model, the images, the weights or the device do not exist or do not fit each other.
    """
    try:
        import torch

        from neuroprune.bridge.images import load_images
        from neuroprune.bridge.training import default_training, train
        from neuroprune.bridge.zoo import make_model
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.startswith("neuroprune"):
            raise
        raise SpecificationError("this command needs torch: pip install 'neuroprune[bridge]'") from None
    place = choose_device(device)
    images = load_images(data).to(place)
    torch.manual_seed(seed)
    network = make_model(model, images.shape, images.n_classes).to(place)
    training = default_training(model, epochs)
    if weights is not None:
        load_weights(network, weights)
    else:
        train(network, images.train, training, seed=seed, after_epoch=say)
    return Network(model, network, images, training, seed)


def choose_device(name: str) -> "torch.device":
    """Return the device of a name; ``auto`` is a GPU where there is one."""
    import torch

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        reason = str(error).splitlines()[0]
        raise SpecificationError(f"device {name!r} cannot be used: {reason}") from None
    return device


def load_weights(model: "nn.Module", path: Path) -> None:
    """Load a state dict; of a ``.pt`` file only tensors are read, never code.

    Raises
    ------
    SpecificationError
        If it is no such file, or its tensors are not those of the network.
    """
    import torch
    from safetensors import SafetensorError

    if not path.is_file():
        raise SpecificationError(f"no weights {str(path)!r}")
    try:
        if path.suffix == ".safetensors":
            from safetensors.torch import load_file

            state = load_file(path)
        else:
            state = torch.load(path, map_location="cpu", weights_only=True)
        model.load_state_dict(state)
    except SafetensorError as error:
        raise SpecificationError(f"{str(path)!r} is no safetensors file: {error}") from None
    except Exception as error:  # bytes that are no pickle make the reader raise anything
        lines = [line.strip() for line in str(error).splitlines() if line.strip()] or [type(error).__name__]
        reason = lines[1] if len(lines) > 1 and lines[0].startswith("Error(s) in loading") else lines[0]
        raise SpecificationError(f"cannot load {str(path)!r} into this network: {reason}") from None
    wrong = next((name for name, value in model.state_dict().items() if not bool(torch.isfinite(value).all())), None)
    if wrong is not None:
        raise SpecificationError(f"{wrong!r} in {str(path)!r} has values that are not finite")
