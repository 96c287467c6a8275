"""Which units should a network lose? Rankings compared at equal operations, before and after equal fine-tuning.

    python analysis/structured_pruning.py                  (digits, about a minute on one core)
    python analysis/structured_pruning.py --data FOLDER    (MNIST's IDX files; --train for a part of them)

A CNN is trained; then each ranking takes filters and units until a half or a quarter of the multiply-accumulate
operations is left (the most that the budget allows; checked), the network is cut, scored on the test images, trained
on for some epochs and scored again. All rankings start from the same networks, and are fine-tuned in the same way and
with the same order of images. The measured prices, and no other ranking, see the validation images.
"""

import argparse
import copy
import importlib.util
import statistics
import warnings
from collections.abc import Callable
from typing import Any

import keeping
import torch
from scipy import stats
from torch import nn

from neuroprune.bridge.costs import network_cost
from neuroprune.bridge.images import Images, Split, load_images
from neuroprune.bridge.importance import gate_fisher, in_batches, magnitude, random_scores, usage
from neuroprune.bridge.sensitivity import prune_to_budget
from neuroprune.bridge.slim import Structure, slim, trace
from neuroprune.bridge.slim.budget import Budget, select
from neuroprune.bridge.training import Training, evaluate, train
from neuroprune.bridge.zoo import make_model

BUDGETS = (0.5, 0.25)
REFERENCE = "magnitude, local"


class Network:
    """A trained network, its structure, and the scores of its units, made once for all budgets."""

    def __init__(self, model: nn.Module, images: Images, seed: int) -> None:
        self.model, self.images = model, images
        self.example = (images.train.x[:1],)
        self.structure: Structure = trace(model, self.example)
        sample = images.train.take(
            torch.randperm(len(images.train), generator=torch.Generator().manual_seed(seed))[:2000]
        )
        self.scores = {
            "random": random_scores(self.structure, seed=seed),
            "magnitude": magnitude(self.structure),
            "Fisher": gate_fisher(self.structure, in_batches(sample)),
            "usage": usage(self.structure, in_batches(sample)),
        }

    def ranked(self, name: str, share: float, **options: object) -> nn.Module:
        """Cut what a ranking chooses."""
        removal = select(self.scores[name], Budget(self.structure, macs=share), **options)  # type: ignore[arg-type]
        return slim(self.model, removal, self.example, structure=self.structure)

    def by_price(self, share: float) -> nn.Module:
        """Cut by measured prices, units in the order of gate Fisher."""
        held_out = self.images.validation.take(torch.arange(min(2000, len(self.images.validation))))
        return prune_to_budget(
            self.model,
            lambda model: evaluate(model, held_out).loss,
            self.example,
            macs=share,
            scores=self.scores["Fisher"],
        ).model


def by_torch_pruning(network: Network, share: float, *, everywhere: bool) -> nn.Module:
    """Cut by the magnitude pruner of torch-pruning, at the smallest ratio that meets the budget."""
    import torch_pruning as tp

    example: Any = network.example  # its hint names a tensor, and it takes the arguments of a call

    def cut(ratio: float) -> nn.Module:
        model = copy.deepcopy(network.model)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            tp.pruner.MagnitudePruner(
                model, example, tp.importance.GroupMagnitudeImportance(p=2), global_pruning=everywhere,
                pruning_ratio=ratio, ignored_layers=[list(model.modules())[-1]],
            ).step()  # fmt: skip
        return model

    limit = share * network_cost(network.model, network.example).macs
    low, high = 0.0, 1.0
    for _ in range(8):
        middle = (low + high) / 2
        if network_cost(cut(middle), network.example).macs <= limit:
            high = middle
        else:
            low = middle
    return cut(high)


