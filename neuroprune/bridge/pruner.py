"""Pruning in the user's own training loop, and pruning at once: the same rules, the same development."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn
from torch.nn import functional

from neuroprune.bridge.providers import MeanLoss
from neuroprune.bridge.substrate import Provider, TorchSubstrate
from neuroprune.bridge.traces import TRACES
from neuroprune.core.budget import Budget
from neuroprune.core.clock import Clock, Now
from neuroprune.core.errors import SpecificationError
from neuroprune.development import Development, Progress, develop
from neuroprune.environment.base import Environment
from neuroprune.record import Record
from neuroprune.rules.base import Rule

ONCE = Clock(0.0, 1.0, 1.0)
"""A development of a single step."""
TRAINING = Clock(0.0, 50.0, 1.0)
"""A development in 50 steps, over which a training is spread."""


def collected(rules: Sequence[Rule], environment: Sequence[Environment] = ()) -> tuple[str, ...]:
    """Return the traces of layers that rules and environments need, of those that hooks collect."""
    needed = {trace for rule in rules for trace in rule.needs()}
    needed |= {trace for part in environment for trace in part.requires}
    return tuple(trace for trace in TRACES if trace in needed)


@dataclass(frozen=True)
class LayerReport:
    """What is left of a layer.

    Parameters
    ----------
    name : str
    connections, living : int
        Weights at the start, and those that live.
    silent : int
        Units that no living weight comes into.
    """

    name: str
    connections: int
    living: int
    silent: int

    @property
    def density(self) -> float:
        """Share of the layer's weights that live."""
        return self.living / self.connections if self.connections else 0.0


class Pruner:
    """Prune a network while you train it.

    Parameters
    ----------
    model : nn.Module
        Its layers get masks; nothing else about it changes.
    rules : sequence of Rule
        Of :mod:`neuroprune.rules`, applied in order at every step of the clock.
    steps : int
        Training steps that :meth:`step` will be called after.
    budget : Budget, optional
        How many weights must be left; without it the rules run freely, by their rates.
    clock : Clock
        The ages that the training is mapped onto. Its steps are spread evenly over the training, and in each the
        rules act once. Without it there are 50, a day each.
    environment : sequence of Environment
        Such as microglia, which rules may need.
    optimizer : torch.optim.Optimizer, optional
        Moments of weights that die or form are set to 0.
    layers : sequence of str, optional
        Layers to prune; all without it.
    providers : sequence of Provider
        Of traces that no hook collects.
    sample_every : int
        Traces are collected in one of so many training steps, and at least in the last one before rules act.
    seed : int
        Of the rules' draws.
    config : mapping, optional
        Kept in the record.

    Raises
    ------
    SpecificationError
        If a rule needs a trace that nothing provides, a layer cannot be pruned, or there are fewer training steps than
        steps of the clock.

    Notes
    -----
    Call :meth:`step` after ``optimizer.step()``. The loss must be a mean over the samples of a batch, which are along
    the first axis. A compiled model runs no hooks: rules that need traces want the model as it is.

    Examples
    --------
    >>> import torch
    >>> from neuroprune.bridge import Budget, Pruner
    >>> from neuroprune.rules import Trophic
    >>> model = torch.nn.Sequential(torch.nn.Linear(8, 16), torch.nn.ReLU(), torch.nn.Linear(16, 2))
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    >>> pruner = Pruner(model, [Trophic()], steps=100, budget=Budget(sparsity=0.75), optimizer=optimizer)
    >>> for _ in range(100):
    ...     loss = torch.nn.functional.cross_entropy(model(torch.randn(32, 8)), torch.randint(2, (32,)))
    ...     optimizer.zero_grad()
    ...     loss.backward()
    ...     optimizer.step()
    ...     _ = pruner.step()
    >>> sum(layer.living for layer in pruner.report()), type(pruner.finalize()[0]).__name__
    (40, 'Linear')
    """

    def __init__(
        self,
        model: nn.Module,
        rules: Sequence[Rule],
        *,
        steps: int,
        budget: Budget | None = None,
        clock: Clock = TRAINING,
        environment: Sequence[Environment] = (),
        optimizer: torch.optim.Optimizer | None = None,
        layers: Sequence[str] | None = None,
        providers: Sequence[Provider] = (),
        sample_every: int = 10,
        seed: int = 0,
        config: Mapping[str, Any] | None = None,
    ) -> None:
        if steps < clock.n_steps:
            raise SpecificationError(
                f"a training of {steps} steps cannot be mapped onto {clock.n_steps} steps of development: train for "
                "longer, or give a clock of fewer steps"
            )
        if sample_every < 1:
            raise SpecificationError(f"sample_every is {sample_every}: it must be 1 or more")
        self.steps, self.sample_every = steps, sample_every
        traces = collected(rules, environment)
        self._substrate = TorchSubstrate(
            model,
            traces=traces,
            providers=providers,
            layers=layers,
            optimizer=optimizer,
            formation=any(rule.forms for rule in rules),
            name=type(model).__name__,
        )
        self._development = Development(
            self._substrate, rules, clock=clock, seed=seed, environment=environment, budget=budget, config=config
        )
        self.history: list[Progress] = []
        """What each step of development left."""
        self._done = 0
        self._samples = bool(traces)
        self._watching: AbstractContextManager[None] | None = None
        self._record: Record | None = None
        self._watch()

    def _last_before(self, step: int) -> int:
        """Return the number of training steps after which a step of development is made."""
        return (step + 1) * self.steps // self._development.clock.n_steps

    def _watch(self) -> None:
        """Collect traces in the next training step if it is one of those that are sampled."""
        if self._samples and not self._development.done:
            ahead = self._last_before(self._development.next_step) - 1 - self._done
            if ahead % self.sample_every == 0:
                self._watching = self._substrate.watch()
                self._watching.__enter__()

    def _unwatch(self) -> None:
        if self._watching is not None:
            self._watching.__exit__(None, None, None)
            self._watching = None

    def step(self) -> bool:
        """Count a training step, and let the rules act if it is time.

        Returns
        -------
        bool
            Whether they acted.

        Raises
        ------
        SpecificationError
            If more steps are taken than were announced, or no trace could be collected.
        BudgetError
            If the budget cannot be met.
        """
        if self._done == self.steps:
            raise SpecificationError(f"the pruner was made for {self.steps} training steps, and this is one more")
        self._unwatch()
        self._done += 1
        acted = self._done == self._last_before(self._development.next_step)
        if acted:
            self.history.append(self._development.step())
        self._watch()
        return acted

    def report(self) -> list[LayerReport]:
        """Return what is left of each layer now."""
        found = []
        for table in self._substrate.tables():
            living = table.alive & (table.weight > 0)
            silent = int((~living.any(1)).sum())
            found.append(LayerReport(table.name, table.alive.numel(), table.n_alive(), silent))
        return found

    @property
    def record(self) -> Record:
        """Every connection's birth, death and cause, as of a developing brain; there once all steps are made.

        Raises
        ------
        SpecificationError
            If steps are missing.
        """
        if self._record is None:
            self._record = self._development.finish()
        return self._record

    def finalize(self) -> nn.Module:
        """Take the masks off, with zeros where weights are dead, and return the model, whose keys are plain again.

        Raises
        ------
        SpecificationError
            If steps are missing, so that the budget is not met yet.
        """
        _ = self.record  # before anything is taken off: it may be refused
        self._unwatch()
        return self._substrate.finalize()


