"""Is choosing blocks of weights greedily good enough, and does choosing them best make a better network?

    python analysis/block_knapsack.py                        (digits, about a minute)
    python analysis/block_knapsack.py --data mnist           (or a folder of IDX files; some five minutes)

LeNet-300-100 is trained from several seeds and pruned by blocks once, without training again. Blocks at the edge of a
layer are smaller (784, 300, 100 and 10 are no multiples of 16 or 32), so costs are mixed and the knapsack is not
trivial. Greedy and optimal selections are compared by what they are worth and by accuracy on test images, for blocks
worth their squared weights or their local Fisher information, at several budgets. Differences in accuracy are paired;
their intervals are 95 %, over networks, by Student's t.
"""

import argparse
import copy

import keeping
import numpy as np
import torch
from scipy import stats

from neuroprune.bridge.blocks import apply_masks, divide
from neuroprune.bridge.images import load_images
from neuroprune.bridge.training import default_training, evaluate, train
from neuroprune.bridge.zoo import make_model

BLOCKS = ((8, 8), (16, 16), (32, 32), (64, 64))
BUDGETS = (0.5, 0.2, 0.05)


def interval(values: list[float]) -> str:
    """Return mean and half-width of the 95 % interval."""
    half = stats.t.ppf(0.975, len(values) - 1) * np.std(values, ddof=1) / len(values) ** 0.5
    return f"{np.mean(values):+6.2f} ± {half:4.2f}"


def main() -> None:
    """Run the study."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", default="digits", help="digits, mnist, fashion-mnist, or a folder of IDX files")
    parser.add_argument("--seeds", type=int, default=5, help="networks")
    options = parser.parse_args()
    if options.seeds < 2:
        parser.error("intervals need two networks or more")
    torch.set_num_threads(1)
    images = load_images(options.data)
    epochs = 20 if options.data == "digits" else 2
    models = []
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        model = make_model("lenet300", images.shape, images.n_classes)
        train(model, images.train, default_training("lenet300", epochs), seed=seed)
        models.append(model)
    dense = [100 * evaluate(model, images.test).accuracy for model in models]
    calibration = images.train.take(torch.arange(min(4096, len(images.train))))
    lines = [
        f"LeNet-300-100, {epochs} epochs, {len(models)} networks, test accuracy {np.mean(dense):.2f} %; "
        f"Fisher information of {len(calibration)} images",
        "loss: share of the best value that greedy forgoes, mean and largest; differ: blocks that one of them keeps;",
        "accuracy: of the greedy network (%), and points that the optimal one is better",
        "",
        f"{'value':9} {'block':>7} {'items':>6} {'sizes':>5} {'kept':>5} {'loss':>8} {'largest':>8} {'differ':>6} "
        f"{'greedy':>7} {'optimal - greedy':>16}",
    ]
    better = worse = 0
    for values in ("magnitude", "fisher"):
        for block in BLOCKS:
            tables = [divide(model, calibration, block=block, values=values) for model in models]
            for budget in BUDGETS:
                losses, differing, greedy_scores, gains = [], [], [], []
                for model, blocks in zip(models, tables, strict=True):
                    items = blocks.items
                    compared = items.compare(int(budget * items.costs.sum()))
                    assert compared.optimal.proven
                    scores = []
                    for selection in (compared.greedy, compared.optimal):
                        network = copy.deepcopy(model)
                        apply_masks(network, blocks.masks(selection.keep))
                        scores.append(100 * evaluate(network, images.test).accuracy)
                    losses.append(compared.loss)
                    differing.append(compared.differing)
                    greedy_scores.append(scores[0])
                    gains.append(scores[1] - scores[0])
                better += sum(gain > 0 for gain in gains)
                worse += sum(gain < 0 for gain in gains)
                sizes = np.unique(tables[0].items.costs).size
                lines.append(
                    f"{values:9} {block[0]:>3} x{block[1]:>2} {len(tables[0].items):6,} {sizes:5} {budget:5.0%} "
                    f"{np.mean(losses):8.1e} {max(losses):8.1e} {np.mean(differing):6.1f} "
                    f"{np.mean(greedy_scores):7.2f} {interval(gains):>16}"
                )
    lines += [
        "",
        f"The optimal selection gives the more accurate network {better} times, the less accurate {worse} times.",
    ]
    keeping.keep(__file__, lines)


if __name__ == "__main__":
    main()
