"""Which rows of the cerebellum's scorecard depend on its free constants? Each is moved by up to 20 %.

A latin hypercube over what was fitted or assumed, one seed, the same at every point, in the default mode; the scorecard
is made anew at each point. Says for each observation how often its verdict flips, and what moves its value most.
"""

import argparse
import os
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from keeping import keep
from scipy.stats import qmc, spearmanr

from neuroprune.experiments import Scorecard, validate

CONSTANTS: Mapping[str, tuple[str, str | None]] = {
    "growth rate": ("rules.growth.rate", None),
    "tag threshold": ("rules.tag.threshold", None),
    "early rate": ("rules.early.rate", None),
    "engulfment": ("rules.engulfment.probability", None),
    "late rate": ("rules.late.rate", None),
    "mGluR1 factor": ("rules.late.factor", "mglur1_knockout"),
    "GABA left": ("environment.inhibition.gaba", "gad67_heterozygote"),
    "tag steepness": ("rules.tag.steepness", None),
    "unselective credit": ("system.unselective_credit", None),
    "credit decay": ("system.eligibility_decay", None),
    "credit memory": ("system.eligibility_memory", None),
    "calcium half": ("system.calcium_half", None),
    "burst jitter": ("system.burst_jitter", None),
    "axon latencies": ("system.axon_latency_sd", None),
    "early inhibition": ("environment.inhibition.initial", None),
    "inhibition time": ("environment.inhibition.time_constant", None),
}
"""Constants that were fitted, then those that are assumed: key, and the condition that brings it."""

AGES: Mapping[str, tuple[str, float, float]] = {
    "early onset": ("rules.early.from", 5.3, 6.2),
    "late end": ("rules.late.to", 19.5, 8.0),
}
"""Ages that were fitted: key, age in days, and the length of the phase, of which the age is moved by up to 20 %."""

NAMES = [*CONSTANTS, *AGES]
RANGE = 0.2
SEED = 1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=50)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("runs/robustness"), help="folder for the records")
    options = parser.parse_args()
    unit = qmc.LatinHypercube(d=len(NAMES), rng=np.random.default_rng(SEED)).random(options.points)
    factors = 1 + RANGE * (2 * unit - 1)
    # A point in each process, rather than the runs of one point in several: there is no waiting for the last of them.
    with ProcessPoolExecutor(options.processes, mp_context=get_context("spawn")) as pool:
        nominal = pool.submit(scorecard, np.ones(len(NAMES)), options.out / "nominal")
        made = [pool.submit(scorecard, row, options.out / f"point{k}") for k, row in enumerate(factors)]
        for n, _ in enumerate(as_completed(made), 1):
            print(f"{n} of {options.points} points", flush=True)
    keep(__file__, report(nominal.result(), [point.result() for point in made], factors))


def scorecard(factors: np.ndarray, out: Path) -> Scorecard:
    """Make the scorecard with every constant scaled, and every age moved."""
    moved = {
        key: f"P{age + (f - 1) * length:.3f}"
        for (key, age, length), f in zip(AGES.values(), factors[len(CONSTANTS) :], strict=True)
    }

    def overrides(conditions: tuple[str, ...]) -> dict[str, Any]:
        chosen = zip(CONSTANTS.values(), factors[: len(CONSTANTS)], strict=True)
        scaled = {key: {"scale": float(f)} for (key, by), f in chosen if by is None or by in conditions}
        return {**scaled, **moved}

    return validate(
        "cerebellum",
        rows=range(1, 18),
        modes=["both"],
        seeds=[SEED],
        overrides=overrides,
        out=out,
        processes=1,
    )


def report(nominal: Scorecard, points: list[Scorecard], factors: np.ndarray) -> list[str]:
    lines = [
        f"{len(points)} points; {len(CONSTANTS)} constants between {1 - RANGE:g} and {1 + RANGE:g} times their values,",
        f"{len(AGES)} ages moved by up to {RANGE:.0%} of the phase's length; seed {SEED}, mode both.",
        "flips: points with another verdict than at the constants as they are (an observation of one seed).",
        "moved by: the constant whose rank correlation with the value is largest, where that is at least 0.5.",
        "",
        f"{'row':<7}{'kind':<11}{'value':>8}  {'verdict':<8}{'range over points':>20}{'flips':>8}  moved by",
    ]
    flipping: dict[str, list[str]] = {}
    for k, judged in enumerate(nominal.judgements):
        values = np.asarray([p.judgements[k].mean for p in points])
        flips = sum(p.judgements[k].holds != judged.holds for p in points)
        if flips:
            flipping.setdefault(judged.observation.kind, []).append(judged.observation.name)
        ranks = [abs(c) if np.isfinite(c := correlation(values, f)) else 0.0 for f in factors.T]
        most = int(np.argmax(ranks))
        mover = f"{NAMES[most]} ({correlation(values, factors[:, most]):+.2f})" if ranks[most] >= 0.5 else ""
        spread = f"{np.nanmin(values):.3f} to {np.nanmax(values):.3f}"
        lines.append(
            f"{judged.observation.name:<7}{judged.observation.kind:<11}{judged.mean:>8.3f}  "
            f"{'holds' if judged.holds else 'FAILS':<8}{spread:>20}{f'{flips}/{len(points)}':>8}  {mover}"
        )
    total = len(nominal.judgements)
    steady = total - sum(map(len, flipping.values()))
    lines += ["", f"{steady} of {total} observations never flip."]
    lines += [f"{kind}: flip somewhere: {', '.join(names)}" for kind, names in flipping.items()]
    return lines


def correlation(values: np.ndarray, factor: np.ndarray) -> float:
    return float(spearmanr(values, factor).statistic) if np.ptp(values) > 0 else 0.0


if __name__ == "__main__":
    main()
