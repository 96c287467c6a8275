"""Compression as a whole: stations add up, what was given is left, and files come back as they were."""

import json
from functools import cache
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn

from neuroprune.bridge.compression import compress
from neuroprune.bridge.costs import network_cost
from neuroprune.bridge.distillation import Distillation
from neuroprune.bridge.images import Images, Split
from neuroprune.bridge.lowrank import factorize
from neuroprune.bridge.saving import load_network, save_network
from neuroprune.bridge.slim import slim
from neuroprune.bridge.training import Training, evaluate, train
from neuroprune.bridge.zoo import make_model
from neuroprune.core.errors import SpecificationError

SHAPE = (1, 8, 8)
EXAMPLE = (torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0)),)


@pytest.fixture(scope="module")
def images() -> Images:
    generator = torch.Generator().manual_seed(0)
    prototypes = torch.randn(4, *SHAPE, generator=generator)

    def split(n: int) -> Split:
        y = torch.arange(n) % 4
        return Split(prototypes[y] + torch.randn(n, *SHAPE, generator=generator), y)

    return Images("made up", split(256), split(64), split(128), 4)


@pytest.fixture(scope="module")
def trained(images: Images) -> nn.Module:
    torch.manual_seed(0)
    model = make_model("small-cnn", SHAPE, 4)
    train(model, images.train, Training(3, 32, 0.05), seed=0)
    return model


def test_stations_cost_what_their_networks_cost(images: Images, trained: nn.Module) -> None:
    before = {k: v.clone() for k, v in trained.state_dict().items()}
    lines: list[str] = []
    found = compress(
        trained, EXAMPLE, data=images, prune={"0": range(8), "3": range(16)}, svd={"12": 12},
        training=Training(2, 32, 0.02), distil_with=Distillation(), say=lines.append,
    )  # fmt: skip
    assert [s.name for s in found.stations] == ["original", "pruned", "factorized", "fine-tuned"]
    assert lines == ["prune", "factorize", "fine-tune"]
    original, pruned, factorized, tuned = (s.cost for s in found.stations)
    assert original == network_cost(trained, EXAMPLE)
    # Half the filters of the first two layers: a half, a quarter and a half of the three.
    places = 2 * 64
    convolutions = places * 9 * (1 * 8 + 8 * 16 + 16 * 64 // 4)
    assert pruned.macs == convolutions + 2 * (256 * 64 + 64 * 4)
    assert factorized.macs == convolutions + 2 * (12 * (256 + 64) + 64 * 4)
    assert tuned.macs == factorized.macs
    assert found.removed == {"0": tuple(range(8)), "3": tuple(range(16))}
    (layer,) = found.layers
    assert (layer.name, layer.rank, layer.weights) == ("12", 12, (256 * 64, 12 * (256 + 64)))
    assert len(found.losses) == 2
    assert found.stations[-1].test == evaluate(found.model, images.test)
    assert found.stations[-1].validation == evaluate(found.model, images.validation)
    assert found.stations[-1].test.accuracy > 0.6
    assert all(torch.equal(v, before[k]) for k, v in trained.state_dict().items())
    assert all(p.grad is None or not torch.isnan(p.grad).any() for p in trained.parameters())


def test_without_training_there_is_no_fine_tuning(images: Images, trained: nn.Module) -> None:
    before = {k: v.clone() for k, v in trained.state_dict().items()}
    found = compress(trained, EXAMPLE, data=images, svd=0.9)
    assert trained.state_dict().keys() == before.keys()
    assert [s.name for s in found.stations] == ["original", "factorized"]
    assert found.losses == ()
    assert [layer.name for layer in found.layers] == ["12", "14"]


def test_a_teacher_of_another_kind(images: Images, trained: nn.Module) -> None:
    torch.manual_seed(1)
    teacher = make_model("lenet300", SHAPE, 4)
    train(teacher, images.train, Training(3, 32, 0.05), seed=0)
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    options = {"data": images, "svd": 0.9, "training": Training(1, 32, 0.02)}
    taught = compress(trained, EXAMPLE, distil_with=Distillation(weight=1.0), teacher=teacher, **options)
    by_itself = compress(trained, EXAMPLE, distil_with=Distillation(weight=1.0), **options)
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert taught.losses != by_itself.losses


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "nothing to compress"),
        ({"svd": 0.9, "distil_with": Distillation()}, "give its training"),
        ({"svd": 0.9, "training": Training(1), "teacher": nn.Linear(2, 2)}, "give a Distillation"),
        ({"prune": {"nothing": [0]}}, "no layer 'nothing'"),
        ({"svd": {"0": 3}}, "it is Conv2d"),
    ],
)
def test_requests_that_make_no_sense(
    images: Images, trained: nn.Module, options: dict[str, object], message: str
) -> None:
    with pytest.raises(SpecificationError, match=message):
        compress(trained, EXAMPLE, data=images, **options)  # type: ignore[arg-type]


# --- files ---------------------------------------------------------------------------------------------------------


@cache
def smaller(name: str) -> tuple[nn.Module, nn.Module]:
    """Return a network of the zoo, and it with fewer units and thinner layers."""
    torch.manual_seed(0)
    model = make_model(name, SHAPE, 4).eval()
    removal, ranks = {
        "small-cnn": ({"0": range(5), "7": [0, 9], "12": range(7)}, {"12": 10}),
        "resnet20": ({"3.conv1": range(5), "7.conv1": range(9)}, {"14": 2}),
        "vit-tiny": ({"blocks.0.attention": [1], "blocks.1.mlp.0": range(30)}, {"blocks.1.mlp.0": 9}),
    }[name]
    return model, factorize(slim(model, removal, EXAMPLE), ranks).model


