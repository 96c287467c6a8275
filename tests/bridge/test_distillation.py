"""Distillation: the loss by hand, what pulls how hard at which temperature, and a teacher that stays as it is."""

import copy
import math

import pytest
import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.distillation import Distillation, Distiller, distil, soft_loss
from neuroprune.bridge.images import Split
from neuroprune.bridge.training import Training, evaluate
from neuroprune.core.errors import SpecificationError


def images(n: int = 96, seed: int = 0) -> Split:
    """Return small images of three classes, whose means differ."""
    generator = torch.Generator().manual_seed(seed)
    y = torch.arange(n) % 3
    return Split(torch.randn(n, 2, 4, 4, generator=generator) + y[:, None, None, None] - 1, y)


def network(width: int, seed: int, scale: float = 1.0) -> nn.Sequential:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Conv2d(2, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU(), nn.Flatten(), nn.Linear(16 * width, 3)
    )
    with torch.no_grad():
        model[4].weight.mul_(scale)  # type: ignore[operator]
    return model


def gradient(loss: torch.Tensor, logits: torch.Tensor) -> torch.Tensor:
    """Return the gradient of a batch's mean loss, for each image."""
    return torch.autograd.grad(loss, logits, retain_graph=True)[0] * len(logits)


def rms(gradients: torch.Tensor) -> float:
    return float(gradients.square().sum(1).mean().sqrt())


# --- the soft term -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [0.5, 1.0, 2.0, 7.0])
def test_two_classes_by_hand(T: float) -> None:
    student, teacher = 1.3, -0.4
    q, p = (1 / (1 + math.exp(-value / T)) for value in (student, teacher))
    expected = T**2 * (p * math.log(p / q) + (1 - p) * math.log((1 - p) / (1 - q)))
    z = torch.tensor([[student, 0.0]], requires_grad=True)
    loss = soft_loss(z, torch.tensor([[teacher, 0.0]]), T)
    assert loss.item() == pytest.approx(expected, rel=1e-4)
    # T**2 times 1/T of the logit's scale.
    assert gradient(loss, z)[0].tolist() == pytest.approx([T * (q - p), -T * (q - p)], rel=1e-4)


def test_for_high_temperatures_logits_are_matched() -> None:
    z = torch.randn(6, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0)).float().requires_grad_()
    t = torch.randn(6, 5, generator=torch.Generator().manual_seed(1))
    off = z.detach() - t
    torch.testing.assert_close(
        gradient(soft_loss(z, t, 100.0), z), (off - off.mean(1, keepdim=True)) / 5, rtol=0.05, atol=2e-3
    )


def test_it_is_zero_for_equal_answers_up_to_a_constant() -> None:
    z = torch.randn(4, 3)
    assert soft_loss(z, z + torch.randn(4, 1), 3.0).item() == pytest.approx(0, abs=1e-5)


# --- how hard it pulls ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("T", [0.7, 1.0, 2.0, 4.0, 10.0, 50.0])
def test_at_the_start_both_terms_pull_alike_at_every_temperature(T: float) -> None:
    split, student, teacher = images(), network(3, 0), network(8, 1, scale=6)
    distiller = Distiller(student, teacher, split, Distillation(T, 1.0))
    z = student(split.x)
    hard = rms(gradient(functional.cross_entropy(z, split.y), z))
    assert rms(gradient(distiller(split.x, z, split.y), z)) == pytest.approx(hard, rel=1e-3)


