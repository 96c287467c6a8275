"""Many trials side by side, kept as they are made, and what they say together."""

import json
import math
import statistics
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any

from neuroprune.core.errors import RecordError, SpecificationError
from neuroprune.core.files import write_whole
from neuroprune.core.provenance import code_version
from neuroprune.core.workers import Tell, work_in_processes
from neuroprune.experiments.comparison.methods import METHODS, find_method, find_schedule
from neuroprune.experiments.comparison.trial import Setting, Trial, run_trial

FORMAT = "neuroprune-comparison/1"
DEFAULT_METHODS = (
    "random", "magnitude", "lamp", "fisher", "granet", "synflow", "rigl", "trophic", "trophic-regrowth",
    "winner-relative",
)  # fmt: skip
CONFIDENCE = 0.95
_DECIDING = ("core", "rules", "bridge", "experiments/comparison")
"""Parts of the package that a trial depends on."""


@dataclass(frozen=True)
class Row:
    """A method at a sparsity, on the schedule that did best on validation images.

    Parameters
    ----------
    method, schedule : str
    sparsity : float
    trials : tuple of Trial
        By seed.
    difference : float
        Mean over seeds of its accuracy minus that of the reference on the same seed; NaN for the reference itself.
    interval : tuple of float
        95 % confidence interval of that, by Student's t; NaN with fewer than two seeds.
    """

    method: str
    schedule: str
    sparsity: float
    trials: tuple[Trial, ...]
    difference: float
    interval: tuple[float, float]

    def mean(self, measure: str) -> float:
        """Return the mean of a measure over seeds."""
        return statistics.fmean(getattr(t, measure) for t in self.trials)

    def sd(self, measure: str) -> float:
        """Return its standard deviation over seeds, NaN for one seed."""
        values = [getattr(t, measure) for t in self.trials]
        return statistics.stdev(values) if len(values) > 1 else math.nan

    def latency(self, of: str) -> float:
        """Return the median over seeds of a latency, NaN where it was not measured."""
        values = [t.latency[of] for t in self.trials if of in t.latency]
        return statistics.median(values) if values else math.nan


@dataclass(frozen=True)
class Comparison:
    """What a comparison found.

    Parameters
    ----------
    setting : Setting
    trials : tuple of Trial
    """

    setting: Setting
    trials: tuple[Trial, ...]

    @property
    def seconds(self) -> float:
        """Processor time of all trainings."""
        return sum(trial.seconds for trial in self.trials)

    @property
    def sparsities(self) -> list[float]:
        """Sparsities that were asked for."""
        return sorted({t.sparsity for t in self.trials if t.method != "dense"})

    def dense(self) -> list[Trial]:
        """Return the trials without pruning."""
        return [trial for trial in self.trials if trial.method == "dense"]

    def rows(self, sparsity: float, measure: str = "test") -> list[Row]:
        """Return all methods at a sparsity, the best on validation images first.

        Parameters
        ----------
        sparsity : float
        measure : str
            What differences are of: ``test``, ``noisy`` or ``occluded``.

        Notes
        -----
        A method stands on the schedule that has the highest mean accuracy on validation images, and the reference is
        the baseline that has: nothing is chosen on test images.
        """
        chosen: dict[str, list[Trial]] = {}
        for (method, _), trials in self.grid(sparsity).items():
            best = chosen.get(method)
            if best is None or _validation(trials) > _validation(best):
                chosen[method] = trials
        order = sorted(chosen.values(), key=lambda trials: (-_validation(trials), trials[0].method))
        baselines = [trials for trials in order if METHODS[trials[0].method].baseline]
        reference = baselines[0] if baselines else None
        return [_row(trials, reference, measure) for trials in order]

    def grid(self, sparsity: float) -> dict[tuple[str, str], list[Trial]]:
        """Return the trials at a sparsity by method and schedule, in the order of seeds."""
        groups: dict[tuple[str, str], list[Trial]] = {}
        for trial in self.trials:
            if trial.sparsity == sparsity and trial.method != "dense":
                groups.setdefault((trial.method, trial.schedule), []).append(trial)
        return {key: sorted(trials, key=lambda t: t.seed) for key, trials in groups.items()}


def _validation(trials: Sequence[Trial]) -> float:
    return statistics.fmean(t.validation for t in trials)


def _row(trials: Sequence[Trial], reference: Sequence[Trial] | None, measure: str) -> Row:
    first = trials[0]
    difference, interval = math.nan, (math.nan, math.nan)
    if reference is not None and reference is not trials:
        difference, interval = paired_difference(trials, reference, measure)
    return Row(first.method, first.schedule, first.sparsity, tuple(trials), difference, interval)


def paired_difference(
    trials: Sequence[Trial], others: Sequence[Trial], measure: str = "test"
) -> tuple[float, tuple[float, float]]:
    """Return by how much a measure is higher than that of others, paired by seed.

    Returns
    -------
    mean : float
        Over the seeds that both have; NaN if there are none.
    interval : (float, float)
        95 % confidence interval by Student's t; NaN with fewer than two.
    """
    from scipy import stats

    theirs = {t.seed: getattr(t, measure) for t in others}
    paired = [getattr(t, measure) - theirs[t.seed] for t in trials if t.seed in theirs]
    mean, n = statistics.fmean(paired) if paired else math.nan, len(paired)
    if n < 2:
        return mean, (math.nan, math.nan)
    half = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1)) * statistics.stdev(paired) / math.sqrt(n)
    return mean, (mean - half, mean + half)


