"""Which constants bring the cerebellum to the published course? The calibration behind models/cerebellum, scripted.

Chooses three constants of control development by least squares on the FITTED observations of rows 1 to 5 in
``models/cerebellum/validation.toml``, then the strength of two perturbations on those of rows 9 and 10. Rows of other
kinds are never looked at. A mean is weighed by the room that the spread of seeds leaves in its interval, because an
observation holds only if nearly all seeds do. Its seeds are not those of the scorecard. The mode "inhibition" is
calibrated in the same way; the mode "engulfment" has the constants of "both", from which its control development does
not differ: all microglia are present, so inhibition matures in full. The tag's threshold and the ages at which the
phases open and end were set by hand in an earlier point model of the same course, and are not moved here.

The withdrawal by the cell and the engulfment by microglia of the early phase share one factor: control development
does not tell them apart, and they are assumed to take about as much.
"""

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from keeping import keep
from scipy.optimize import least_squares, minimize_scalar

from neuroprune.experiments import Judgement, validate

SEEDS = range(101, 109)
CONTROL_ROWS = (1, 2, 3, 4, 5)
START = {
    "both": {"growth": 0.284, "early": 1.09, "late": 0.62},
    "inhibition": {"growth": 0.279, "early": 2.06, "late": 0.65},
}
"""Near what a search from 0.30, 1 and 0.40 found."""
LEAST_ROOM = 0.25
"""Of half an interval: a mean is not weighed more than this allows, however much seeds differ."""
EARLY_RATE, ENGULFMENT = 0.16, 0.006
"""Early withdrawal (per day) and engulfment (per contact) at factor 1."""


@dataclass
class Calibration:
    """Runs the model with constants that are tried, and remembers what was tried."""

    mode: str
    out: Path
    processes: int
    log: list[str]

    def control(self, logs: np.ndarray) -> dict[str, Any]:
        """Return the overrides that three logarithms of constants mean."""
        start = START[self.mode].values()
        growth, early, late = (float(s * np.exp(x)) for s, x in zip(start, logs, strict=True))
        return {
            "rules.growth.rate": f"{growth:.4g} / day",
            "rules.early.rate": f"{early * EARLY_RATE:.4g} / day",
            "rules.engulfment.probability": float(f"{early * ENGULFMENT:.4g}"),
            "rules.late.rate": f"{late:.4g} / day",
        }

    def judge(self, overrides: Mapping[str, Any], rows: tuple[int, ...]) -> list[Judgement]:
        """Return the judgements of the fitted observations of some rows under overrides."""
        scorecard = validate(
            "cerebellum",
            rows=rows,
            modes=[self.mode],
            seeds=SEEDS,
            overrides=overrides,
            out=self.out / self.mode,
            processes=self.processes,
            fresh=True,
        )
        return [j for j in scorecard.judgements if j.observation.kind == "fitted"]

    def residuals(self, x: np.ndarray) -> np.ndarray:
        """Return how far each mean lies from the middle of its interval, in rooms; x is 1 plus logarithms."""
        logs = x - 1
        judged = [j for j in self.judge(self.control(logs), CONTROL_ROWS) if np.isfinite(j.observation.interval).all()]
        values = np.asarray([distance(j) / room(j) for j in judged])
        tried = ", ".join(
            f"{name} {s * np.exp(x):.3f}" for (name, s), x in zip(START[self.mode].items(), logs, strict=True)
        )
        means = "  ".join(f"{j.observation.name.replace(' ', '')} {j.mean:.2f}({j.sd:.2f})" for j in judged)
        self.log.append(f"  {tried}: sum of squares {np.sum(values**2):.3f}   {means}")
        print(self.log[-1], flush=True)
        return values


def half_width(judged: Judgement) -> float:
    low, high = judged.observation.interval
    return (high - low) / 2


def distance(judged: Judgement) -> float:
    """Return how far the mean lies from the middle of its interval."""
    low, high = judged.observation.interval
    return judged.mean - (low + high) / 2


def room(judged: Judgement) -> float:
    """Return how far the mean may lie from the middle before seeds one SD further out are no longer accepted.

    An observation holds if nearly all seeds are accepted, not their mean alone.
    """
    return max(half_width(judged) - judged.sd, LEAST_ROOM * half_width(judged))


def off(judged: Judgement) -> float:
    return distance(judged) / half_width(judged)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--out", type=Path, default=Path("runs/calibration"), help="folder for the records")
    options = parser.parse_args()
    lines = [
        f"seeds {SEEDS.start} to {SEEDS.stop - 1}; names of observations as in validation.toml, means (SD) over seeds"
    ]
    for mode in ("both", "inhibition"):
        calibration = Calibration(mode, options.out, options.processes, [])
        # One more than the logarithm of a factor, because steps are relative: 15 %, more than few cells blur.
        found = least_squares(calibration.residuals, np.ones(3), diff_step=0.15, max_nfev=3, bounds=(0, 2))
        best = calibration.control(found.x - 1)
        lines += [
            "",
            f"mode {mode}: tried",
            *calibration.log,
            f"  stopped: {found.message}",
            "chosen:",
            *(f"  {k} = {v}" for k, v in best.items()),
        ]
        if mode == "both":  # the other modes share the strengths of the perturbations
            lines += perturbations(calibration, best)
    keep(__file__, lines)


def perturbations(calibration: Calibration, best: Mapping[str, Any]) -> list[str]:
    """Choose the late factor without mGluR1, and the GABA that a heterozygote has left."""

    def mglur1(factor: float) -> float:
        def overrides(conditions: tuple[str, ...]) -> dict[str, Any]:
            # An absolute value, put on after the condition, replaces the scale that it brings.
            tried = {"rules.late.factor": float(factor)} if "mglur1_knockout" in conditions else {}
            return {**best, **tried}

        judged = {j.observation.part: j for j in calibration.judge(overrides, (9,))}
        return note(f"mGluR1 factor {factor:.2f}", judged["b"], off(judged["b"]))

    def gad67(gaba: float) -> float:
        def overrides(conditions: tuple[str, ...]) -> dict[str, Any]:
            return {
                **best,
                **({"environment.inhibition.gaba": float(gaba)} if "gad67_heterozygote" in conditions else {}),
            }

        judged = {j.observation.part: j for j in calibration.judge(overrides, (10,))}
        most, more = judged["e"], judged["d"]
        control = most.mean - more.mean
        low, high = control + more.observation.interval[0], most.observation.interval[1]
        return note(f"GABA {gaba:.2f}", most, (most.mean - (low + high) / 2) / ((high - low) / 2))

    def note(what: str, judged: Judgement, distance: float) -> float:
        lines.append(
            f"  {what}: {judged.observation.name} {judged.mean:.3f}, {distance:+.2f} half widths off the middle"
        )
        print(lines[-1], flush=True)
        return distance**2

    lines = ["perturbations:"]
    for name, function, bounds in (("mGluR1 factor", mglur1, (0.25, 0.6)), ("GABA", gad67, (0.3, 0.7))):
        found = minimize_scalar(function, bounds=bounds, method="bounded", options={"maxiter": 5, "xatol": 0.02})
        lines.append(f"chosen: {name} {found.x:.2f}")
    return lines


if __name__ == "__main__":
    main()
