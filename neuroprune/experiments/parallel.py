"""Many runs side by side: other conditions, overrides, models and seeds, in a few processes."""

import pickle
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from operator import attrgetter
from pathlib import Path
from typing import Any, TypeVar, cast

from neuroprune.core.errors import NeuropruneError, SpecificationError
from neuroprune.core.workers import Tell, named, work_in_processes
from neuroprune.development import Progress
from neuroprune.experiments.experiment import Experiment, load_experiment
from neuroprune.experiments.running import Run, Stale, record_path, run_experiment, silent
from neuroprune.record import identity_difference, open_record
from neuroprune.spiking.engine import EngineName

T = TypeVar("T")


@dataclass(frozen=True)
class Job:
    """One run to be made.

    Parameters
    ----------
    name_or_path, conditions, overrides, start, stop, origin
        See :func:`neuroprune.experiments.load_experiment`.
    seed : int
    out : Path
        Folder for the record.
    activity_seed : int, optional
        See :func:`neuroprune.experiments.run`.
    name : str, optional
        What messages call the run, empty for nothing. Default: its experiment, conditions and seed.
    """

    name_or_path: str | Path
    seed: int
    out: Path
    conditions: tuple[str, ...] = ()
    overrides: Mapping[str, Any] | None = field(default=None, hash=False)
    start: str | float | None = None
    stop: str | float | None = None
    activity_seed: int | None = None
    origin: str = "overrides"
    name: str | None = None

    def load(self) -> Experiment:
        """Load and validate the experiment."""
        return load_experiment(self.name_or_path, **self.loading)

    @property
    def loading(self) -> dict[str, Any]:
        """The options of :func:`load_experiment`."""
        return {key: getattr(self, key) for key in ("conditions", "overrides", "start", "stop", "origin")}


def itself(run: Run) -> Run:
    """Return a run as it is."""
    return run


def run_jobs(
    jobs: Sequence[Job],
    *,
    then: Callable[[Run], T] = itself,
    processes: int = 1,
    resume: bool = False,
    stale: Stale = "refuse",
    engine: EngineName = "auto",
    progress: Callable[[Job, Progress], None] | None = None,
    say: Callable[[str], None] = silent,
) -> list[T]:
    """Make runs and return what `then` makes of them, in the order of the jobs.

    Parameters
    ----------
    jobs : sequence of Job
        Each with a record of its own.
    then : function, optional
        Called with every finished run, in the process that made it: only what it returns comes back. With
        several processes it must be picklable, so a function of a module, or a partial of one. Default: the runs.
    processes : int
        How many runs are made at a time; with 1, in this process. It changes no result.
    resume, stale, engine
        See :func:`neuroprune.experiments.run`.
    progress : function, optional
        Called with a job and its progress.
    say : function, optional
        Called with the name of a job and what takes time.

    Returns
    -------
    list

    Raises
    ------
    NeuropruneError
        Before any run if a job makes no sense or two would write the same record. Later, of the first run that
        fails, naming it; the others are stopped and can be resumed.

    Examples
    --------
    >>> jobs = [Job("cerebellum", seed, Path("runs"), conditions=("no_microglia",)) for seed in (1, 2, 3)]
    >>> alive = run_jobs(jobs, then=count_living, processes=2)  # doctest: +SKIP
    """
    if processes < 1:
        raise SpecificationError(f"processes = {processes}: it must be at least 1")
    plans = _plan(jobs)

    def hear(index: int, told: Progress | str) -> None:
        if isinstance(told, str):
            say(named(plans[index].name, told))
        elif progress is not None:
            progress(plans[index].job, told)

    options = {"resume": resume, "stale": stale, "engine": engine}
    if min(processes, len(plans)) <= 1:
        return _one_by_one(plans, _Make(then, options), hear)
    if then is not itself:
        return _side_by_side(plans, _Make(then, options), hear, processes)
    # The records are in files already: they are opened here, not sent.
    seconds = _side_by_side(plans, _Make(attrgetter("seconds"), options), hear, processes)
    runs = [Run(p.job.seed, open_record(p.path), p.path, spent) for p, spent in zip(plans, seconds, strict=True)]
    return cast(list[T], runs)


@dataclass(frozen=True)
class _Plan:
    job: Job
    experiment: Experiment
    name: str
    path: Path


