"""One network, one method, one seed: trained, pruned, and measured."""

import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from torch import nn

from neuroprune.bridge.costs import layer_costs
from neuroprune.bridge.images import Images, Split, load_images
from neuroprune.bridge.layers import find_layers
from neuroprune.bridge.masks import bake_all, mask_of, original
from neuroprune.bridge.providers import HessianGradient, SynapticFlow
from neuroprune.bridge.pruner import Pruner, prune, shown
from neuroprune.bridge.sparse_linear import auto_sparse
from neuroprune.bridge.timing import stopwatch
from neuroprune.bridge.training import Training, default_training, evaluate, train
from neuroprune.bridge.zoo import make_model
from neuroprune.core.budget import Budget
from neuroprune.core.clock import Clock
from neuroprune.core.errors import SpecificationError
from neuroprune.core.randomness import derive_seed
from neuroprune.experiments.comparison.methods import (
    ROUNDS,
    STEPS,
    TURNOVERS,
    Method,
    find_method,
    find_schedule,
    geometric,
)
from neuroprune.rules import RandomPruning

BATCHES = (1, 64)
"""Images for which latency is measured."""
_SCORED = 1024
"""Images that methods which act before training may look at, at most."""


@dataclass(frozen=True)
class Setting:
    """What is trained, on what, and for how long: the same for all methods.

    Parameters
    ----------
    data : str
        See :func:`neuroprune.bridge.images.load_images`.
    model : str
        See :func:`neuroprune.bridge.zoo.make_model`.
    epochs : int
    batch_size : int
    lr : float, optional
        Learning rate; without it the model's default.
    images : int, optional
        Of the training part, that are used; all without it.
    label_noise : float
        Share of the training images that get a wrong class.
    imbalance : float
        Share of the images that the last class keeps; others lie between, geometrically.
    device : str

    Raises
    ------
    SpecificationError
        If a value makes no sense.
    """

    data: str = "digits"
    model: str = "lenet300"
    epochs: int = 15
    batch_size: int = 64
    lr: float | None = None
    images: int | None = None
    label_noise: float = 0.0
    imbalance: float = 1.0
    device: str = "cpu"

    def __post_init__(self) -> None:
        if self.epochs < 1:
            raise SpecificationError(f"epochs is {self.epochs}: it must be 1 or more")
        if self.images is not None and self.images < 1:
            raise SpecificationError(f"images is {self.images}: it must be 1 or more")
        if not 0 <= self.label_noise <= 1:
            raise SpecificationError(f"label_noise is {self.label_noise:g}: it must be a share between 0 and 1")
        if not 0 < self.imbalance <= 1:
            raise SpecificationError(f"imbalance is {self.imbalance:g}: it must be above 0 and at most 1")
        _ = self.training  # which says what is wrong with the rest

    @property
    def training(self) -> Training:
        """How a network is trained."""
        default = default_training(self.model, self.epochs)
        given = {**asdict(default), "batch_size": self.batch_size}
        return Training(**given if self.lr is None else {**given, "lr": self.lr})

    def load(self) -> Images:
        """Return the images, the training part made as noisy and as unbalanced as it shall be."""
        images = load_images(self.data)
        part = (
            images.train if self.images is None else images.train.take(torch.arange(len(images.train))[: self.images])
        )
        generator = torch.Generator().manual_seed(0)
        if self.imbalance < 1:
            classes = torch.arange(images.n_classes)
            share = self.imbalance ** (classes / max(1, images.n_classes - 1))
            part = part.take((torch.rand(len(part), generator=generator) < share[part.y]).nonzero()[:, 0])
        if self.label_noise > 0:
            wrong = torch.rand(len(part), generator=generator) < self.label_noise
            others = (part.y + torch.randint(1, images.n_classes, part.y.shape, generator=generator)) % images.n_classes
            part = Split(part.x, torch.where(wrong, others, part.y))
        return Images(images.name, part, images.validation, images.test, images.n_classes).to(self.device)


@dataclass(frozen=True)
class Trial:
    """What became of one network.

    Parameters
    ----------
    method, schedule : str
        The schedule is empty for methods that have none.
    sparsity : float
        Share of the weights of layers that should be gone, of those at the start.
    seed : int
    validation, test : float
        Accuracy.
    noisy, occluded : float
        Accuracy on test images with normal noise of SD 1/2, or with a quarter of their area blank.
    connections, living : int
        Weights of layers at the start, and those left.
    parameters, macs : int
        Parameters that are not 0, and multiply-accumulate operations by weights that are not, for one image.
    densities : mapping of str to float
        Share of the weights that is left, by layer.
    latency : mapping of str to float
        Seconds for a batch of so many images, dense; and with sparse layers where they are faster (``1 sparse``).
    seconds, method_seconds : float
        Processor time of the training with pruning, and of the method itself within.
    """

    method: str
    schedule: str
    sparsity: float
    seed: int
    validation: float
    test: float
    noisy: float
    occluded: float
    connections: int
    living: int
    parameters: int
    macs: int
    seconds: float
    method_seconds: float
    densities: Mapping[str, float] = field(default_factory=dict)
    latency: Mapping[str, float] = field(default_factory=dict)


