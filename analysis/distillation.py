"""Does a teacher help a small network, and for how long must it learn?

    python analysis/distillation.py                        (digits, about three minutes on one core)
    python analysis/distillation.py --data FOLDER          (MNIST's IDX files)

A CNN is trained as a teacher. Students of a quarter of its widths are cut out of it (`pruned`: the filters and units
of the largest Fisher information stay) or get new weights (`scratch`), and learn for few or for more epochs: by the
classes alone (CE), with softened answers, or with a hint on the last feature map as well. Every way has its own
learning rate, the one of the best accuracy on validation images over all seeds; test images are for the table alone.
The last two rows say what scaling the soft term is for: there the learning rate is the one that is best for CE.
"""

import argparse
import copy
import math
import statistics
from collections.abc import Mapping
from dataclasses import dataclass

import keeping
import torch
from scipy import stats
from torch import nn
from torch.nn import functional

from neuroprune.bridge.costs import network_cost
from neuroprune.bridge.distillation import Distillation, distil, soft_loss
from neuroprune.bridge.images import Images, load_images
from neuroprune.bridge.importance import gate_fisher, in_batches
from neuroprune.bridge.slim import slim, trace
from neuroprune.bridge.training import Score, Training, evaluate, evaluating, train
from neuroprune.bridge.zoo import make_model

KEEP = 0.25
FEATURES = "9"
"""The last feature map of the CNN, before it is pooled."""
WAYS: Mapping[str, Distillation | None] = {
    "CE": None,
    "T=2, a=0.5": Distillation(2.0, 0.5),
    "T=4, a=0.7": Distillation(4.0, 0.7),
    "T=4, a=0.5, hint": Distillation(4.0, 0.5, {FEATURES: FEATURES}, 0.5),
}
RATES = (0.02, 0.06, 0.2)
UNSCALED = "T=4, a=0.7"
"""Done without scaling too, at the learning rate that is best for CE."""


@dataclass(frozen=True)
class Outcome:
    """What a student has learned."""

    validation: Score
    test: Score


def cut_out(teacher: nn.Module, images: Images) -> nn.Module:
    """Return the teacher with the quarter of each group of units that matters most."""
    example = (images.train.x[:2],)
    structure = trace(teacher, example)
    scores = gate_fisher(structure, in_batches(images.train.take(torch.arange(min(1024, len(images.train))))))
    removal = {
        name: scores[name].argsort()[: group.size - round(KEEP * group.size)].tolist()
        for name, group in structure.groups.items()
    }
    return slim(teacher, removal, example, structure=structure)


def start_anew(student: nn.Module, seed: int) -> nn.Module:
    """Return a network of the same shapes with new weights."""
    torch.manual_seed(seed)
    new = copy.deepcopy(student)
    for module in new.modules():
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            module.reset_parameters()
    return new


def learn(
    start: nn.Module, teacher: nn.Module, images: Images, way: Distillation | None, training: Training, seed: int
) -> Outcome:
    """Train a copy of a student."""
    student = copy.deepcopy(start)
    if way is None:
        train(student, images.train, training, seed=seed)
    else:
        distil(student, teacher, images.train, training, way, seed=seed)
    return Outcome(evaluate(student, images.validation), evaluate(student, images.test))


def learn_unscaled(start: nn.Module, teacher: nn.Module, images: Images, training: Training, seed: int) -> Outcome:
    """Train with the soft term times T**2 alone, as it is usually written."""
    student, way = copy.deepcopy(start), WAYS[UNSCALED]
    assert way is not None

    def loss(x: torch.Tensor, out: torch.Tensor, y: torch.Tensor) -> torch.Tensor:
        with evaluating(teacher), torch.no_grad():
            target = teacher(x)
        soft = soft_loss(out, target, way.temperature)
        return (1 - way.weight) * functional.cross_entropy(out, y) + way.weight * soft

    train(student, images.train, training, seed=seed, loss=loss)
    return Outcome(evaluate(student, images.validation), evaluate(student, images.test))


