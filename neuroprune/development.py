"""The development loop, the only one: sample, surround, decide, apply, record."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from neuroprune.core.budget import Budget
from neuroprune.core.clock import Clock, Now, format_age
from neuroprune.core.errors import BudgetError, RecordError, SpecificationError
from neuroprune.core.randomness import Array, Draws
from neuroprune.core.tables import Tables
from neuroprune.environment.base import Environment, State
from neuroprune.record import Record, Recorder, read_checkpoint, to_tree, write_record
from neuroprune.rules import fingerprint
from neuroprune.rules.base import Rule
from neuroprune.rules.select import decide


@dataclass(frozen=True)
class Activity:
    """What a substrate did while it was sampled.

    Parameters
    ----------
    traces : sequence of mapping of str to array
        One mapping for each table.
    measures : mapping of str to float
        Scalars such as firing rates.
    spikes : tuple of (array of int, array of float), optional
        Unit and time in seconds of sampled spikes.
    """

    traces: Sequence[Mapping[str, Array]]
    measures: Mapping[str, float]
    spikes: tuple[np.ndarray, np.ndarray] | None = None


class Substrate(Protocol):
    """A network that can be sampled and pruned: simulated by Brian2, a torch module, or your own."""

    @property
    def name(self) -> str:
        """Name of the system, for the record."""
        ...

    @property
    def provides(self) -> frozenset[str]:
        """Traces that the tables carry once activity was sampled."""
        ...

    def tables(self) -> Tables:
        """Return the afferent tables as they are now."""
        ...

    def sample(self, now: Now) -> Activity:
        """Let the network be active at this moment and return what the rules need to know."""
        ...

    def apply(self, tables: Tables) -> None:
        """Carry out what was decided: `tables` is what the network must look like from now on."""
        ...

    def measures(self, tables: Tables) -> Mapping[str, float]:
        """Return scalars that describe the structure in `tables`."""
        ...

    def state(self) -> dict[str, np.ndarray]:
        """Return all that :meth:`restore` needs to go on from here."""
        ...

    def restore(self, state: Mapping[str, np.ndarray]) -> None:
        """Go on from a state that :meth:`state` returned."""
        ...

    def provenance(self) -> dict[str, Any]:
        """Return the engine, its version and whatever else a result may depend on."""
        ...


@dataclass(frozen=True)
class Progress:
    """Where a run stands, for progress bars."""

    step: int
    n_steps: int
    age: float
    alive: int
    measures: Mapping[str, float]


Rules = Sequence[Rule] | Callable[[float], Sequence[Rule]]
Environments = Sequence[Environment] | Callable[[float], Sequence[Environment]]


class Development:
    """A network that develops under a list of rules, step by step.

    Parameters
    ----------
    substrate : Substrate
        The network, in its initial state; it is changed.
    rules : sequence of Rule, or function of the age in days
        Applied in order in every step, each to the tables that the previous one left.
    clock : Clock
        Ages and steps.
    seed : int
        Seed of all decisions.
    environment : sequence of Environment, or function of the age in days
        Advanced in order in every step, before the rules.
    budget : Budget, optional
        How many connections must be left. Without it the rules run freely.
    ages : sequence of float
        Ages in days, on steps of the clock, at which weights and traces are recorded; start and end always are.
    traces : sequence of str
        Traces to record at those ages and at the death of an input.
    path : Path, optional
        File to write the record to, whole and atomically, at every checkpoint and at the end.
    config : mapping, optional
        Resolved configuration, kept in the record.
    resume : bool
        Go on from the checkpoint at `path`.
    checkpoint_every : float
        Least wall time between checkpoints in seconds; 0 writes one after every step.

    Raises
    ------
    SpecificationError
        If a rule or environment needs a trace that nothing provides, or two of them share a name.
    BudgetError
        If a budget is given and no rule prunes.
    RecordError
        If a checkpoint does not belong to this run, or the record cannot be written.
    """

    def __init__(
        self,
        substrate: Substrate,
        rules: Rules,
        *,
        clock: Clock,
        seed: int,
        environment: Environments = (),
        budget: Budget | None = None,
        ages: Sequence[float] = (),
        traces: Sequence[str] = (),
        path: Path | None = None,
        config: Mapping[str, Any] | None = None,
        resume: bool = False,
        checkpoint_every: float = 5.0,
    ) -> None:
        self.substrate, self.clock, self.seed, self.budget = substrate, clock, seed, budget
        self._rules_at = rules if callable(rules) else lambda age, fixed=tuple(rules): fixed
        self._environment_at = environment if callable(environment) else lambda age, fixed=tuple(environment): fixed
        self._pruning_ends = _check(substrate, self._rules_at, self._environment_at, clock, traces, budget)
        self._snapshots = {0, clock.n_steps, *_steps(clock, ages)}
        self._path, self._checkpoint_every = path, checkpoint_every
        identity = {"seed": seed, "config": dict(config or {}), "provenance": substrate.provenance()}
        own = {r.name: mark for r in self._rules_at(clock.start) if (mark := fingerprint(r)) is not None}
        if own:
            identity["rule_files"] = own
        self._surroundings: dict[str, State]
        if resume:
            if path is None:
                raise RecordError("nothing to resume: no path was given")
            self.next_step, self._recorder, state, self._surroundings = read_checkpoint(path, identity)
            substrate.restore(state)
        else:
            self.next_step = 0
            tables = substrate.tables()
            self._recorder = Recorder(substrate.name, tables, clock, traces, identity)
            begin = ((e, Draws(seed, e.name, 0)) for e in self._environment_at(clock.start))
            self._surroundings = {e.name: e.begin(tables, draws) for e, draws in begin}
            self._save()
        self._saved = time.monotonic()

    @property
    def done(self) -> bool:
        """Whether every step was made."""
        return self.next_step == self.clock.n_steps

    def step(self) -> Progress:
        """Make the next step: sample, surround, decide, apply, record.

        Raises
        ------
        BudgetError
            If the budget cannot be met.
        SpecificationError
            If the development is done.
        """
        if self.done:
            raise SpecificationError(f"all {self.clock.n_steps} steps of the development were made")
        now = next(self.clock.moments(self.next_step))
        acting = _acting(self._rules_at, now.age)
        tables, measures = self._observe(now, acting)
        at_start, decisions = self._recorder.at_start, []
        progress = 1.0 if now.step >= self._pruning_ends else now.progress
        for position, rule in enumerate(acting):
            share = _share(self.budget, at_start, progress, tables, acting[position:]) if rule.prunes else None
            decision = decide(rule, tables, now, Draws(self.seed, rule.name, now.step), share)
            decisions.append((tables, decision))
            tables = tables.after(decision)
        if self.budget is not None and now.step == self.clock.n_steps - 1:
            _check_budget(self.budget, at_start, tables.n_alive())
        self.substrate.apply(tables)
        self._recorder.step(now, decisions, tables, measures)
        self.next_step += 1
        return Progress(self.next_step, self.clock.n_steps, now.age + now.dt, tables.n_alive(), measures)

    def checkpoint(self) -> None:
        """Write the record so far, if there is a path and the last time was long enough ago."""
        if self._path is not None and time.monotonic() - self._saved >= self._checkpoint_every:
            self._save()
            self._saved = time.monotonic()

    def finish(self) -> Record:
        """Look at the network a last time, and return the record of all steps, which is written where it belongs."""
        if not self.done:
            raise SpecificationError(f"{self.next_step} of {self.clock.n_steps} steps of the development were made")
        clock = self.clock
        last = Now(clock.n_steps, clock.age(clock.n_steps), clock.step, 1.0)
        self._observe(last, _acting(self._rules_at, last.age))
        if self._path is not None:
            write_record(self._path, self._recorder)
        return Record(to_tree(self._recorder))

    def _observe(self, now: Now, acting: Sequence[Rule]) -> tuple[Tables, dict[str, float]]:
        """Sample, advance what surrounds, and keep a snapshot if one is due."""
        activity = self.substrate.sample(now)
        tables = self.substrate.tables().with_traces(activity.traces)
        measures = {**self.substrate.measures(tables), **activity.measures}
        for env in self._environment_at(now.age):
            draws = Draws(self.seed, env.name, now.step)
            self._surroundings[env.name], given = env.advance(self._surroundings[env.name], tables, now, draws)
            tables = tables.with_traces(given)
        if now.step in self._snapshots:
            seen = _with_produced(tables, acting, now, self.seed)
            self._recorder.snapshot(now.age, seen, measures, activity.spikes, self._surroundings)
        return tables, measures

    def _save(self) -> None:
        if self._path is not None:
            checkpoint = (self.next_step, self.substrate.state(), self._surroundings)
            write_record(self._path, self._recorder, checkpoint=checkpoint)


def develop(
    substrate: Substrate,
    rules: Rules,
    *,
    progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Record:
    """Let a network develop under a list of rules and return the record of it.

    Parameters
    ----------
    substrate, rules, **options
        As of :class:`Development`; `clock` and `seed` are needed.
    progress : function, optional
        Called after every step.

    Returns
    -------
    Record

    Raises
    ------
    SpecificationError, BudgetError, RecordError
        As :class:`Development`.
    """
    development = Development(substrate, rules, **options)
    while not development.done:
        made = development.step()
        if progress is not None:
            progress(made)
        development.checkpoint()
    return development.finish()


def _steps(clock: Clock, ages: Sequence[float]) -> set[int]:
    on_step = {clock.age(k): k for k in range(clock.n_steps + 1)}
    for age in ages:
        if round(age, 9) not in on_step:
            raise SpecificationError(
                f"record age {format_age(age)} is not a step between {format_age(clock.start)} and "
                f"{format_age(clock.stop)}"
            )
    return {on_step[round(age, 9)] for age in ages}


def _acting(rules_at: Callable[[float], Sequence[Rule]], age: float) -> list[Rule]:
    return [rule for rule in rules_at(age) if rule.openness(age) > 0]


def _with_produced(tables: Tables, rules: Sequence[Rule], now: Now, seed: int) -> Tables:
    """Return the tables with what rules such as tagging say of them, before anything changes."""
    for rule in rules:
        if rule.produces:
            proposals = rule.propose(tables, now, Draws(seed, rule.name, now.step))
            tables = tables.with_traces([{k: p.traces[k] for k in rule.produces if k in p.traces} for p in proposals])
    return tables


def _share(budget: Budget | None, at_start: int, progress: float, tables: Tables, rest: Sequence[Rule]) -> int | None:
    """Return how many inputs a rule must eliminate: an even share of what this step still owes."""
    if budget is None:
        return None
    owed = max(0, tables.n_alive() - budget.living(at_start, progress))
    pruners = sum(rule.prunes for rule in rest)
    return -(-owed // pruners)


def _check_budget(budget: Budget, at_start: int, alive: int) -> None:
    wanted = budget.living(at_start, 1.0)
    if alive > wanted:
        raise BudgetError(
            f"{alive} connections are left where the budget allows {wanted}: the pruning rules found no more to take "
            "(a hazard of 0 protects), or connections formed after they had acted"
        )


def _check(
    substrate: Substrate,
    rules_at: Callable[[float], Sequence[Rule]],
    environment_at: Callable[[float], Sequence[Environment]],
    clock: Clock,
    traces: Sequence[str],
    budget: Budget | None,
) -> int:
    """Check every step before the first one runs, and return the last step in which a rule prunes."""
    pruning_ends, ever = -1, {"weight"}
    unpruned: str | None = None
    for now in clock.moments():
        acting = _acting(rules_at, now.age)
        ever |= _check_step(substrate, acting, environment_at(now.age), now.age)
        pruners = [position for position, rule in enumerate(acting) if rule.prunes]
        if pruners:
            pruning_ends = now.step
            unpruned = None
        forming = [rule.name for rule in acting[pruners[-1] if pruners else 0 :] if rule.forms]
        unpruned = forming[0] if forming else unpruned
    if budget is not None and unpruned is not None:
        raise SpecificationError(
            f"rule {unpruned!r} forms connections after the last rule that prunes has acted, so no budget can be kept: "
            "put it before that rule, or let it end earlier"
        )
    if budget is not None and budget.sparsity != 0 and pruning_ends < 0:
        raise BudgetError("a budget is given, but no rule prunes at any age")
    for trace in traces:
        if trace not in ever:
            raise SpecificationError(
                f"trace {trace!r} cannot be recorded: it must be one of {', '.join(sorted(ever - {'candidates'}))}"
            )
    return pruning_ends


def _check_step(
    substrate: Substrate, rules: Sequence[Rule], environment: Sequence[Environment], age: float
) -> set[str]:
    have = set(substrate.provides)
    names: set[str] = set()
    for part in (*environment, *rules):
        if part.name in names:
            raise SpecificationError(f"two rules or environments are named {part.name!r}: names must be unique")
        names.add(part.name)
        needs = part.needs() if isinstance(part, Rule) else part.requires
        missing = [trace for trace in needs if trace not in have]
        if isinstance(part, Rule) and part.forms and "candidates" not in have:
            missing.append("candidates")
        if missing:
            raise SpecificationError(
                f"{part.name!r} ({part.key}) cannot run on {substrate.name!r} at {format_age(age)}: it needs "
                f"{', '.join(missing)}, which neither the substrate nor anything before it provides"
            )
        have.update(part.produces)
    return have