def ways() -> dict[str, Callable[[Network, float], nn.Module]]:
    """Return what is compared."""
    found: dict[str, Callable[[Network, float], nn.Module]] = {
        "random": lambda n, s: n.ranked("random", s, scope="local"),
        "magnitude, local": lambda n, s: n.ranked("magnitude", s, scope="local"),
        "magnitude, global": lambda n, s: n.ranked("magnitude", s, per_cost=False, minimum_width=1),
        "magnitude, global, per cost, minimum": lambda n, s: n.ranked("magnitude", s),
        "usage, local": lambda n, s: n.ranked("usage", s, scope="local"),
        "usage, global, per cost, minimum": lambda n, s: n.ranked("usage", s),
        "Fisher, local": lambda n, s: n.ranked("Fisher", s, scope="local"),
        "Fisher, global": lambda n, s: n.ranked("Fisher", s, per_cost=False, minimum_width=1),
        "Fisher, global, minimum": lambda n, s: n.ranked("Fisher", s, per_cost=False),
        "Fisher, global, per cost, minimum": lambda n, s: n.ranked("Fisher", s),
        "measured prices": Network.by_price,
    }
    if importlib.util.find_spec("torch_pruning") is None:
        return found
    found["torch-pruning, magnitude, local"] = lambda n, s: by_torch_pruning(n, s, everywhere=False)
    found["torch-pruning, magnitude, global"] = lambda n, s: by_torch_pruning(n, s, everywhere=True)
    return found


def widths(model: nn.Module) -> str:
    """Return the number of units of each layer but the last."""
    sizes = [len(m.weight) for m in model.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    return "-".join(str(n) for n in sizes[:-1])


def interval(values: list[float]) -> float:
    """Return half the width of the 95 % interval of a mean (Student's t)."""
    return float(stats.t.ppf(0.975, len(values) - 1)) * statistics.stdev(values) / len(values) ** 0.5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits", help="digits, or a folder of IDX files")
    parser.add_argument("--train", type=int, help="images to train on; all without")
    parser.add_argument("--epochs", type=int, default=10)
    parser.add_argument("--finetune", type=int, default=1)
    parser.add_argument("--seeds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = load_images(options.data)
    if options.train:
        images = Images(
            images.name, Split(*(t[: options.train] for t in (images.train.x, images.train.y))), images.validation,
            images.test, images.n_classes,
        )  # fmt: skip
    methods = ways()
    dense: list[float] = []
    table: dict[tuple[str, float], list[tuple[float, float, float, str]]] = {}
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        model = make_model("small-cnn", images.shape, images.n_classes)
        train(model, images.train, Training(options.epochs, lr=0.05), seed=seed)
        model.eval()
        dense.append(100 * evaluate(model, images.test).accuracy)
        network = Network(model, images, seed)
        whole = network_cost(model, network.example).macs
        for share in BUDGETS:
            for name, way in methods.items():
                small = way(network, share)
                macs = network_cost(small, network.example).macs
                assert macs <= share * whole, name
                before = 100 * evaluate(small, images.test).accuracy
                train(small, images.train, Training(options.finetune, lr=0.02), seed=100 + seed)
                after = 100 * evaluate(small, images.test).accuracy
                table.setdefault((name, share), []).append((before, after, 100 * macs / whole, widths(small)))
    lines = [
        f"small-cnn on {images.name}: {len(images.train)} images to train on, {len(images.test)} to test;",
        f"{options.epochs} epochs, then {options.finetune} of fine-tuning; mean over {options.seeds} seeds.",
        f"Accuracy in per cent. Whole network: {statistics.mean(dense):.2f}"
        f" ({', '.join(f'{d:.2f}' for d in dense)}), widths {widths(model)}.",
        "'paired' is the difference to magnitude, local, after fine-tuning, with the 95 % interval of its mean.",
    ]
    for share in BUDGETS:
        lines += ["", f"{share:.0%} of the operations", ""]
        lines += [f"{'ranking':38} {'MACs %':>7} {'before':>7} {'after':>7} {'paired':>16}  widths (seed 0)"]
        for name in methods:
            rows = table[name, share]
            paired = [a[1] - b[1] for a, b in zip(rows, table[REFERENCE, share], strict=True)]
            difference = f"{statistics.mean(paired):+.2f} ± {interval(paired):.2f}" if name != REFERENCE else ""
            before, after, macs = (
                statistics.mean(column) for column in ([float(r[i]) for r in rows] for i in range(3))
            )
            lines.append(f"{name:38} {macs:7.2f} {before:7.2f} {after:7.2f} {difference:>16}  {rows[0][3]}")
    keeping.keep(__file__, lines)


if __name__ == "__main__":
    main()