def best_rate(by_rate: Mapping[float, list[Outcome]]) -> float:
    """Return the learning rate that does best on validation images; of equals the one of the lowest loss."""

    def merit(rate: float) -> tuple[float, float]:
        scores = [o.validation for o in by_rate[rate]]
        return statistics.fmean(s.accuracy for s in scores), -statistics.fmean(s.loss for s in scores)

    return max(by_rate, key=merit)


def describe(outcomes: list[Outcome], reference: list[Outcome] | None) -> str:
    """Return test accuracy, and how it differs from CE on the same seeds with its 95 % interval."""
    accuracy = [100 * o.test.accuracy for o in outcomes]
    text = f"{statistics.fmean(accuracy):6.2f} ± {statistics.stdev(accuracy):.2f}"
    if reference is None:
        return text
    paired = [a - 100 * r.test.accuracy for a, r in zip(accuracy, reference, strict=True)]
    half = stats.t.ppf(0.975, len(paired) - 1) * statistics.stdev(paired) / len(paired) ** 0.5
    return f"{text}   {statistics.fmean(paired):+.2f} ± {half:.2f}"


def row(name: str, rate: float, outcomes: list[Outcome], reference: list[Outcome] | None) -> str:
    """Return a line of the table."""
    return f"  {name:26}{rate:<6}{describe(outcomes, reference)}"


def main() -> None:
    """Run the study and keep its table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", default="digits")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--epochs", type=int, nargs=2, default=(1, 8), metavar=("FEW", "MORE"))
    options = parser.parse_args()
    torch.set_num_threads(1)
    images = load_images(options.data, validation=0.2)
    most = 64 if len(images.train) < 10_000 else 128
    # Of even sizes: after a last batch of two images the statistics of normalisation layers would be theirs.
    batch = math.ceil(len(images.train) / math.ceil(len(images.train) / most))
    teachers, starts = [], []
    for seed in range(options.seeds):
        torch.manual_seed(seed)
        teacher = make_model("small-cnn", images.shape, images.n_classes)
        train(teacher, images.train, Training(max(options.epochs), batch, 0.05), seed=seed)
        pruned = cut_out(teacher, images)
        teachers.append(teacher)
        starts.append({"scratch": start_anew(pruned, 1000 + seed), "pruned": pruned})
    example = (images.test.x[:1],)
    whole, small = (network_cost(m, example) for m in (teachers[0], starts[0]["pruned"]))
    lines = [
        f"{options.data}, {len(images.train):,} images to train, {len(images.validation):,} to choose the learning "
        f"rate on (of {', '.join(map(str, RATES))}), {len(images.test):,} to report; {options.seeds} seeds",
        f"teacher: small-cnn, {max(options.epochs)} epochs, test accuracy "
        + describe([Outcome(evaluate(t, images.validation), evaluate(t, images.test)) for t in teachers], None)
        + " % (mean ± SD)",
        f"student: {small.macs / whole.macs:.1%} of the operations, {small.parameters / whole.parameters:.1%} of the "
        "parameters",
        "",
    ]
    for n_epochs in options.epochs:
        for start in ("scratch", "pruned"):
            lines += [
                f"{start}, {n_epochs} epoch{'s' if n_epochs > 1 else ''}",
                f"  {'':26}rate  test (%) ± SD   minus CE, 95 % interval",
            ]
            found = {
                name: {
                    rate: [
                        learn(starts[s][start], teachers[s], images, way, Training(n_epochs, batch, rate), s)
                        for s in range(options.seeds)
                    ]
                    for rate in RATES
                }
                for name, way in WAYS.items()
            }
            of_ce = best_rate(found["CE"])
            reference = found["CE"][of_ce]
            for name, by_rate in found.items():
                rate = best_rate(by_rate)
                lines.append(row(name, rate, by_rate[rate], None if name == "CE" else reference))
            training = Training(n_epochs, batch, of_ce)
            lines.append(row(f"{UNSCALED}, rate of CE", of_ce, found[UNSCALED][of_ce], reference))
            unscaled = [
                learn_unscaled(starts[s][start], teachers[s], images, training, s) for s in range(options.seeds)
            ]
            lines += [row("  and not scaled", of_ce, unscaled, reference), ""]
    keeping.keep(__file__, lines)


if __name__ == "__main__":
    main()
