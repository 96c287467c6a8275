"""Draw how the brain of C. elegans grows up: clustering against its null by stage, motifs at birth and as adult."""

import argparse
import os
from pathlib import Path

import matplotlib
import matplotlib.pyplot as plt
import numpy as np

from neuroprune.datasets import load
from neuroprune.netsci import null_test

HERE = Path(__file__).parent
STAGES = ("L1_1", "L1_2", "L1_3", "L1_4", "L2", "L3", "Adult_1", "Adult_2")
SAMPLES = 1000


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    matplotlib.use("Agg")
    from neuroprune.plotting import STYLE, plot_against_null, plot_motif_profile, save_figure

    brains = [load(f"celegans_yim2024_stages/{stage}/common").binary() for stage in STAGES]
    statistics = ["clustering", "triads"]
    workers = os.cpu_count() or 1
    tests = [null_test(b, statistics, "degree+reciprocity", SAMPLES, rng=1, workers=workers) for b in brains]
    with plt.style.context(STYLE):
        figure = plt.figure(figsize=(7.2, 5.8), layout="none")
        for test, place, title in (
            (tests[0], (0.44, 0.66, 0.55, 0.29), "at birth (L1_1)"),
            (tests[-1], (0.44, 0.17, 0.55, 0.29), "adult (Adult_2)"),
        ):
            ax = plot_motif_profile(test, ax=figure.add_axes(place))
            ax.set_title(title, fontsize=8)
        for name, bottom in (("clustering.undirected", 0.62), ("clustering.fagiolo", 0.13)):
            ax = figure.add_axes((0.08, bottom, 0.26, 0.33))
            observed = np.array([test[name]["observed"] for test in tests])
            plot_against_null(np.arange(len(STAGES)), observed, tests, name, ax=ax)
            ax.set_xticks(range(len(STAGES)), [stage.replace("_", " ") for stage in STAGES], rotation=45, ha="right")
            ax.set_xlabel("")
        files = [(HERE / Path(__file__).stem).with_suffix(suffix) for suffix in (".png", ".svg")]
        save_figure(figure, *files)
    print(*files, sep="\n")


if __name__ == "__main__":
    main()
