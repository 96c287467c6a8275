"""Validation: the runs that published observations ask for, each made once, and the scorecard that they give."""

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from neuroprune._version import __version__
from neuroprune.core.errors import SpecificationError
from neuroprune.development import Progress
from neuroprune.experiments.experiment import Experiment, load_experiment
from neuroprune.experiments.finder import experiment_name, find_model
from neuroprune.experiments.observables import find_observable, observe
from neuroprune.experiments.observations import Observations, Reading
from neuroprune.experiments.parallel import Job, run_jobs
from neuroprune.experiments.running import Run, record_path, silent
from neuroprune.experiments.scorecard import Judgement, Scorecard
from neuroprune.experiments.validation_file import read_observations

Overrides = Mapping[str, Any] | Callable[[tuple[str, ...]], Mapping[str, Any]]


@dataclass(frozen=True)
class _Subject:
    """What is run once for each seed, and what is read of it."""

    name_or_path: str | Path
    experiment: Experiment
    overrides: Mapping[str, Any]
    out: Path
    readings: dict[Reading, None] = field(default_factory=dict)


@dataclass(frozen=True)
class _Seen:
    values: tuple[float, ...]
    engine: Mapping[str, Any]


@dataclass(frozen=True)
class _Observer:
    """Read a finished run, in the process that made it."""

    wanted: Mapping[Path, Sequence[Reading]]

    def __call__(self, run: Run) -> _Seen:
        assert run.path is not None
        return _Seen(tuple(_read(run, r) for r in self.wanted[run.path]), run.record.identity["provenance"])


def _read(run: Run, reading: Reading) -> float:
    try:
        return observe(run.record, reading.measure, dict(reading.options))
    except SpecificationError as error:
        raise SpecificationError(f"row {reading.of}: {error}") from None


def validate(
    model: str | Path = "cerebellum",
    *,
    seeds: Iterable[int] = range(1, 6),
    rows: Iterable[int] | None = None,
    modes: Iterable[str] | None = None,
    overrides: Overrides | None = None,
    out: Path | str = "runs/validate",
    processes: int = 1,
    fresh: bool = False,
    progress: Callable[[float, int], None] | None = None,
    say: Callable[[str], None] = silent,
) -> Scorecard:
    """Hold a model against the published observations in its ``validation.toml``.

    Parameters
    ----------
    model : str or Path
        A model that comes with neuroprune, or a TOML file; one that extends a model is held against that model's
        observations if it has none of its own.
    seeds : iterable of int
        Every run is made with each. Differences and ratios are those of runs of the same seed.
    rows : iterable of int, optional
        Numbers of observations; all by default.
    modes : iterable of str, optional
        All by default; the first of the file, or of those chosen, is the default mode of the scorecard.
    overrides : mapping, or function of the conditions of a run, optional
        Put on every run of the model after its conditions; a function returns them for each run.
    out : Path
        Folder for the records, those of each mode in one of its own. Complete records of the same experiment
        that are there are used, interrupted ones go on, others are replaced.
    processes : int
        How many runs are made at a time. It changes no result.
    fresh : bool
        Make all runs anew, as after a change of the code.
    progress : function, optional
        Called with how many runs are done, parts included, and how many there are.
    say : function, optional
        Called with what takes time. What happens to the record of each run is not said but counted.

    Returns
    -------
    Scorecard

    Raises
    ------
    NeuropruneError
        Before any run, if an observation, a condition, a measure or an option of it makes no sense, naming it;
        later if a run fails.

    Notes
    -----
    An observation holds if the mean over seeds lies in the accepted interval, and the value of at least 80 % of the
    seeds. A value that is not defined in some seed does not hold.

    Examples
    --------
    >>> scorecard = validate("cerebellum", rows=[1, 2], processes=2)  # doctest: +SKIP
    >>> scorecard.counts()["fitted"].holding  # doctest: +SKIP
    """
    began, seeds = time.perf_counter(), tuple(seeds)
    if not seeds or len(set(seeds)) != len(seeds):
        raise SpecificationError(f"seeds = {list(seeds)}: it must list at least one seed, each once")
    observations = read_observations(model).select(rows, modes)
    subjects = _plan(model, observations, Path(out), overrides or {})
    # The longest runs come first, so that none is left alone at the end.
    order = sorted(subjects, key=lambda s: -s.experiment.clock.n_steps)
    jobs = [Job(s.name_or_path, seed, s.out, s.experiment.conditions, s.overrides) for s in order for seed in seeds]
    owners = [s for s in order for _ in seeds]
    paths = [record_path(s.experiment, job.seed, s.out) for s, job in zip(owners, jobs, strict=True)]
    if fresh:
        for path in paths:
            path.unlink(missing_ok=True)
    counter = _Counter(jobs, progress)
    seen = run_jobs(
        jobs,
        then=_Observer({path: tuple(s.readings) for s, path in zip(owners, paths, strict=True)}),
        processes=processes,
        resume=True,
        stale="replace",
        progress=counter.step,
        say=lambda text: None if any(str(path) in text for path in paths) else say(text),
    )
    values = {
        (reading, job.seed): value
        for s, job, one in zip(owners, jobs, seen, strict=True)
        for reading, value in zip(s.readings, one.values, strict=True)
    }
    judgements = []
    for mode, conditions in observations.modes.items():
        for o in observations.observations:
            readings = o.readings(conditions)
            combined = tuple(o.combine([values[reading, seed] for reading in readings]) for seed in seeds)
            judgements.append(Judgement(o, mode, combined))
    engines: list[Mapping[str, Any]] = []
    engines += (one.engine for one in seen if one.engine not in engines)
    return Scorecard(
        model=experiment_name(find_model(model)),
        version=__version__,
        seeds=seeds,
        modes=tuple(observations.modes),
        judgements=tuple(judgements),
        runs_made=len(counter.done),
        runs_reused=len(jobs) - len(counter.done),
        seconds=time.perf_counter() - began,
        engines=tuple(engines),
    )