def test_without_the_scale_a_high_temperature_pulls_several_times_as_hard() -> None:
    split, student, teacher = images(), network(3, 0), network(8, 1, scale=200)
    teacher.eval()
    z, t = student(split.x), teacher(split.x).detach()
    hard = rms(gradient(functional.cross_entropy(z, split.y), z))
    pulls = [rms(gradient(soft_loss(z, t, T), z)) / hard for T in (1.0, 2.0, 4.0)]
    assert pulls[0] < 1.5 and pulls[2] > 3
    # No more than T times the length of a difference of two distributions.
    assert pulls[2] * hard <= 4 * math.sqrt(2)


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_sum_is_weighted_and_pulls_no_harder_than_cross_entropy(weight: float) -> None:
    split, student, teacher = images(), network(3, 0), network(8, 1, scale=6)
    hints = {"2": "2"} if weight == 0 else {}
    distillation = Distillation(4.0, weight, hints)
    with Distiller(student, teacher, split, distillation) as distiller:
        z = student(split.x)
        loss = distiller(split.x, z, split.y)
        hard = functional.cross_entropy(z, split.y)
        teacher.eval()
        soft = distiller.soft_scale * soft_loss(z, teacher(split.x), 4.0)
        if not hints:
            assert loss.item() == pytest.approx(((1 - weight) * hard + weight * soft).item(), rel=1e-5)
            assert rms(gradient(loss, z)) <= rms(gradient(hard, z)) * 1.001
        else:
            assert distiller.soft_scale == 0
            assert loss.item() > hard.item()


@pytest.mark.parametrize("width", [3, 8])
def test_a_hint_pulls_at_its_features_as_hard_as_cross_entropy_does(width: int) -> None:
    split, student, teacher = images(), network(width, 0), network(8, 1)
    distillation = Distillation(2.0, 0.0, {"2": "2"}, hint_weight=0.25)
    with Distiller(student, teacher, split, distillation) as distiller:
        z = student(split.x)
        feature = distiller._features["2"]
        hard = functional.cross_entropy(z, split.y)
        (by_classes,) = torch.autograd.grad(hard, feature, retain_graph=True)
        (by_hint,) = torch.autograd.grad(distiller(split.x, z, split.y) - hard, feature)
        assert float(by_hint.norm()) == pytest.approx(0.25 * float(by_classes.norm()), rel=1e-3)
        # Only a width that differs needs a map.
        assert [p.shape for p in distiller.regressors.parameters()] == ([(8, 3), (8,)] if width == 3 else [])


def test_the_map_of_a_hint_starts_at_least_squares() -> None:
    split, student, teacher = images(), network(3, 0), network(8, 1)
    with Distiller(student, teacher, split, Distillation(hints={"2": "2"})) as distiller:
        teacher.eval()
        x, y = (m[:3](split.x).movedim(1, -1).flatten(0, -2).detach() for m in (student, teacher))
        ones = torch.ones(len(x), 1)
        solution = torch.linalg.lstsq(torch.cat([x, ones], 1), y).solution
        (regressor,) = distiller.regressors.values()
        torch.testing.assert_close(regressor(x), torch.cat([x, ones], 1) @ solution, rtol=1e-3, atol=1e-3)
        for model in (student, teacher):
            model(split.x)
        residual = (y - torch.cat([x, ones], 1) @ solution).square().sum()
        assert distiller._hint("2").item() == pytest.approx(float(residual / (y - y.mean(0)).square().sum()), rel=1e-3)


# --- training ------------------------------------------------------------------------------------------------------


def test_the_teacher_is_left_as_it_is() -> None:
    split, student, teacher = images(), network(3, 0), network(8, 1, scale=6)
    teacher.train()
    teacher[1].eval()
    before = {k: v.clone() for k, v in teacher.state_dict().items()}
    distil(student, teacher, split, Training(2, 32, 0.05), Distillation(hints={"2": "2"}), seed=0)
    assert all(torch.equal(v, before[k]) for k, v in teacher.state_dict().items())
    assert all(p.grad is None for p in teacher.parameters())
    assert teacher.training and not teacher[1].training and teacher[0].training
    assert not any(m._forward_hooks for m in [*teacher.modules(), *student.modules()])


def test_measuring_leaves_no_trace_in_the_student() -> None:
    split, teacher = images(), network(8, 1)
    student = nn.Sequential(*list(network(3, 0))[:4], nn.Dropout(0.5), nn.Linear(48, 3))
    student[1].eval()
    before = {k: v.clone() for k, v in student.state_dict().items()}
    state = torch.get_rng_state()
    Distiller(student, teacher, split, Distillation(hints={"2": "2"}))
    assert all(torch.equal(v, before[k]) for k, v in student.state_dict().items())
    assert torch.equal(state, torch.get_rng_state())
    assert student.training and not student[1].training
    assert all(p.grad is None for p in student.parameters())