@pytest.mark.parametrize("name", ["small-cnn", "resnet20", "vit-tiny"])
def test_a_file_comes_back_as_the_network_it_was(name: str, tmp_path: Path) -> None:
    original, model = smaller(name)
    path = tmp_path / "new" / "network.safetensors"
    save_network(model, original, path, name=name, shape=SHAPE, n_classes=4)
    back = load_network(path).eval()
    assert torch.equal(back(*EXAMPLE), model(*EXAMPLE))
    assert network_cost(back, EXAMPLE) == network_cost(model, EXAMPLE)
    assert str(back) == str(model)
    # The tensors are a plain state dict.
    plain = load_file(path)
    assert plain.keys() == model.state_dict().keys()
    # A network that somebody else makes does too.
    other = load_network(path, make_model(name, SHAPE, 4)).eval()
    assert torch.equal(other(*EXAMPLE), model(*EXAMPLE))


def test_what_the_metadata_say(tmp_path: Path) -> None:
    original, model = smaller("vit-tiny")
    path = tmp_path / "network.safetensors"
    save_network(model, original, path, name="vit-tiny", shape=SHAPE, n_classes=4)
    with safe_open(path, "pt") as file:
        said = json.loads(file.metadata()["neuroprune"])
    assert said == {
        "format": "neuroprune-network/1",
        "model": "vit-tiny",
        "shape": [1, 8, 8],
        "n_classes": 4,
        "ranks": {"blocks.1.mlp.0": 9},
        "attributes": {
            "blocks.0.attention": {"n_heads": 3},
            **{f"blocks.0.attention.{part}": {"out_features": 48} for part in "qkv"},
            "blocks.0.attention.o": {"in_features": 48},
            "blocks.1.mlp.2": {"in_features": 98},
        },
    }


def test_tied_weights_come_back_tied(tmp_path: Path) -> None:
    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.flat, self.a, self.b = nn.Flatten(), nn.Linear(64, 64), nn.Linear(64, 64)
            self.b.weight = self.a.weight

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return self.b(self.a(self.flat(x)))

    def cut(model: Tied) -> Tied:
        model.a.weight = model.b.weight = nn.Parameter(torch.randn(64, 64))
        return model

    path = tmp_path / "tied.safetensors"
    model = cut(Tied())
    save_network(model, Tied(), path, name="mine:tied", shape=SHAPE, n_classes=4)
    back = load_network(path, Tied())
    assert isinstance(back, Tied) and back.a.weight is back.b.weight
    assert torch.equal(back(*EXAMPLE), model(*EXAMPLE))


def test_files_that_make_no_sense(tmp_path: Path) -> None:
    original, model = smaller("small-cnn")
    path = tmp_path / "network.safetensors"
    with pytest.raises(SpecificationError, match="no network"):
        load_network(path)
    path.write_bytes(b"nothing")
    with pytest.raises(SpecificationError, match="no network that neuroprune saved"):
        load_network(path)
    save_file({"a": torch.ones(1)}, path)
    with pytest.raises(SpecificationError, match="no network that neuroprune saved"):
        load_network(path)
    save_file({"a": torch.ones(1)}, path, metadata={"neuroprune": json.dumps({"format": "other"})})
    with pytest.raises(SpecificationError, match="has format 'other'"):
        load_network(path)
    # A file names no code to import.
    save_network(model, original, path, name="os:system", shape=SHAPE, n_classes=4)
    with pytest.raises(SpecificationError, match="give it as model"):
        load_network(path)
    with pytest.raises(SpecificationError, match="does not fit Sequential"):
        load_network(path, make_model("lenet300", SHAPE, 4))


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("0", {"forward": 3}, "no whole number 'forward'"),
        ("0", {"out_channels": "x"}, "no whole number 'out_channels'"),
        ("0", {"training": 1}, "no whole number 'training'"),
        ("99", {"out_channels": 3}, "does not fit"),
    ],
)
def test_a_file_sets_sizes_alone(name: str, change: dict[str, object], message: str, tmp_path: Path) -> None:
    original, model = smaller("small-cnn")
    path = tmp_path / "network.safetensors"
    save_network(model, original, path, name="small-cnn", shape=SHAPE, n_classes=4)
    with safe_open(path, "pt") as file:
        said = json.loads(file.metadata()["neuroprune"])
    said["attributes"] = {name: change}
    save_file(load_file(path), path, metadata={"neuroprune": json.dumps(said)})
    with pytest.raises(SpecificationError, match=message):
        load_network(path)


def test_networks_that_differ_in_more_than_sizes_are_not_saved(tmp_path: Path) -> None:
    original, _ = smaller("small-cnn")
    other = make_model("lenet300", SHAPE, 4)
    with pytest.raises(SpecificationError, match="not in the original"):
        save_network(original, other, tmp_path / "x.safetensors", name="x", shape=SHAPE, n_classes=4)
    with pytest.raises(SpecificationError, match="is gone"):
        save_network(original[:-1], original, tmp_path / "x.safetensors", name="x", shape=SHAPE, n_classes=4)  # type: ignore[index]
