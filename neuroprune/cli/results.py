"""What a record says at its declared ages: as JSON, and as a table with a column for each age."""

import math
import statistics
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from neuroprune.core.clock import format_age

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table

    from neuroprune.experiments import Run
    from neuroprune.record import Record


def measures_by_age(record: "Record") -> list[dict[str, Any]]:
    """Return one mapping for each declared age: ``age`` and every measure, None where it is not defined."""
    measures = record.measures()
    return [
        {"age": format_age(age), **{name: _defined(values[k]) for name, values in measures.items()}}
        for k, age in enumerate(record.ages)
    ]


def _defined(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None


def describe_record(record: "Record") -> dict[str, Any]:
    """Return what a record is and says."""
    config = record.identity["config"]
    return {
        "system": record.system,
        "experiment": config.get("experiment"),
        "conditions": config.get("conditions", []),
        "seed": record.seed,
        "complete": record.complete,
        "ages": measures_by_age(record),
    }


def describe_run(run: "Run", figure: Any = None) -> dict[str, Any]:
    """Return what a run left, for ``--json``."""
    return {
        **describe_record(run.record),
        "record": None if run.path is None else str(run.path),
        "figure": None if figure is None else str(figure),
        "seconds": dict(run.seconds),
    }


def summarise(ages: Sequence[Sequence[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """Return mean, SD and number of the runs in which each measure is defined, by age.

    Parameters
    ----------
    ages : sequence of what :func:`measures_by_age` returns
        One for each run.
    """
    summary = []
    for rows in zip(*ages, strict=True):
        entry: dict[str, Any] = {"age": rows[0]["age"]}
        for name in rows[0]:
            if name != "age":
                values = [row[name] for row in rows if row[name] is not None]
                mean = statistics.fmean(values) if values else None
                sd = statistics.stdev(values) if len(values) > 1 else None
                entry[name] = {"mean": mean, "sd": sd, "n": len(values)}
        summary.append(entry)
    return summary


def table_of(ages: Sequence[Mapping[str, Any]]) -> "Table":
    """Return a table with a row for each measure and a column for each age.

    Parameters
    ----------
    ages : sequence of mapping
        From :func:`measures_by_age` or :func:`summarise`.
    """
    from rich.table import Table

    from neuroprune.experiments.observables import SHARES  # here, so that graphs are printed without experiments

    table = Table(box=None, pad_edge=False, padding=(0, 1))
    table.add_column("", no_wrap=True)
    for entry in ages:
        table.add_column(entry["age"], justify="right", no_wrap=True)
    for name in ages[0] if ages else ():
        if name != "age":
            values = [entry[name] for entry in ages]
            table.add_row(_label(name, name in SHARES), *_cells(values, 100.0 if name in SHARES else 1.0))
    return table


def _label(name: str, is_share: bool) -> str:
    unit = " (%)" if is_share else " (Hz)" if name.endswith("_rate") else ""
    return name.replace("mono_", "mono-").replace("_", " ") + unit


def _cells(values: Sequence[Any], factor: float) -> list[str]:
    """Write the values of one row with the same number of decimals; a mean has its SD below."""
    means = [v["mean"] if isinstance(v, Mapping) else v for v in values]
    largest = max((abs(factor * m) for m in means if m is not None), default=0.0)
    decimals = decimals_of(largest, percent=factor != 1.0)

    def write(value: float | None) -> str:
        return "–" if value is None else f"{factor * value:.{decimals}f}"

    return [f"{write(v['mean'])}\n±{write(v['sd'])}" if isinstance(v, Mapping) else write(v) for v in values]


def decimals_of(largest: float, *, percent: bool) -> int:
    """Return with how many decimals to write numbers of which one is the largest."""
    return 2 if not percent and largest < 10 else 1 if largest < 100 else 0


def stdout_console(width: int = 120) -> "Console":
    """Return a console for data: as wide as the terminal, or `width` columns in a file."""
    import sys

    from rich.console import Console

    return Console(highlight=False, soft_wrap=False, width=None if sys.stdout.isatty() else width)
