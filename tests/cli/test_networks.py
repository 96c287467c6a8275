"""Options that name a network: what they load, and what they refuse."""

import pickle
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from neuroprune.bridge.zoo import make_model
from neuroprune.cli.networks import choose_device, load_network, load_weights
from neuroprune.core.errors import SpecificationError


class Harmful:
    def __reduce__(self) -> tuple:
        return (exec, ("raise SystemExit('code of the file was run')",))


def network(**options: object) -> dict:
    return {"model": "lenet300", "data": "digits", "weights": None, "epochs": 0, "seed": 3, "device": "cpu", **options}


@pytest.mark.parametrize("suffix", [".safetensors", ".pt"])
def test_weights_are_loaded_instead_of_training(tmp_path: Path, suffix: str) -> None:
    torch.manual_seed(8)
    model = make_model("lenet300", (1, 8, 8), 10)
    path = tmp_path / f"weights{suffix}"
    if suffix == ".pt":
        torch.save(model.state_dict(), path)
    else:
        save_file(model.state_dict(), path)
    loaded = load_network(**network(weights=path, epochs=5))
    x = loaded.example(3)[0]
    assert torch.equal(loaded.model(x), model(x))


def test_training_follows_from_the_seed() -> None:
    first, again, other = (load_network(**network(epochs=1, seed=s)) for s in (1, 1, 2))
    x = first.example(2)[0]
    assert torch.equal(first.model(x), again.model(x))
    assert not torch.equal(first.model(x), other.model(x))


def test_examples_go_round_where_a_batch_is_larger_than_the_test_part() -> None:
    loaded = load_network(**network())
    (x,) = loaded.example(400)
    assert x.shape == (400, 1, 8, 8)
    assert torch.equal(x[355:], x[:45])


def test_weights_that_do_not_fit_are_refused_and_code_is_never_run(tmp_path: Path) -> None:
    model = make_model("lenet300", (1, 8, 8), 10)
    torch.save(make_model("lenet5", (1, 8, 8), 10).state_dict(), tmp_path / "other.pt")
    (tmp_path / "harmful.pt").write_bytes(pickle.dumps(Harmful(), protocol=2))
    (tmp_path / "text.safetensors").write_text("hello")
    (tmp_path / "empty.pt").touch()
    for name, message in (
        ("other.pt", "into this network: Unexpected key"),
        ("harmful.pt", "cannot load"),
        ("text.safetensors", "is no safetensors file"),
        ("empty.pt", "cannot load"),
        ("none.pt", "no weights"),
    ):
        with pytest.raises(SpecificationError, match=message):
            load_weights(model, tmp_path / name)


def test_a_device_that_is_not_there_is_named() -> None:
    assert choose_device("auto").type in ("cpu", "cuda")
    with pytest.raises(SpecificationError, match="device 'tpu' cannot be used"):
        choose_device("tpu")
    if not torch.cuda.is_available():
        with pytest.raises(SpecificationError, match="device 'cuda' cannot be used"):
            choose_device("cuda")
