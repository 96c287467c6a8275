"""Do rules that a brain suggests prune an artificial network better than the standard ones? What does the schedule do?

    python analysis/pruning_rules.py                                          (digits)
    python analysis/pruning_rules.py --data FOLDER --epochs 6 --batch 256     (MNIST's IDX files)

First every criterion is tried on every schedule, on networks that are used for nothing else, and keeps the schedule
that is best on validation images. Then the four best baselines and all that a brain suggests go on with it, on new
networks and more sparsities. All have the same initial weights, images, order and number of training steps.
"""

import argparse
import math
import os
import statistics
import time
from collections.abc import Sequence
from pathlib import Path

import keeping

from neuroprune.experiments.comparison import METHODS, SCHEDULES, Comparison, Setting, Trial, compare, paired_difference

SCREENED = (0.95, 0.98)
CHOSEN_AT = 0.98
FINAL = (0.8, 0.9, 0.95, 0.98, 0.99, 0.995)
BASELINES = 4
GRADUAL = ("decreasing", "cubic", "linear", "increasing")


def key(trial: Trial) -> tuple[str, str, float, int]:
    """Return what tells trials apart."""
    return trial.method, trial.schedule, trial.sparsity, trial.seed


def validation(trials: Sequence[Trial]) -> float:
    """Return the mean accuracy on validation images."""
    return statistics.fmean(t.validation for t in trials)


def points(difference: float, interval: tuple[float, float]) -> str:
    """Return a difference of accuracies and its interval, in points."""
    return f"{100 * difference:+6.2f} ({100 * interval[0]:+.2f}, {100 * interval[1]:+.2f})"


def accuracy(trials: Sequence[Trial]) -> str:
    """Return mean and SD of the test accuracy."""
    values = [100 * t.test for t in trials]
    return f"{statistics.fmean(values):6.2f} ± {statistics.stdev(values):.2f}"


def screening(screened: Comparison) -> list[str]:
    """Return validation accuracy of every criterion on every schedule."""
    lines = []
    for sparsity in SCREENED:
        grid = screened.grid(sparsity)
        lines += [
            f"{sparsity:.1%} gone: validation accuracy (%)",
            f"  {'':20}" + "".join(f"{s:>12}" for s in SCHEDULES),
        ]
        for name in METHODS:
            if (name, "") in grid:
                lines.append(f"  {name:20}{100 * validation(grid[name, '']):>12.2f}")
            elif any((name, s) in grid for s in SCHEDULES):
                lines.append(f"  {name:20}" + "".join(f"{100 * validation(grid[name, s]):>12.2f}" for s in SCHEDULES))
        lines.append("")
    return lines


def schedules_compared(found: Comparison, method: str) -> list[str]:
    """Return how one criterion does on four schedules: Navlakha's claim."""
    lines = [f"{method} on four schedules, test accuracy and difference to the decreasing one"]
    for sparsity in SCREENED:
        grid = found.grid(sparsity)
        reference = grid[method, "decreasing"]
        for schedule in GRADUAL:
            trials = grid[method, schedule]
            versus = "" if schedule == "decreasing" else points(*paired_difference(trials, reference))
            lines.append(f"  {sparsity:6.1%}  {schedule:12}{accuracy(trials)}  {versus}")
    return [*lines, ""]


def main() -> None:
    """Run the study and keep its tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--model", default="lenet300")
    parser.add_argument("--epochs", type=int, default=20)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--seeds", type=int, default=10)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("runs/pruning_rules"))
    options = parser.parse_args()
    began = time.monotonic()
    setting = Setting(options.data, options.model, options.epochs, options.batch)
    folder = options.out / f"{options.model}_{Path(options.data).name}"

    def show(done: float, total: int) -> None:
        print(f"{int(done)} of {total} networks, {time.monotonic() - began:.0f} s", flush=True)

    common = {"out": folder, "processes": options.processes, "progress": show}
    screened = compare(
        setting, methods=list(METHODS), schedules=list(SCHEDULES), sparsities=SCREENED, seeds=(100, 101), **common
    )
    best = {row.method: row.schedule for row in screened.rows(CHOSEN_AT)}
    baselines = [name for name in best if METHODS[name].baseline][:BASELINES]
    finalists = [*baselines, *(name for name in best if not METHODS[name].baseline)]
    seeds = range(options.seeds)
    parts = [
        compare(
            setting,
            methods=[name],
            schedules=[best[name]] if best[name] else [],
            sparsities=FINAL,
            seeds=seeds,
            **common,
        )
        for name in finalists
    ]
    final = Comparison(setting, tuple({key(t): t for part in parts for t in part.trials}.values()))
    claim = compare(setting, methods=["magnitude"], schedules=GRADUAL, sparsities=SCREENED, seeds=seeds, **common)
    lines = [
        f"{options.model} on {Path(options.data).name}, {options.epochs} epochs, batches of {options.batch}; "
        f"dense {accuracy(final.dense())} % ({options.seeds} seeds)",
        "",
        "Screening, seeds 100 and 101: each criterion keeps the schedule that is best at "
        f"{CHOSEN_AT:.0%} on validation images.",
        "",
        *screening(screened),
        f"Finalists, seeds 0 to {options.seeds - 1}: test accuracy (%), and minus the baseline that is best on "
        "validation images, in points with 95 % intervals",
    ]
    for sparsity in FINAL:
        rows = final.rows(sparsity)
        lines.append(f"  {sparsity:.1%} gone")
        for row in rows:
            versus = "reference" if math.isnan(row.difference) else points(row.difference, row.interval)
            lines.append(f"    {row.method:20}{row.schedule:12}{accuracy(row.trials)}  {versus}")
    everything = {key(t): t for c in (screened, final, claim) for t in c.trials}.values()
    lines += [
        "",
        *schedules_compared(claim, "magnitude"),
        f"{len(everything)} networks, {sum(t.seconds for t in everything) / 60:.0f} min of processor time in training",
    ]
    keeping.keep(__file__, lines)


if __name__ == "__main__":
    main()