def run_trial(
    setting: Setting, method: str, schedule: str, sparsity: float, seed: int, *, images: Images | None = None
) -> Trial:
    """Train a network, prune it to a sparsity on the way, and measure it.

    Parameters
    ----------
    setting : Setting
    method, schedule : str
    sparsity : float
    seed : int
        Of the initial weights, the order of the images and the rules' draws: the same for all methods.
    images : Images, optional
        Those of the setting, if they are loaded already.

    Raises
    ------
    SpecificationError, BudgetError
        If the setting makes no sense, or the budget cannot be met.
    """
    images = setting.load() if images is None else images
    how = find_method(method)
    torch.manual_seed(seed)
    model = make_model(setting.model, images.shape, images.n_classes).to(setting.device)
    training = setting.training
    optimizer = training.make_optimizer(model)
    steps = training.epochs * training.steps_per_epoch(len(images.train))
    began, own = time.process_time(), 0.0
    pruner: Pruner | None = None
    if how.when in ("before", "turnover"):
        _prune_first(model, how, sparsity, images, seed)
    own += time.process_time() - began
    if how.when == "turnover":
        pruner = _pruner(model, how, Budget(0.0), steps, optimizer, seed)
    elif how.when == "during":
        pruner = _pruner(model, how, find_schedule(schedule).budget(sparsity), steps, optimizer, seed)

    def after(step: int) -> None:
        nonlocal own
        if pruner is not None:
            at = time.process_time()
            pruner.step()
            own += time.process_time() - at

    train(model, images.train, training, seed=seed, optimizer=optimizer, after_step=after)
    spent = time.process_time() - began
    alive = {name: _alive(layer) for name, layer in find_layers(model, None).items()}
    bake_all(model)
    return _measure(model, images, alive, how, schedule, sparsity, seed, spent, own)


def _pruner(
    model: nn.Module, how: Method, budget: Budget, steps: int, optimizer: torch.optim.Optimizer, seed: int
) -> Pruner:
    clock = Clock(0.0, float(TURNOVERS if how.when == "turnover" else STEPS), 1.0)
    return Pruner(model, how.rules(), steps=steps, budget=budget, clock=clock, optimizer=optimizer, seed=seed)


def _prune_first(model: nn.Module, how: Method, sparsity: float, images: Images, seed: int) -> None:
    """Prune a network before it is trained."""
    example = (images.train.x[:1],)
    part = images.train.take(torch.arange(min(_SCORED, len(images.train)), device=images.train.y.device))
    batches = list(zip(part.x.split(128), part.y.split(128), strict=True))
    rules = [RandomPruning(scope="erdos_renyi")] if how.when == "turnover" else list(how.rules())
    needed = {trace for rule in rules for trace in rule.needs()}
    providers: list[Any] = []
    if "flow" in needed:
        providers.append(SynapticFlow(example))
    if "hessian_gradient" in needed:
        providers.append(HessianGradient(batches))
    rounds = ROUNDS if "flow" in needed else 1
    budget = geometric(sparsity) if rounds > 1 else Budget(sparsity)
    model.train()
    prune(
        model,
        rules,
        shown(model, batches),
        budget=budget,
        clock=Clock(0.0, float(rounds), 1.0),
        providers=providers,
        seed=seed,
    )


def _measure(
    model: nn.Module,
    images: Images,
    alive: Mapping[str, torch.Tensor],
    how: Method,
    schedule: str,
    sparsity: float,
    seed: int,
    spent: float,
    own: float,
) -> Trial:
    densities = {name: float(mask.double().mean()) for name, mask in alive.items()}
    costs = layer_costs(model, (images.test.x[:1],))
    nonzero = sum(int((p != 0).sum()) for p in model.parameters())
    generator = torch.Generator().manual_seed(derive_seed(seed, "corruption") % 2**63)
    x = images.test.x
    noise = 0.5 * torch.randn(x.shape, generator=generator).to(x)
    return Trial(
        method=how.name,
        schedule=schedule if how.when == "during" else "",
        sparsity=sparsity,
        seed=seed,
        validation=evaluate(model, images.validation).accuracy,
        test=evaluate(model, images.test).accuracy,
        noisy=evaluate(model, Split(x + noise, images.test.y)).accuracy,
        occluded=evaluate(model, Split(_occluded(x, generator), images.test.y)).accuracy,
        connections=sum(mask.numel() for mask in alive.values()),
        living=sum(int(mask.sum()) for mask in alive.values()),
        parameters=nonzero,
        macs=round(sum(cost.macs * densities.get(name, 1.0) for name, cost in costs.items())),
        seconds=spent,
        method_seconds=own,
        densities=densities,
        latency=_latency(model, images) if x.device.type == "cpu" else {},
    )


def _alive(layer: nn.Module) -> torch.Tensor:
    mask = mask_of(layer)
    return torch.ones_like(original(layer), dtype=torch.bool) if mask is None else mask.alive.clone()


def _occluded(x: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return images in which a square of half the height and width is blank, each somewhere else."""
    n, _, height, width = x.shape
    h, w = max(1, height // 2), max(1, width // 2)
    top = torch.randint(0, height - h + 1, (n, 1, 1, 1), generator=generator).to(x.device)
    left = torch.randint(0, width - w + 1, (n, 1, 1, 1), generator=generator).to(x.device)
    rows = torch.arange(height, device=x.device)[:, None]
    columns = torch.arange(width, device=x.device)
    blank = (rows >= top) & (rows < top + h) & (columns >= left) & (columns < left + w)
    return torch.where(blank, torch.zeros_like(x), x)


def _latency(model: nn.Module, images: Images) -> dict[str, float]:
    threads = torch.get_num_threads()
    time_call, found = stopwatch(threads=threads), {}
    model.eval()
    for batch in BATCHES:
        x = images.test.x[torch.arange(batch) % len(images.test.x)]
        found[str(batch)] = time_call(lambda x=x: model(x)).seconds
        sparse, choices = auto_sparse(model, (x,), time_call=time_call)
        if any(choice.chosen for choice in choices):
            found[f"{batch} sparse"] = time_call(lambda x=x, sparse=sparse: sparse(x)).seconds
    return found
