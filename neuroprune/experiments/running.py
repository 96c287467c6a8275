"""Runs: an experiment, a seed, and the record that it leaves."""

import json
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from neuroprune.core.errors import RecordError
from neuroprune.core.provenance import code_version
from neuroprune.development import Progress, develop
from neuroprune.experiments.experiment import Experiment, load_experiment
from neuroprune.experiments.systems import find_system
from neuroprune.record import Record, identity_difference, open_record
from neuroprune.spiking.engine import EngineName

Stale = Literal["refuse", "replace"]
"""What to do with a record of another configuration."""


@dataclass(frozen=True)
class Run:
    """A finished run.

    Parameters
    ----------
    seed : int
    record : Record
    path : Path or None
        File of the record.
    seconds : mapping of str to float
        Wall time of ``compile``, of ``run`` (everything else) and of both, ``total``.
    """

    seed: int
    record: Record
    path: Path | None
    seconds: Mapping[str, float]


def silent(_: str) -> None:
    """Say nothing."""
    return None


def record_path(experiment: Experiment, seed: int, out: Path | str) -> Path:
    """Return where the record of a run goes: the experiment, its conditions and the seed name the file."""
    return Path(out) / f"{'-'.join([experiment.name, *experiment.conditions])}-seed{seed}.nc"


def run(
    name_or_path: str | Path = "cerebellum",
    *,
    seed: int = 1,
    conditions: Sequence[str] = (),
    overrides: Mapping[str, Any] | None = None,
    start: str | float | None = None,
    stop: str | float | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    stale: Stale = "refuse",
    engine: EngineName = "auto",
    activity_seed: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] = silent,
) -> Record:
    """Run an experiment and return its record.

    Parameters
    ----------
    name_or_path, conditions, overrides, start, stop
        See :func:`load_experiment`.
    seed : int
        Seed of all that is random.
    out : Path, optional
        Folder for the record, ``<experiment>[-<condition>...]-seed<seed>.nc``; what is there is replaced.
        Without it nothing is written.
    resume : bool
        Go on from the checkpoint in `out`; a complete record of the same experiment is returned as it is.
    stale : {"refuse", "replace"}
        What to do with a record in `out` that is of another configuration. "replace" also replaces those that other
        code made; a complete one of the same configuration is otherwise returned, and what made it is said.
    engine : {"auto", "standalone", "runtime"}
        How Brian2 runs: one compiled program, or step by step in Python.
    activity_seed : int, optional
        Another seed for activity, so that only what is drawn by the neurons differs between runs.
    progress : function, optional
        Called after every step.
    say : function, optional
        Called with what takes time, such as compilation.

    Returns
    -------
    Record

    Raises
    ------
    NeuropruneError
        If the experiment makes no sense, cannot be simulated, resumed or written.

    Examples
    --------
    >>> record = run("cerebellum", seed=3, overrides={"system.purkinje_cells": 20})  # doctest: +SKIP
    """
    experiment = load_experiment(name_or_path, conditions=conditions, overrides=overrides, start=start, stop=stop)
    options = {"out": out, "resume": resume, "stale": stale, "engine": engine, "activity_seed": activity_seed}
    return run_experiment(experiment, seed=seed, progress=progress, say=say, **options).record


def run_experiment(
    experiment: Experiment,
    *,
    seed: int = 1,
    out: Path | str | None = None,
    resume: bool = False,
    stale: Stale = "refuse",
    engine: EngineName = "auto",
    activity_seed: int | None = None,
    progress: Callable[[Progress], None] | None = None,
    say: Callable[[str], None] = silent,
) -> Run:
    """Run an experiment that is loaded already; see :func:`run`.

    Returns
    -------
    Run
    """
    began = time.perf_counter()
    path = None if out is None else record_path(experiment, seed, out)
    config = {**experiment.config, "activity_seed": activity_seed}
    earlier = None
    if path is not None and resume:
        earlier = _earlier(path, seed, config, stale, say)
    elif path is not None and path.exists():
        say(f"replacing {path}")
    if earlier is not None and earlier.complete:
        return Run(seed, earlier, path, _seconds(0.0, time.perf_counter() - began))
    substrate = find_system(experiment.system_name).build(
        experiment.system_at,
        clock=experiment.clock,
        activity=experiment.activity,
        seed=seed,
        activity_seed=activity_seed,
        engine=engine,
        say=say,
    )
    record = develop(
        substrate,
        experiment.rules_at,
        clock=experiment.clock,
        seed=seed,
        environment=experiment.environment_at,
        ages=experiment.ages,
        traces=experiment.traces,
        path=path,
        config=config,
        resume=earlier is not None,
        progress=progress,
    )
    return Run(seed, record, path, _seconds(substrate.compile_seconds, time.perf_counter() - began))


def _seconds(compiling: float, total: float) -> dict[str, float]:
    return {"compile": compiling, "run": total - compiling, "total": total}


def _earlier(
    path: Path, seed: int, config: Mapping[str, Any], stale: Stale, say: Callable[[str], None]
) -> Record | None:
    """Return what this run has left at `path`, complete or not; None if it has to start from the beginning."""
    if not path.exists():
        say(f"no record at {path} to resume: starting from the beginning")
        return None
    record = open_record(path)
    theirs = {"seed": record.seed, "config": record.identity["config"]}
    ours = {"seed": seed, "config": json.loads(json.dumps(config))}
    for key, value in ours.items():
        if theirs[key] != value:
            difference = f"the record of another run: {identity_difference(key, theirs[key], value)}"
            if stale != "replace":
                raise RecordError(f"{path} is {difference}")
            say(f"replacing {path}, {difference}")
            return None
    made_by = record.identity["provenance"].get("neuroprune", code_version())
    other = "" if made_by == code_version() else f", made by other code ({made_by})"
    if other and stale == "replace":
        say(f"replacing {path}{other}")
        return None
    say(f"{path} is complete already{other}" if record.complete else f"resuming {path}")
    return record