def prune(
    model: nn.Module,
    rules: Sequence[Rule],
    activity: Callable[[Now], Mapping[str, float] | None] | None = None,
    *,
    budget: Budget | None = None,
    clock: Clock = ONCE,
    environment: Sequence[Environment] = (),
    layers: Sequence[str] | None = None,
    providers: Sequence[Provider] = (),
    seed: int = 0,
) -> tuple[TorchSubstrate, Record]:
    """Prune a network that is not trained meanwhile: before training, after it, or in rounds.

    Parameters
    ----------
    model : nn.Module
        Its layers get masks.
    rules : sequence of Rule
    activity : function of the moment, optional
        Runs the model before each step, such as :func:`shown`; it is not called if no rule needs to know.
    budget, clock, environment, layers, providers, seed
        As of :class:`Pruner`; without a clock there is a single step.

    Returns
    -------
    TorchSubstrate
        Whose masks are kept until it is finalized.
    Record

    Raises
    ------
    SpecificationError, BudgetError
        As :class:`Pruner`.
    """
    traces = collected(rules, environment)
    if traces and activity is None:
        raise SpecificationError(f"rules need {', '.join(traces)}: give an activity that runs the model")
    substrate = TorchSubstrate(
        model,
        activity if traces else None,
        traces=traces,
        providers=providers,
        layers=layers,
        formation=any(rule.forms for rule in rules),
        name=type(model).__name__,
    )
    record = develop(substrate, rules, clock=clock, seed=seed, environment=environment, budget=budget)
    return substrate, record


def shown(
    model: nn.Module, batches: Iterable[tuple[Any, Any]], loss: MeanLoss | None = functional.cross_entropy
) -> Callable[[Now], None]:
    """Return an activity that shows a network data, and takes the gradient of its loss; no parameter changes.

    Parameters
    ----------
    model : nn.Module
        It is run in the mode that it is in.
    batches : iterable of (inputs, targets)
    loss : function of outputs and targets, optional
        Mean over samples; None runs forwards only.
    """
    batches = list(batches)

    def activity(now: Now) -> None:
        parameters = [p for p in model.parameters() if p.requires_grad]
        with torch.set_grad_enabled(loss is not None):
            for inputs, targets in batches:
                out = model(*inputs) if isinstance(inputs, tuple) else model(inputs)
                if loss is not None:
                    torch.autograd.grad(loss(out, targets), parameters, allow_unused=True)

    return activity
