"""Networks of somebody's own: what a factory may do, and what is said where it fails."""

from pathlib import Path

import pytest
import torch
from torch import nn

from neuroprune.bridge.zoo import make_model
from neuroprune.core.errors import SpecificationError

FACTORIES = """
import torch
from torch import nn

from neuroprune.core.errors import SpecificationError


class Noisy(nn.Module):
    def __init__(self):
        super().__init__()
        self.body = nn.Sequential(nn.Flatten(), nn.Linear(4, 12), nn.BatchNorm1d(12))

    def forward(self, x):
        return self.body(x) + torch.randn(len(x), 12)


class Raising(nn.Module):
    def forward(self, x):
        return {}["x"]


good = lambda shape, n: Noisy()
few = lambda shape, n: nn.Sequential(nn.Flatten(), nn.Linear(4, 3))
places = lambda shape, n: nn.Conv2d(1, n, 1)
pair = lambda shape, n: nn.LSTM(2, n)
bad = lambda shape, n: {}["no such key"]
told = lambda shape, n: (_ for _ in ()).throw(SpecificationError("images are too small"))
number = lambda shape, n: 3
raising = lambda shape, n: Raising()
"""


@pytest.fixture(autouse=True)
def own_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "own_networks.py").write_text(FACTORIES)
    (tmp_path / "broken_networks.py").write_text("{}['at import']")
    monkeypatch.chdir(tmp_path)


def test_a_network_of_one_s_own_is_made_and_tried() -> None:
    torch.manual_seed(0)
    model = make_model("own_networks:good", (1, 2, 2), 10)
    after = torch.rand(1)
    assert model.training and int(model.body[2].num_batches_tracked) == 0  # type: ignore[index]
    torch.manual_seed(0)
    nn.Linear(4, 12)
    assert torch.equal(torch.rand(1), after)  # trying it drew no numbers


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("own_networks:few", r"own_networks:few returns \(1, 3\) for one image: 10 classes take a tensor \(1, 10\)"),
        ("own_networks:places", r"returns \(1, 10, 2, 2\) for one image"),
        ("own_networks:pair", r"LSTM cannot be called with a tensor \(1, 1, 2, 2\)"),
        ("own_networks:bad", "own_networks:bad made no network: KeyError: 'no such key'"),
        ("own_networks:told", "^images are too small$"),
        ("own_networks:number", "own_networks:number returned int, not a torch.nn.Module"),
        ("own_networks:raising", r"Raising cannot be called with a tensor \(1, 1, 2, 2\): KeyError: 'x'"),
        ("own_networks:none", "module 'own_networks' has no function 'none'"),
        ("broken_networks:any", "model 'broken_networks:any' cannot be imported: KeyError: 'at import'"),
        ("absent_networks:any", "cannot be imported: ModuleNotFoundError"),
        ("own_networks", "no model 'own_networks': models are lenet300"),
    ],
)
def test_what_fails_is_named(name: str, message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        make_model(name, (1, 2, 2), 10)