def _plan(model: str | Path, observations: Observations, out: Path, overrides: Overrides) -> list[_Subject]:
    """Return what must be run, each once, after making sure that its records can answer what is asked of them."""
    subjects: dict[tuple[str | None, tuple[str, ...]], _Subject] = {}
    alike: dict[str, _Subject] = {}
    for mode, conditions in observations.modes.items():
        for observation in observations.observations:
            for reading in observation.readings(conditions):
                where = f"{observations.path}: row {observation.name}"
                key = (reading.model, reading.conditions)
                try:
                    if key not in subjects:
                        name = model if reading.model is None else reading.model
                        own = overrides(reading.conditions) if callable(overrides) else overrides
                        own = own if reading.model is None else {}
                        experiment = load_experiment(name, conditions=reading.conditions, overrides=own)
                        folder = out / (mode if reading.model is None else f"model-{experiment.name}")
                        subject = _Subject(name, experiment, own, folder)
                        # Conditions that change nothing, or the same, share a run.
                        settings = {**experiment.config, "conditions": [], "system_of": reading.model}
                        subjects[key] = alike.setdefault(json.dumps(settings, sort_keys=True), subject)
                    options = dict(reading.options)
                    find_observable(reading.measure).check(options, subjects[key].experiment)
                except SpecificationError as error:
                    put_on = " with ".join(filter(None, [reading.model, " and ".join(reading.conditions)]))
                    raise SpecificationError(f"{where}{f' ({put_on})' if put_on else ''}: {error}") from None
                subjects[key].readings[reading] = None
    return list(alike.values())


class _Counter:
    """Counts how far the runs are. A run that says nothing, but comes before one that does, was complete already."""

    def __init__(self, jobs: Sequence[Job], progress: Callable[[float, int], None] | None) -> None:
        self.place = {job: k for k, job in enumerate(jobs)}
        self.done: dict[Job, float] = {}
        self.progress = progress

    def step(self, job: Job, progress: Progress) -> None:
        """Take note of a step of a run."""
        self.done[job] = progress.step / progress.n_steps
        if self.progress is not None:
            reached = 1 + max(self.place[job] for job in self.done)
            self.progress(sum(self.done.values()) + reached - len(self.done), len(self.place))
