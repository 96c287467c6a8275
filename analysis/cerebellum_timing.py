"""Who wins a Purkinje cell: timing, a head start, or which bursts were sampled? How strong is the feedback?

Runs each seed again with other spike trains, and once without P/Q channels. Nothing here was fitted.
"""

import argparse
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from keeping import keep
from scipy.stats import spearmanr

from neuroprune import Record
from neuroprune.experiments import Job, run_jobs
from neuroprune.record import feedback_exponent, rank_correlation, strongest_inputs

SEEDS = (1, 2, 3, 4, 5)
OTHER_ACTIVITY = 1000
EXTRA = {"no_latencies": {"system.axon_latency_sd": "0 ms"}}
AGES = [f"P{age:g}" for age in np.arange(3.0, 9.5, 0.5)] + ["P21"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("runs/timing"), help="folder for the records")
    options = parser.parse_args()
    overrides = {"development.record": AGES}
    jobs = [
        Job(
            "cerebellum",
            seed,
            options.out / name,
            conditions,
            {**overrides, **EXTRA.get(name, {})},
            activity_seed=other,
        )
        for seed in SEEDS
        for name, conditions, other in (
            ("control", (), None),
            ("other_activity", (), OTHER_ACTIVITY + seed),
            ("no_latencies", (), None),
            ("pq", ("pq_channel_knockout",), None),
        )
    ]
    runs = run_jobs(jobs, processes=options.processes, resume=True, stale="replace", say=print)
    records = [r.record for r in runs]
    control, again, level, without = (records[k::4] for k in range(4))
    lines = [*who_wins(control, again, level), "", *feedback(control, without), "", *relation(control, without)]
    keep(__file__, lines)


def who_wins(control: Sequence[Record], again: Sequence[Record], level: Sequence[Record]) -> list[str]:
    """Return how often the same fibre wins a cell when only spike trains and noise are drawn anew."""
    columns = np.asarray([_agreement(a, b) for a, b in zip(control, again, strict=True)]).T
    names = (
        "same winner in both runs",
        "chance level: drawn evenly among the inputs at P3",
        "always the strongest at P3, drawn evenly among equals",
        "the one strongest input at P3, where there is one, won",
        "rank correlation, within cells, of strength at P9 between the runs",
    )
    same = columns[0].mean()
    moved = np.asarray([_agreement(a, b)[0] for a, b in zip(control, level, strict=True)])
    verdict = (
        "Above 0.8: who wins is decided by what the two runs share, not by the spike trains sampled."
        if same > 0.8
        else "Not above 0.8: who wins depends on which bursts were sampled, and to that extent on chance."
    )
    return [
        f"Who wins? Strongest fibre at P21 in two runs of each of {len(control)} seeds that differ in spike trains and",
        "noise alone; they share anatomy, synapses at P3, lasting leads and lags of the axons, and the rules' draws.",
        *(f"  {name:<70}{spread(values)}" for name, values in zip(names, columns, strict=True)),
        f"  {'same winner when no axon leads or lags for ever':<70}{spread(moved)}",
        verdict,
    ]


def spread(values: np.ndarray) -> str:
    return f"{values.mean():.2f} ± {values.std(ddof=1):.2f}"


def _agreement(record: Record, other: Record) -> list[float]:
    winner, again = _winners(record), _winners(other)
    post, first = record.connections["post"].values, record.snapshots["weight"].values[0]
    ninth = [np.nan_to_num(r.snapshots["weight"].sel(age=9.0).values) for r in (record, other)]
    same, chance, head_start, alone, ranks = [], [], [], [], []
    for cell in sorted(winner.keys() & again.keys()):
        inputs = np.flatnonzero((post == cell) & np.isfinite(first))
        strongest = inputs[first[inputs] == first[inputs].max()]
        same.append(winner[cell] == again[cell])
        chance.append(1 / len(inputs))
        head_start.append(1 / len(strongest))
        if len(strongest) == 1:
            alone.append(winner[cell] == strongest[0])
        a, b = (w[inputs] for w in ninth)
        if np.ptp(a) > 0 and np.ptp(b) > 0:
            ranks.append(spearmanr(a, b).statistic)
    return [float(np.mean(values)) for values in (same, chance, head_start, alone, ranks)]


def _winners(record: Record) -> dict[int, int]:
    found = strongest_inputs(record)
    return dict(zip(record.connections["post"].values[found].tolist(), found.tolist(), strict=True))


def feedback(control: Sequence[Record], without: Sequence[Record]) -> list[str]:
    """Return the effective exponent with which the chance of gaining a synapse grows with those already there."""
    lines = [
        "Positive feedback, measured: a synapse that a cell gains goes to input i with probability n_i^γ / Σ n_j^γ.",
        "Maximum likelihood over half-day intervals; no exponent is set in the model. Mean ± SD over seeds.",
        f"  {'':<22}{'P3-P5':>16}{'P5-P7':>16}{'P7-P9':>16}",
    ]
    for name, records in (("control", control), ("without P/Q channels", without)):
        spans = [(3.0, 5.0), (5.0, 7.0), (7.0, 9.0)]
        values = np.asarray([[feedback_exponent(r, *span).exponent for span in spans] for r in records])
        cells = (f"{m:.2f} ± {s:.2f}" for m, s in zip(values.mean(0), values.std(0, ddof=1), strict=True))
        lines.append(f"  {name:<22}" + "".join(f"{cell:>16}" for cell in cells))
    return lines


def relation(control: Sequence[Record], without: Sequence[Record]) -> list[str]:
    """Return how strength and growth go with the timing of a fibre's spikes."""
    lines = [
        "Timing: rank correlation, within cells, between how close a fibre's spikes come before the cell's at P5",
        "(trace timing) and its strength at P7, or its growth from P5 to P7 relative to the strength it had.",
        f"  {'':<22}{'strength':>16}{'relative growth':>18}",
    ]
    for name, records in (("control", control), ("without P/Q channels", without)):
        strength = np.asarray([rank_correlation(r, "timing", 5.0, 7.0) for r in records])
        growth = np.asarray([_growth_correlation(r, 5.0, 7.0) for r in records])
        cells = [f"{v.mean():.2f} ± {v.std(ddof=1):.2f}" for v in (strength, growth)]
        lines.append(f"  {name:<22}{cells[0]:>16}{cells[1]:>18}")
    return lines


def _growth_correlation(record: Record, early: float, late: float) -> float:
    """Return the mean over cells of the Spearman correlation of timing and relative growth of surviving inputs."""
    timing = record.snapshots["timing"].sel(age=early).values
    before, after = (record.snapshots["weight"].sel(age=age).values for age in (early, late))
    post, found = record.connections["post"].values, []
    for cell in np.unique(post):
        inputs = np.flatnonzero((post == cell) & np.isfinite(before) & np.isfinite(after))
        growth = after[inputs] / before[inputs]
        if len(inputs) >= 3 and np.ptp(growth) > 0 and np.ptp(timing[inputs]) > 0:
            found.append(spearmanr(timing[inputs], growth).statistic)
    return float(np.mean(found))


if __name__ == "__main__":
    main()
