"""The loop that trains and the zoo that is trained."""

import math
from pathlib import Path

import pytest
import torch
from torch import nn

from neuroprune.bridge.images import Split, load_images
from neuroprune.bridge.training import Training, default_training, evaluate, train
from neuroprune.bridge.zoo import MODELS, make_model
from neuroprune.core.errors import SpecificationError


def two_points() -> Split:
    return Split(torch.tensor([[1.0], [-1.0]]), torch.tensor([0, 1]))


def test_the_score_is_the_one_computed_by_hand() -> None:
    model = nn.Linear(1, 2, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[1.0], [0.0]]))
    score = evaluate(model, Split(torch.tensor([[1.0], [1.0], [-2.0]]), torch.tensor([0, 1, 1])), batch_size=2)
    assert score.accuracy == pytest.approx(2 / 3)
    by_hand = (math.log(1 + math.exp(-1)) + math.log(1 + math.exp(1)) + math.log(1 + math.exp(-2))) / 3
    assert score.loss == pytest.approx(by_hand)


def test_one_step_of_sgd_is_the_one_computed_by_hand() -> None:
    model = nn.Linear(1, 2, bias=False)
    nn.init.zeros_(model.weight)
    (loss,) = train(model, two_points(), Training(1, lr=0.5, momentum=0, weight_decay=0), seed=0)
    assert loss == pytest.approx(math.log(2))
    # The gradient is that of two points of opposite sign and class: -1/2 and 1/2.
    assert model.weight.flatten().tolist() == pytest.approx([0.25, -0.25])


def test_the_learning_rate_rises_and_falls_to_nothing() -> None:
    training = Training(10, warmup=0.2)
    assert [training.rate(u) for u in (0, 0.1, 0.2, 0.6, 1)] == pytest.approx([0, 0.5, 1, 0.5, 0])


def test_training_follows_from_its_seed_and_leaves_the_global_generator_alone() -> None:
    images = load_images("digits")
    weights = []
    for seed, draws in ((0, 0), (0, 5), (1, 0)):
        torch.manual_seed(3)
        model = make_model("lenet300", images.shape, 10)
        torch.rand(draws)
        state = torch.get_rng_state()
        train(model, images.validation, Training(2), seed=seed)
        assert torch.equal(state, torch.get_rng_state())
        weights.append(model[1].weight.detach().clone())  # type: ignore[union-attr, operator]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_what_else_is_done_comes_in_order() -> None:
    model, seen = nn.Linear(1, 2), []

    def note(what: str, step: int) -> None:
        grad = model.weight.grad
        assert grad is not None
        seen.append((what, step))

    train(
        model,
        two_points(),
        Training(2, batch_size=1),
        seed=0,
        before_step=lambda s: note("before", s),
        after_step=lambda s: note("after", s),
        after_epoch=lambda e: note("epoch", e),
    )
    steps = [(what, s) for s in range(4) for what in ("before", "after")]
    assert seen == [*steps[:4], ("epoch", 0), *steps[4:], ("epoch", 1)]


def test_a_score_leaves_each_module_in_its_mode() -> None:
    model = nn.Sequential(nn.Linear(1, 2), nn.BatchNorm1d(2))
    model.train()
    model[1].eval()
    evaluate(model, two_points())
    assert (model.training, model[0].training, model[1].training) == (True, True, False)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("shape", [(1, 8, 8), (1, 28, 28), (3, 32, 32)])
def test_every_network_takes_digits_mnist_and_cifar(name: str, shape: tuple[int, int, int]) -> None:
    model = make_model(name, shape, 7)
    assert model(torch.zeros(2, *shape)).shape == (2, 7)


def test_published_sizes() -> None:
    def size(name: str, shape: tuple[int, int, int]) -> int:
        return sum(p.numel() for p in make_model(name, shape, 10).parameters())

    assert size("lenet300", (1, 28, 28)) == 266_610  # LeNet-300-100
    # He et al. give 0.27 M; with convolutions in the shortcuts there are 2,752 more.
    assert size("resnet20", (3, 32, 32)) == 272_474


def test_a_network_learns_the_digits() -> None:
    images = load_images("digits")
    torch.manual_seed(0)
    model = make_model("lenet300", images.shape, 10)
    losses = train(model, images.train, default_training("lenet300", 8), seed=0)
    assert losses[-1] < losses[0] / 5
    assert evaluate(model, images.test).accuracy > 0.93


def test_a_network_of_the_users_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "mynet.py").write_text(
        "from torch import nn\n"
        "def make(shape, n_classes):\n"
        "    return nn.Sequential(nn.Flatten(), nn.Linear(shape[1] * shape[2], n_classes))\n"
        "def wrong(shape, n_classes):\n    return 3\n"
    )
    monkeypatch.chdir(tmp_path)
    assert make_model("mynet:make", (1, 2, 3), 4)(torch.zeros(5, 1, 2, 3)).shape == (5, 4)
    with pytest.raises(SpecificationError, match="mynet:wrong returned int"):
        make_model("mynet:wrong", (1, 2, 3), 4)
    with pytest.raises(SpecificationError, match="has no function 'other'"):
        make_model("mynet:other", (1, 2, 3), 4)
    with pytest.raises(SpecificationError, match="cannot be imported"):
        make_model("nonet:make", (1, 2, 3), 4)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": -1}, "epochs is -1"),
        ({"epochs": 1, "lr": 0}, "lr is 0, and must be above 0"),
        ({"epochs": 1, "optimizer": "adam"}, "optimizer is 'adam', and must be sgd or adamw"),
        ({"epochs": 1, "warmup": 1}, "warmup is 1"),
        ({"epochs": 1, "batch_size": 0}, "batch_size is 0"),
    ],
)
def test_training_that_makes_no_sense_is_refused(options: dict, message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        Training(**options)


def test_errors_name_what_is_wrong() -> None:
    empty = Split(torch.zeros(0, 1), torch.zeros(0, dtype=torch.int64))
    model = nn.Linear(1, 2)
    with pytest.raises(SpecificationError, match="no images to train on"):
        train(model, empty, Training(1), seed=0)
    with pytest.raises(SpecificationError, match="no images to score"):
        evaluate(model, empty)
    with pytest.raises(SpecificationError, match="the loss of epoch 0 is"):
        train(model, Split(torch.tensor([[float("inf")]]), torch.tensor([0])), Training(1), seed=0)
    with pytest.raises(SpecificationError, match="no model 'lenet'"):
        make_model("lenet", (1, 8, 8), 10)
    with pytest.raises(SpecificationError, match="no patch that tiles"):
        make_model("vit-tiny", (1, 13, 13), 10)
