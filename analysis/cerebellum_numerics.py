"""Do time step and sampled activity matter? Halves each, and compares the age table with the spread over seeds."""

import argparse
import os
from pathlib import Path

import numpy as np
from keeping import keep

from neuroprune import Record
from neuroprune.core.clock import format_age
from neuroprune.experiments import Job, run_jobs

SEEDS = tuple(range(1, 11))
MEASURES = {
    "climbing_fibres_per_cell": (7, 9, 11, 14, 17, 21),
    "mono_innervated": (9, 11, 14, 17, 21),
    "disparity_ratio": (5, 7, 9, 11),
    "disparity_index": (5, 7, 9, 11),
    "synapses_per_input": (5, 7, 9, 11),
}
VARIANTS = {
    "time step halved": {"system.time_step": "0.1 ms"},
    "activity per step halved": {"development.activity": "2.5 s"},
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("runs/numerics"), help="folder for the records")
    options = parser.parse_args()
    settings = {"as published": {}, **VARIANTS}
    jobs = [
        Job("cerebellum", seed, options.out / name.replace(" ", "_"), overrides=overrides)
        for name, overrides in settings.items()
        for seed in SEEDS
    ]
    runs = run_jobs(jobs, processes=options.processes, resume=True, stale="replace", say=print)
    records = [r.record for r in runs]
    groups = {name: records[k * len(SEEDS) : (k + 1) * len(SEEDS)] for k, name in enumerate(settings)}
    lines = [
        f"{len(SEEDS)} seeds. shift: mean of the variant minus mean as published, in the SD of seeds as published;",
        f"its standard error, were the runs independent, is {np.sqrt(2 / len(SEEDS)):.2f}.",
        "",
        f"{'measure':<26}{'age':>4}{'as published':>16}" + "".join(f"{name:>26}" for name in VARIANTS),
    ]
    worst = dict.fromkeys(VARIANTS, 0.0)
    for measure, ages in MEASURES.items():
        for age in ages:
            base = at(groups["as published"], measure, age)
            line = f"{measure:<26}{format_age(age):>4}{f'{base.mean():.2f} ± {base.std(ddof=1):.2f}':>16}"
            for name in VARIANTS:
                values = at(groups[name], measure, age)
                shift = (values.mean() - base.mean()) / base.std(ddof=1)
                worst[name] = max(worst[name], abs(shift))
                line += f"{f'{values.mean():.2f}  ({shift:+.2f} SD)':>26}"
            lines.append(line)
    lines += ["", *(f"{name}: largest shift {w:.2f} SD of seeds: {verdict(w)}" for name, w in worst.items())]
    keep(__file__, lines)


def at(records: list[Record], measure: str, age: float) -> np.ndarray:
    return np.asarray([r.measures()[measure][np.isclose(r.ages, age)][0] for r in records])


def verdict(shift: float) -> str:
    return "less than the spread of seeds" if shift < 1 else "MORE than the spread of seeds"


if __name__ == "__main__":
    main()
