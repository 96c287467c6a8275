"""Knowledge distillation: a student learns from what its teacher answers, without learning faster or slower."""

import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.images import Split
from neuroprune.bridge.training import Training, evaluating, train
from neuroprune.core.errors import SpecificationError


@dataclass(frozen=True)
class Distillation:
    """What a student learns from its teacher.

    Parameters
    ----------
    temperature : float
        T, which softens both outputs: logits are divided by it.
    weight : float
        Share a of the soft term; the rest is cross-entropy with the true classes.
    hints : mapping of str to str
        Layers of the student, each with the layer of the teacher whose output it is to predict.
    hint_weight : float
        Of each hint.

    Raises
    ------
    SpecificationError
        If a value makes no sense.

    Notes
    -----
    The loss of a batch is

        (1 - a) CE(z, y) + a c T**2 KL(softmax(t / T) || softmax(z / T)) + b sum_h c_h H_h

    for logits z of the student and t of the teacher. A soft term of temperature T has the gradient
    ``T (softmax(z/T) - softmax(t/T))`` in z: bounded by T sqrt(2), and by ``|z - t|/n`` (centred) for high T, so that
    it pulls up to T times as hard as the cross-entropy, whose gradient is a difference of two distributions too. With
    a learning rate tuned for cross-entropy that is a learning rate too high. So c is the ratio of both gradients, as
    root mean squares over the training images, at the student before its first step (in training mode: statistics of a
    batch may be far from those that normalisation layers keep):

        c = rms |softmax(z) - y| / rms |T (softmax(z/T) - softmax(t/T))|

    and is constant then. At the start the terms pull equally hard per unit of weight, whatever T is; the learning rate
    that suits cross-entropy suits the sum.

    A hint is the mean squared error of a prediction of the teacher's features, divided by their variance. Where widths
    differ it is predicted by a linear map (1 x 1 for feature maps; Romero et al. 2015, arXiv:1412.6550), which starts
    at least squares and is trained along. Its c_h makes its gradient in the student's features as large as that of
    cross-entropy there.

    References
    ----------
    Hinton, Vinyals & Dean 2015, arXiv:1503.02531
    """

    temperature: float = 2.0
    weight: float = 0.5
    hints: Mapping[str, str] = field(default_factory=dict)
    hint_weight: float = 0.1

    def __post_init__(self) -> None:
        valid = {
            "temperature": (0 < self.temperature <= 100, "above 0 and at most 100"),
            "weight": (0 <= self.weight <= 1, "from 0 to 1"),
            "hint_weight": (0 < self.hint_weight < math.inf, "above 0"),
        }
        for name, (ok, must) in valid.items():
            if not ok:
                raise SpecificationError(f"distillation: {name} is {getattr(self, name)!r}, and must be {must}")
        if self.weight == 0 and not self.hints:
            raise SpecificationError(
                "distillation: with a weight of 0 and no hints nothing is learned from the teacher"
            )


def soft_loss(student: torch.Tensor, teacher: torch.Tensor, temperature: float) -> torch.Tensor:
    """Return ``T**2 KL(softmax(t / T) || softmax(z / T))``, the mean over a batch.

    Parameters
    ----------
    student, teacher : tensor, shape (n, classes)
        Logits z and t.
    temperature : float
        T.

    Examples
    --------
    >>> import torch
    >>> z = torch.tensor([[2.0, 0.0]])
    >>> float(soft_loss(z, z, 4.0))
    0.0
    """
    p = functional.log_softmax(teacher.float() / temperature, 1)
    q = functional.log_softmax(student.float() / temperature, 1)
    return temperature**2 * functional.kl_div(q, p, reduction="batchmean", log_target=True)


