"""Draw how the cerebellum develops: one figure of the course, the strengths, and the fates of inputs.

Without arguments five seeds are run into ``runs/``; with them the records named are drawn.
"""

import argparse
import os
from pathlib import Path

import matplotlib

from neuroprune import Record, open_record
from neuroprune.experiments import run_seeds

HERE = Path(__file__).parent
SEEDS = range(1, 6)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("records", nargs="*", type=Path, help="records of several seeds of one experiment")
    paths = parser.parse_args().records
    records = [open_record(path) for path in paths] if paths else develop()
    matplotlib.use("Agg")
    from neuroprune.plotting import plot_development, save_figure

    name = HERE / Path(__file__).stem
    files = [name.with_suffix(suffix) for suffix in (".png", ".svg")]
    save_figure(plot_development(records), *files)
    print(*files, sep="\n")


def develop() -> list[Record]:
    processes = min(len(SEEDS), os.cpu_count() or 1)
    runs = run_seeds("cerebellum", seeds=SEEDS, processes=processes, out="runs", say=print)
    return [run.record for run in runs]


if __name__ == "__main__":
    main()
