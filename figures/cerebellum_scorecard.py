"""Draw the scorecard of the cerebellum: five seeds of every run, in the default mode of its microglia.

Records that ``neuroprune validate cerebellum`` left in ``runs/validate`` are used.
"""

import argparse
import os
from pathlib import Path

import matplotlib

from neuroprune.experiments import validate

HERE = Path(__file__).parent


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    scorecard = validate("cerebellum", modes=["both"], processes=os.cpu_count() or 1, say=print)
    matplotlib.use("Agg")
    from neuroprune.plotting import plot_scorecard, save_figure

    figure = plot_scorecard(scorecard).get_figure(root=True)
    assert figure is not None
    name = HERE / Path(__file__).stem
    files = [name.with_suffix(suffix) for suffix in (".png", ".svg")]
    save_figure(figure, *files)
    print(*files, sep="\n")


if __name__ == "__main__":
    main()