def compare(
    setting: Setting | None = None,
    *,
    methods: Sequence[str] = DEFAULT_METHODS,
    schedules: Sequence[str] = ("decreasing",),
    sparsities: Sequence[float] = (0.9, 0.95, 0.98),
    seeds: Sequence[int] = (0, 1, 2),
    out: Path | None = None,
    processes: int = 1,
    progress: Callable[[float, int], None] | None = None,
) -> Comparison:
    """Prune the same networks by different methods, each on every schedule, and compare them.

    Parameters
    ----------
    setting : Setting, optional
        What is trained, the same for all; the digits without it.
    methods : sequence of str
        Of :data:`METHODS`; the dense network is always among them.
    schedules : sequence of str
        Of :data:`SCHEDULES`, for methods that act during the training.
    sparsities : sequence of float
    seeds : sequence of int
        Of at least three networks, if anything is to be concluded.
    out : Path, optional
        Folder in which every trial is kept, a file each; those that are there already are not made again.
    processes : int
        Trials that are made at a time, with one thread each.
    progress : function of done and total, optional

    Returns
    -------
    Comparison

    Raises
    ------
    SpecificationError
        If a name or number is not valid.
    RecordError
        If `out` holds trials of another setting or version.
    """
    setting = setting or Setting()
    tasks = _plan(setting, methods, schedules, sparsities, seeds)
    if processes < 1:
        raise SpecificationError(f"processes = {processes}: it must be at least 1")
    kept = _Folder(out, setting)
    made: dict[_Task, Trial] = {task: trial for task in tasks if (trial := kept.read(task)) is not None}
    missing = [task for task in tasks if task not in made]

    def tell() -> None:
        if progress is not None:
            progress(float(len(made)), len(tasks))

    tell()
    if processes == 1 or len(missing) <= 1:
        for task in missing:
            made[task] = _make(task)
            kept.write(task, made[task])
            tell()
    else:

        def hear(index: int, told: Any) -> None:
            task = missing[index]
            made[task] = Trial(**told)
            kept.write(task, made[task])
            tell()

        names = [task.name for task in missing]
        work_in_processes(_work, missing, names=names, processes=processes, hear=hear)
    return Comparison(setting, tuple(made[task] for task in tasks))


@dataclass(frozen=True)
class _Task:
    setting: Setting
    method: str
    schedule: str
    sparsity: float
    seed: int

    @property
    def name(self) -> str:
        return "_".join(
            [self.method, *([self.schedule] if self.schedule else []), f"{self.sparsity:g}", f"{self.seed}"]
        )


def _plan(
    setting: Setting,
    methods: Iterable[str],
    schedules: Sequence[str],
    sparsities: Sequence[float],
    seeds: Sequence[int],
) -> list[_Task]:
    for sparsity in sparsities:
        if not 0 < sparsity < 1:
            raise SpecificationError(f"sparsity is {sparsity:g}: it must lie between 0 and 1")
    if not seeds or not sparsities:
        raise SpecificationError("nothing to compare: give at least one seed and one sparsity")
    for name in schedules:
        find_schedule(name)
    tasks = [_Task(setting, "dense", "", 0.0, seed) for seed in seeds]
    for name in dict.fromkeys(methods):
        method = find_method(name)
        if method.when == "never":
            continue
        own = schedules if method.when == "during" else ("",)
        if not own:
            raise SpecificationError(f"{name} prunes during the training: give at least one schedule")
        tasks += [_Task(setting, name, schedule, p, s) for schedule in own for p in sparsities for s in seeds]
    return list(dict.fromkeys(tasks))


@cache
def _images(setting: Setting) -> Any:
    return setting.load()


def _make(task: _Task) -> Trial:
    import torch

    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return run_trial(
            task.setting, task.method, task.schedule, task.sparsity, task.seed, images=_images(task.setting)
        )
    finally:
        torch.set_num_threads(threads)


def _work(task: _Task, tell: Tell) -> None:
    tell(asdict(_make(task)))


class _Folder:
    """Trials on disk, and what they are trials of."""

    def __init__(self, path: Path | None, setting: Setting) -> None:
        self.path = path
        if path is None:
            return
        content = {"format": FORMAT, "version": code_version(*_DECIDING), "setting": asdict(setting)}
        file = path / "comparison.json"
        if file.is_file():
            found = _read_json(file)
            for key, value in content.items():
                if found.get(key) != value:
                    raise RecordError(
                        f"{str(path)!r} holds a comparison with another {key} ({found.get(key)!r}, here {value!r}): "
                        "give another folder, or remove it"
                    )
        else:
            self._write(file, content)

    def _file(self, task: _Task) -> Path:
        assert self.path is not None
        return self.path / f"{task.name}.json"

    def read(self, task: _Task) -> Trial | None:
        if self.path is None or not self._file(task).is_file():
            return None
        try:
            return Trial(**_read_json(self._file(task)))
        except TypeError as error:
            raise RecordError(f"{str(self._file(task))!r} is no trial of this version: {error}") from None

    def write(self, task: _Task, trial: Trial) -> None:
        if self.path is not None:
            self._write(self._file(task), asdict(trial))

    def _write(self, file: Path, content: Any) -> None:
        try:
            write_whole(file, (json.dumps(content, indent=1) + "\n").encode())
        except OSError as error:
            raise RecordError(f"cannot write {str(file)!r}: {error.strerror}") from error


def _read_json(file: Path) -> Any:
    try:
        return json.loads(file.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise RecordError(f"{str(file)!r} cannot be read: {error}") from None
