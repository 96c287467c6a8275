"""Files of networks that became smaller: their types, masks and damage."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
from safetensors import safe_open  # noqa: E402
from safetensors.torch import save_file  # noqa: E402
from torch import nn  # noqa: E402

from neuroprune.bridge.masks import mask_weight  # noqa: E402
from neuroprune.bridge.saving import load_network, save_network  # noqa: E402
from neuroprune.bridge.slim import slim  # noqa: E402
from neuroprune.bridge.zoo import make_model  # noqa: E402
from neuroprune.core.errors import SpecificationError  # noqa: E402

SHAPE = (1, 8, 8)


def network(path: Path, dtype: Any = None) -> tuple[nn.Module, Any]:
    torch.manual_seed(0)
    model = make_model("small-cnn", SHAPE, 10).eval()
    model = model if dtype is None else model.to(dtype)
    x = torch.randn(2, *SHAPE, dtype=dtype)
    smaller = slim(model, {"0": [1, 2]}, (x,))
    save_network(smaller, model, path, name="small-cnn", shape=SHAPE, n_classes=10)
    return smaller, x


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_a_network_comes_back_in_its_precision(tmp_path: Path, dtype: Any) -> None:
    smaller, x = network(tmp_path / "n.safetensors", dtype)
    loaded = load_network(tmp_path / "n.safetensors").eval()
    assert next(loaded.parameters()).dtype == dtype
    assert torch.equal(loaded(x), smaller(x))


def test_a_masked_network_is_slimmed_saved_and_loaded(tmp_path: Path) -> None:
    model: Any = make_model("small-cnn", SHAPE, 10).eval()
    x = torch.randn(2, *SHAPE)
    mask = mask_weight(model[0])
    mask.alive[[1, 2]] = False
    smaller = slim(model, {"0": [1, 2]}, (x,))
    save_network(smaller, model, tmp_path / "n.safetensors", name="small-cnn", shape=SHAPE, n_classes=10)
    torch.testing.assert_close(load_network(tmp_path / "n.safetensors").eval()(x), smaller(x))
    # Not slimmed, with its masks on, too: what is dead is 0 in the file.
    save_network(model, model, tmp_path / "m.safetensors", name="small-cnn", shape=SHAPE, n_classes=10)
    torch.testing.assert_close(load_network(tmp_path / "m.safetensors").eval()(x), model(x))


def test_a_buffer_that_no_state_dict_has_and_that_was_cut_is_named(tmp_path: Path) -> None:
    class Scaled(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.a, self.b = nn.Linear(6, 8), nn.Linear(8, 3)
            self.register_buffer("scale", torch.rand(8), persistent=False)

        def forward(self, x):
            return self.b(self.a(x) * self.scale)

    model = Scaled().eval()
    smaller = slim(model, {"a": [0]}, (torch.randn(2, 6),))
    with pytest.raises(SpecificationError, match="buffer 'scale' is no part of the state dict"):
        save_network(smaller, model, tmp_path / "n.safetensors", name="mine", shape=SHAPE, n_classes=3)


@pytest.mark.parametrize(
    "damage",
    [{"shape": [-1, 8, 8]}, {"shape": [8, 8]}, {"n_classes": -3}, {"n_classes": "ten"}, {"ranks": {"9": 1}}],
)
def test_damaged_files_are_one_clear_error(tmp_path: Path, damage: dict[str, Any]) -> None:
    path = tmp_path / "n.safetensors"
    network(path)
    with safe_open(path, "pt") as file:
        description = json.loads(file.metadata()["neuroprune"])
        state = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118 - it is no mapping
    save_file(state, path, metadata={"neuroprune": json.dumps({**description, **damage})})
    with pytest.raises(SpecificationError, match=r"no network that neuroprune saved|does not fit"):
        load_network(path)