def _plan(jobs: Sequence[Job]) -> list[_Plan]:
    """Load every experiment once, name the runs, and make sure that each has a record of its own."""
    loaded: dict[str, Experiment] = {}
    writers: dict[Path, str] = {}
    plans = []
    for job in jobs:
        key = repr((str(job.name_or_path), job.loading))
        if key not in loaded:
            loaded[key] = job.load()
        experiment, name = loaded[key], job.name
        if name is None:
            name = ", ".join([experiment.name, *experiment.conditions, f"seed {job.seed}"])
        path = record_path(experiment, job.seed, job.out)
        if (place := path.resolve()) in writers:
            raise SpecificationError(
                f"{writers[place]!r} and {name!r} would both write {path}: give one of them another folder `out`"
            )
        writers[place] = name
        plans.append(_Plan(job, experiment, name, path))
    return plans


@dataclass(frozen=True)
class _Make:
    """Make a run, and something of it."""

    then: Callable[[Run], Any]
    options: Mapping[str, Any]

    def __call__(self, job: Job, experiment: Experiment, tell: Tell) -> Any:
        own = {"seed": job.seed, "out": job.out, "activity_seed": job.activity_seed}
        return self.then(run_experiment(experiment, progress=tell, say=tell, **own, **self.options))

    def from_task(self, task: tuple[Job, dict[str, Any]], tell: Tell) -> Any:
        """Load the experiment in a process of its own, where files and code must still say the same."""
        job, config = task
        experiment = job.load()
        if experiment.config != config:
            raise SpecificationError(
                f"{experiment.document.path} or neuroprune was edited during the runs: "
                f"{identity_difference('config', experiment.config, config)}"
            )
        return self(job, experiment, tell)


def _one_by_one(plans: Sequence[_Plan], make: _Make, hear: Callable[[int, Any], None]) -> list[Any]:
    results = []
    for index, plan in enumerate(plans):
        try:
            results.append(make(plan.job, plan.experiment, partial(hear, index)))
        except NeuropruneError as error:
            raise type(error)(named(plan.name, str(error))) from error
    return results


def _side_by_side(plans: Sequence[_Plan], make: _Make, hear: Callable[[int, Any], None], processes: int) -> list[Any]:
    try:
        pickle.dumps(make)
    except Exception as error:
        raise SpecificationError(
            f"then = {make.then!r} cannot be sent to a process: it must be a function of a module, or a partial of one "
            f"({error})"
        ) from error
    tasks = [(plan.job, plan.experiment.config) for plan in plans]
    names = [plan.name for plan in plans]
    return work_in_processes(make.from_task, tasks, names=names, processes=processes, hear=hear)


def run_seeds(
    name_or_path: str | Path = "cerebellum",
    *,
    seeds: Sequence[int],
    out: Path | str,
    processes: int = 1,
    conditions: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    start: str | float | None = None,
    stop: str | float | None = None,
    origin: str = "overrides",
    activity_seed: int | None = None,
    progress: Callable[[int, Progress], None] | None = None,
    say: Callable[[str], None] = silent,
    **options: Any,
) -> list[Run]:
    """Run an experiment with several seeds and return the runs in the order of the seeds.

    Parameters
    ----------
    name_or_path, conditions, overrides, start, stop, origin
        See :func:`neuroprune.experiments.load_experiment`.
    seeds : sequence of int
    out : Path
        Folder for the records, one for each seed.
    processes : int
        How many seeds run at a time. It changes no result.
    activity_seed : int, optional
        See :func:`neuroprune.experiments.run`.
    progress : function, optional
        Called with the seed and its progress.
    say : function, optional
    **options
        ``resume``, ``stale`` and ``engine`` of :func:`neuroprune.experiments.run`.

    Raises
    ------
    NeuropruneError
        Of the first seed that fails, naming it; the others are stopped and can be resumed.
    """
    if len(set(seeds)) != len(seeds) or not seeds:
        raise SpecificationError(f"seeds = {list(seeds)}: it must list at least one seed, each once")
    jobs = [
        Job(
            name_or_path,
            seed,
            Path(out),
            conditions=tuple(conditions),
            overrides=overrides,
            start=start,
            stop=stop,
            activity_seed=activity_seed,
            origin=origin,
            name=f"seed {seed}" if len(seeds) > 1 else "",
        )
        for seed in seeds
    ]
    told = None if progress is None else (lambda job, p: progress(job.seed, p))
    return run_jobs(jobs, processes=processes, progress=told, say=say, **options)