class Distiller:
    """The loss of a student with a teacher, for :func:`neuroprune.bridge.training.train`.

    It is a context: within it, hooks read the features that hints need.

    Parameters
    ----------
    student, teacher : nn.Module
        The teacher runs in evaluation mode, without gradients, and is left as it is.
    split : Split
        Training images; the scales of the terms are measured on the first `batch` of them.
    distillation : Distillation
    batch : int

    Attributes
    ----------
    soft_scale : float
        The c of :class:`Distillation`.
    hint_scales : dict of str to float
        The c_h of each layer of the student.
    regressors : nn.ModuleDict
        Of the hints between layers of different widths; they are to be trained too.

    Raises
    ------
    SpecificationError
        If both are one network, their outputs differ in shape, a hint's layer does not exist or does not fit, logits
        are not finite, or the student answers just as its teacher does.

    Examples
    --------
    >>> with Distiller(student, teacher, images.train, Distillation(temperature=4)) as distiller:  # doctest: +SKIP
    ...     train(student, images.train, training, seed=0, loss=distiller)
    """

    def __init__(
        self, student: nn.Module, teacher: nn.Module, split: Split, distillation: Distillation, *, batch: int = 1024
    ) -> None:
        if any(a is b for a in student.parameters() for b in teacher.parameters()):
            raise SpecificationError("student and teacher share parameters: copy the teacher first")
        self.student, self.teacher, self.distillation = student, teacher, distillation
        self._features: dict[str, torch.Tensor] = {}
        self._targets: dict[str, torch.Tensor] = {}
        self._stack = ExitStack()
        self.regressors = nn.ModuleDict()
        self._variances: dict[str, torch.Tensor] = {}
        self._check_layers()
        device = next(student.parameters()).device
        x, y = split.x[:batch].to(device), split.y[:batch].to(device)
        with self, _rehearsing(student):
            out = student(x)
            target = self._ask(x)
            if out.shape != target.shape:
                raise SpecificationError(
                    f"the student's outputs have shape {tuple(out.shape)}, its teacher's {tuple(target.shape)}"
                )
            if not (torch.isfinite(out).all() and torch.isfinite(target).all()):
                raise SpecificationError("student or teacher answers with values that are not finite")
            self.soft_scale = self._measure_soft(out.detach(), target, y)
            self.hint_scales = self._measure_hints(out, y)

    def __enter__(self) -> Self:
        pairs = self.distillation.hints
        for part, names, store in (
            (self.student, pairs, self._features),
            (self.teacher, pairs.values(), self._targets),
        ):
            for name in names:
                handle = part.get_submodule(name).register_forward_hook(_storing(store, name))
                self._stack.callback(handle.remove)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()
        self._features.clear()
        self._targets.clear()

    def __call__(self, x: torch.Tensor, out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        """Return the loss of a batch of images, the student's logits and the true classes."""
        d = self.distillation
        target = self._ask(x)
        loss = (1 - d.weight) * functional.cross_entropy(out, y)
        if d.weight:
            loss = loss + d.weight * self.soft_scale * soft_loss(out, target, d.temperature)
        for name, scale in self.hint_scales.items():
            loss = loss + d.hint_weight * scale * self._hint(name)
        return loss

    def _ask(self, x: torch.Tensor) -> torch.Tensor:
        with evaluating(self.teacher), torch.no_grad():
            return self.teacher(x)

    def _check_layers(self) -> None:
        for who, model, names in (
            ("student", self.student, list(self.distillation.hints)),
            ("teacher", self.teacher, list(self.distillation.hints.values())),
        ):
            modules = dict(model.named_modules())
            for name in names:
                if not name or name not in modules:
                    have = ", ".join(n for n in modules if n)
                    raise SpecificationError(f"hints: the {who} has no layer {name!r}; it has {have}")

    def _measure_soft(self, out: torch.Tensor, target: torch.Tensor, y: torch.Tensor) -> float:
        if not self.distillation.weight:
            return 0.0
        T = self.distillation.temperature
        hard = out.softmax(1) - functional.one_hot(y, out.shape[1])
        # In float64, which not every device has: for high T two nearly equal distributions are subtracted.
        z, t = out.cpu().double(), target.cpu().double()
        soft = T * ((z / T).softmax(1) - (t / T).softmax(1))
        pulls = float(soft.square().sum(1).mean().sqrt())
        if pulls < 1e-6:
            raise SpecificationError("the student answers just as its teacher does: there is nothing to distil")
        return float(hard.square().sum(1).mean().sqrt()) / pulls

    def _measure_hints(self, out: torch.Tensor, y: torch.Tensor) -> dict[str, float]:
        scales = {}
        for name, of_teacher in self.distillation.hints.items():
            feature, target = self._features[name], self._targets[of_teacher]
            _check_features(name, feature, of_teacher, target)
            flat, wanted = _last(feature.detach()), _last(target)
            self._variances[name] = (wanted - wanted.mean(0)).square().sum(1).mean()
            if not self._variances[name] > 0:
                raise SpecificationError(f"hints: the teacher's layer {of_teacher!r} gives the same for all images")
            if flat.shape[1] != wanted.shape[1]:
                self.regressors[_key(name)] = _least_squares(flat, wanted)
        for name in self.distillation.hints:
            (hard,) = torch.autograd.grad(functional.cross_entropy(out, y), self._features[name], retain_graph=True)
            (pull,) = torch.autograd.grad(self._hint(name), self._features[name], retain_graph=True)
            if not (pull.norm() > 0 and hard.norm() > 0):
                raise SpecificationError(f"hints: layer {name!r} has nothing to learn from its teacher's")
            scales[name] = float(hard.norm() / pull.norm())
        return scales

    def _hint(self, name: str) -> torch.Tensor:
        feature, target = _last(self._features[name]), _last(self._targets[self.distillation.hints[name]])
        if _key(name) in self.regressors:
            feature = self.regressors[_key(name)](feature)
        return (feature - target).square().sum(1).mean() / self._variances[name]


def distil(
    student: nn.Module,
    teacher: nn.Module,
    split: Split,
    training: Training,
    distillation: Distillation,
    *,
    seed: int,
    after_epoch: Callable[[int], object] | None = None,
) -> list[float]:
    """Train a student with a teacher, in place, and return the mean loss of each epoch.

    Parameters are those of :func:`neuroprune.bridge.training.train` and :class:`Distiller`, errors too.
    """
    with Distiller(student, teacher, split, distillation) as distiller:
        optimizer = training.make_optimizer(nn.ModuleList([student, distiller.regressors]))
        return train(student, split, training, seed=seed, loss=distiller, optimizer=optimizer, after_epoch=after_epoch)


@contextmanager
def _rehearsing(student: nn.Module) -> Iterator[None]:
    """Let a student run as it does in training, and leave no trace: neither in its buffers nor in random numbers."""
    modes = {module: module.training for module in student.modules()}
    kept = [(buffer, buffer.clone()) for buffer in student.buffers()]
    device = next(student.parameters()).device
    student.train()
    try:
        with torch.random.fork_rng([device] if device.type == "cuda" else []):
            yield
    finally:
        for module, mode in modes.items():
            module.training = mode
        with torch.no_grad():
            for buffer, value in kept:
                buffer.copy_(value)


def _storing(store: dict[str, torch.Tensor], name: str) -> Callable[..., None]:
    def hook(module: nn.Module, inputs: Any, output: torch.Tensor) -> None:
        store[name] = output

    return hook


def _key(name: str) -> str:
    """Return a layer's name without dots, which names of modules must not have."""
    return name.replace(".", "/")


def _last(feature: torch.Tensor) -> torch.Tensor:
    """Return features with channels last, one row for each image and place: (n, c, ...) maps or (..., d) tokens."""
    return feature.movedim(1, -1).flatten(0, -2) if feature.ndim == 4 else feature.flatten(0, -2)


def _check_features(name: str, feature: Any, of_teacher: str, target: Any) -> None:
    for who, value in ((name, feature), (of_teacher, target)):
        if not isinstance(value, torch.Tensor) or value.ndim not in (2, 3, 4):
            raise SpecificationError(f"hints: layer {who!r} gives no features of shape (n, d), (n, tokens, d) or maps")
    if len(_last(feature)) != len(_last(target)) or feature.ndim != target.ndim:
        raise SpecificationError(
            f"hints: features of {name!r} have shape {tuple(feature.shape)}, those of the teacher's {of_teacher!r} "
            f"{tuple(target.shape)}: only the width may differ"
        )


def _least_squares(x: torch.Tensor, y: torch.Tensor) -> nn.Linear:
    """Return the linear map, with a bias, that predicts y from x best; a small ridge makes it one."""
    a, b = x.cpu().double(), y.cpu().double()
    mean_a, mean_b = a.mean(0), b.mean(0)
    a, b = a - mean_a, b - mean_b
    gram = a.T @ a
    ridge = 1e-6 * gram.trace() / len(gram) + torch.finfo(torch.float64).tiny
    weight = torch.linalg.solve(gram + ridge * torch.eye(len(gram), dtype=gram.dtype), a.T @ b).T
    found = nn.Linear(x.shape[1], y.shape[1], device=x.device, dtype=x.dtype)
    with torch.no_grad():
        found.weight.copy_(weight)
        found.bias.copy_(mean_b - weight @ mean_a)
    return found