def test_the_answers_of_a_teacher_in_training_mode_are_those_of_evaluation() -> None:
    split, student, teacher = images(), network(3, 0), network(8, 1)
    teacher.train()
    z = student.eval()(split.x)
    trained = Distiller(student, teacher, split, Distillation(weight=1.0))(split.x, z, split.y)
    teacher.eval()
    again = Distiller(student, teacher, split, Distillation(weight=1.0))(split.x, z, split.y)
    assert trained.item() == again.item()


def test_a_student_learns_its_teacher_s_answers_without_any_class() -> None:
    split, teacher, student = images(), network(8, 1, scale=3), network(3, 0)
    told = Split(split.x, teacher.eval()(split.x).argmax(1))
    lied = Split(split.x, torch.zeros_like(split.y))
    losses = distil(student, teacher, lied, Training(20, 16, 0.05), Distillation(2.0, 1.0), seed=0)
    assert losses[-1] < 0.3 * losses[0]
    assert evaluate(student, told).accuracy > 0.8


def test_the_map_of_a_hint_is_trained_along_and_weights_decide() -> None:
    split, teacher = images(), network(8, 1)
    student = network(3, 0)
    with Distiller(student, teacher, split, Distillation(weight=0.0, hints={"2": "2"}, hint_weight=5.0)) as distiller:
        before = distiller.regressors["2"].weight.clone()  # type: ignore[operator]
        optimizer = Training(1, 16, 0.05).make_optimizer(nn.ModuleList([student, distiller.regressors]))
        student.train()
        first = distiller(split.x, student(split.x), split.y)
        first.backward()
        optimizer.step()
        assert not torch.equal(before, distiller.regressors["2"].weight)  # type: ignore[arg-type]
    assert "regressors" not in " ".join(student.state_dict())


# --- what makes no sense -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"temperature": 0}, "temperature is 0"),
        ({"temperature": math.nan}, "temperature is nan"),
        ({"temperature": 1e4}, "at most 100"),
        ({"weight": 1.1}, "weight is 1.1"),
        ({"weight": 0.0}, "nothing is learned"),
        ({"hint_weight": 0.0}, "hint_weight is 0.0"),
    ],
)
def test_values_that_make_no_sense(options: dict[str, float], message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        Distillation(**options)  # type: ignore[arg-type]


def test_networks_that_do_not_fit() -> None:
    split, student, teacher = images(), network(3, 0), network(8, 1)
    with pytest.raises(SpecificationError, match="share parameters"):
        Distiller(student, student, split, Distillation())
    plain = nn.Sequential(nn.Flatten(), nn.Linear(32, 3))
    with pytest.raises(SpecificationError, match="nothing to distil"):
        Distiller(plain, copy.deepcopy(plain), split, Distillation())
    with pytest.raises(SpecificationError, match=r"shape \(96, 3\), its teacher's \(96, 2\)"):
        Distiller(student, nn.Sequential(nn.Flatten(), nn.Linear(32, 2)), split, Distillation())
    with pytest.raises(SpecificationError, match="the student has no layer 'x'"):
        Distiller(student, teacher, split, Distillation(hints={"x": "2"}))
    with pytest.raises(SpecificationError, match="the teacher has no layer '9'"):
        Distiller(student, teacher, split, Distillation(hints={"2": "9"}))
    with pytest.raises(SpecificationError, match="only the width may differ"):
        Distiller(student, teacher, split, Distillation(hints={"2": "3"}))
    with torch.no_grad():
        teacher[4].bias[0] = torch.nan  # type: ignore[index]
    with pytest.raises(SpecificationError, match="not finite"):
        Distiller(student, teacher, split, Distillation(hints={"2": "2"}))
    assert not any(m._forward_hooks for m in [*teacher.modules(), *student.modules()])
