"""Latency predicted and measured, on shapes and networks that the machine was not calibrated with; sparse layers.

The machine is measured anew. Layers and random networks are drawn with another seed than those of calibration, and
networks of the zoo are in neither. Nothing else should run meanwhile: the first lines say whether something did.
"""

import argparse
import json
import time
import warnings
from collections import defaultdict
from functools import partial
from typing import Any

import numpy as np
import scipy.sparse
import torch
from torch import nn

from neuroprune.bridge.roofline import Machine, explain, intensity, make_variants, measure_network, predict
from neuroprune.bridge.roofline.calibration import MODULE
from neuroprune.bridge.roofline.cases import layer_cases, network_cases
from neuroprune.bridge.roofline.machine import SEED
from neuroprune.bridge.sparse_linear import SparseLinear
from neuroprune.bridge.timing import stopwatch
from neuroprune.bridge.zoo import MODELS, make_model

HELD_OUT = SEED + 2
SHAPES = ((1, 8, 8), (1, 28, 28), (3, 32, 32))
BATCHES = (1, 64)


def time_held_out_layers(machine: Machine, each: int) -> dict[str, list[list[float]]]:
    """Return by kind the factors by which three predictions miss: the roof, the roof and a call, calibrated."""
    time_call = stopwatch(threads=machine.threads, seconds=0.03)
    ceilings, known = machine.ceilings["float32"], machine.costs["float32"]
    used = frozenset(case.label for case in layer_cases(SEED, 24))
    missed = defaultdict(list)
    for drawn in layer_cases(HELD_OUT, each, avoid=used):
        case = drawn.to(torch.float32, torch.device("cpu"))
        layers = intensity(case.module, case.inputs).values()
        call = max((c for layer in layers for c in layer.calls), key=lambda c: (c.kind != "view", c.bytes))
        seconds = time_call(partial(case.module, *case.inputs)).seconds
        roof = max(call.flops / ceilings.peak, call.bytes / ceilings.triad.at(max(1, call.bytes)))
        modules = sum(layer.modules for layer in layers) * known[MODULE].overhead
        calibrated = machine.cost(call.kind, "float32")[0].parts(call, ceilings).seconds + modules
        missed[call.kind].append([abs(t / seconds - 1) for t in (roof, roof + ceilings.call + modules, calibrated)])
    return missed


def time_networks(machine: Machine) -> dict[str, list[tuple[str, float, float]]]:
    """Return name, predicted and measured seconds of networks: random ones, and those of the zoo."""
    time_call = stopwatch(threads=machine.threads, seconds=0.3)
    found: dict[str, list[tuple[str, float, float]]] = {"random": [], "zoo": []}

    def add(group: str, name: str, model: nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
        measured = measure_network(model, inputs, time_call).seconds
        found[group].append((name, predict(model, inputs, machine).seconds, measured))

    for case in network_cases(HELD_OUT, 5):
        add("random", case.label, case.module, case.inputs)
    for shape in SHAPES:
        for name in MODELS:
            for batch in BATCHES:
                label = f"{name}, {' x '.join(map(str, shape))}, batch {batch}"
                add("zoo", label, make_model(name, shape, 10), (torch.randn(batch, *shape),))
    return found


def time_sparse(side: int = 1024) -> list[dict[str, Any]]:
    """Return seconds of a dense layer and of sparse ones: this package's, torch's CSR and scipy's."""
    time_call = stopwatch(seconds=0.1)
    rows = []
    for batch in (1, 4, 16, 64, 256):
        for sparsity in (0.8, 0.9, 0.95, 0.98, 0.99):
            linear = nn.Linear(side, side)
            with torch.no_grad():
                linear.weight.mul_(torch.rand(side, side) >= sparsity)
            bias, x = linear.bias.detach(), torch.randn(batch, side)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", UserWarning)  # sparse CSR is in beta
                csr = linear.weight.detach().to_sparse_csr()
            scipy_csr = scipy.sparse.csr_matrix(linear.weight.detach().numpy())
            calls = {
                "dense": partial(linear, x),
                "own": partial(SparseLinear.from_linear(linear), x),
                "torch": lambda csr=csr, x=x, bias=bias: (csr @ x.t()).t() + bias,
                "scipy": lambda m=scipy_csr, x=x, bias=bias: torch.from_numpy(m @ x.numpy().T).t() + bias,
            }
            times = {name: time_call(call).seconds for name, call in calls.items()}
            rows.append({"batch": batch, "sparsity": sparsity, **times})
    return rows


def time_variants(machine: Machine) -> list[dict[str, Any]]:
    """Return speed-ups, predicted and measured, of pruned networks in each form."""
    rows = []
    for name, shape, sparsity in (("lenet300", SHAPES[1], 0.95), ("small-cnn", SHAPES[1], 0.75)):
        for batch in (1, 64):
            model, x = make_model(name, shape, 10).eval(), (torch.randn(batch, *shape),)
            variants = make_variants(model, x, sparsity, time_call=stopwatch(threads=machine.threads))
            for form in ("masked", "sparse", "slimmed"):
                pruned = getattr(variants, form)
                if pruned is not None:
                    found = explain(model, pruned, x, machine)
                    row = {"model": name, "batch": batch, "form": form, "removed": found.removed}
                    rows.append(row | {"predicted": found.speedup, "measured": found.measured_speedup})
    return rows


def summary(errors: Any) -> str:
    """Return median and ninth decile of relative errors."""
    return f"{np.median(errors):6.1%} (p90 {np.quantile(errors, 0.9):4.0%})"


def main(argv: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default 1)")
    parser.add_argument("--each", type=int, default=8, help="held-out layers of each sort (default 8)")
    parser.add_argument("--json", action="store_true", help="print one line of JSON instead of tables")
    arguments = parser.parse_args(argv)
    torch.manual_seed(HELD_OUT)
    began = time.perf_counter()
    machine = Machine.measure(arguments.threads)
    took = time.perf_counter() - began
    layers = time_held_out_layers(machine, arguments.each)
    networks = time_networks(machine)
    sparse, variants = time_sparse(), time_variants(machine)
    errors = {group: [abs(p / m - 1) for _, p, m in found] for group, found in networks.items()}
    if arguments.json:
        content = {"machine": machine.as_dict(), "layers": layers, "networks": networks, "sparse": sparse}
        print(json.dumps(content | {"variants": variants}))
        return
    found = machine.ceilings["float32"]
    print(f"{machine.name}, {machine.threads} thread(s), torch {machine.torch_version}; measured in {took:.0f} s")
    print(f"disturbed: {'; '.join(machine.quality.disturbances) or 'no'} (spread {machine.quality.spread:.1%})")
    print(f"peak {found.peak / 1e9:.1f} GFLOP/s, a call {found.call * 1e6:.1f} µs")
    for name, curve in (("triad", found.triad), ("read", found.read)):
        print(
            f"{name:5} GB/s", *(f"{r / 1e9:.1f} ({s // 1024} KiB)" for s, r in zip(*vars(curve).values(), strict=True))
        )
    print("\nheld-out layers: relative error of the roof, the roof and a call, calibrated")
    for kind, missed in layers.items():
        print(f"  {kind:28}{len(missed):3}  " + "  ".join(summary([m[k] for m in missed]) for k in range(3)))
    print(f"  {'all':31}  " + "  ".join(summary([m[k] for x in layers.values() for m in x]) for k in range(3)))
    print("\nnetworks: predicted and measured (µs), error")
    for group, timed in networks.items():
        for name, predicted, measured in timed:
            print(f"  {name[:44]:46}{predicted * 1e6:10.0f}{measured * 1e6:10.0f}{predicted / measured - 1:+8.0%}")
        print(f"  {group}: {summary(errors[group])}")
    print("\nsparse layer, 1024 x 1024: µs, and speed-up over dense")
    print(f"  {'batch':>5}{'sparsity':>9}{'dense':>9}{'own':>14}{'torch CSR':>15}{'scipy CSR':>15}")
    for row in sparse:
        cells = "".join(f"{row[n] * 1e6:9.0f} {row['dense'] / row[n]:4.1f}x" for n in ("own", "torch", "scipy"))
        print(f"  {row['batch']:5}{row['sparsity']:9.0%}{row['dense'] * 1e6:9.0f}{cells}")
    print("\npruned networks: operations needless, speed-up predicted and measured")
    for row in variants:
        print(
            f"  {row['model']:10} batch {row['batch']:3} {row['form']:8}{row['removed']:6.0%}"
            f"{row['predicted']:8.2f}{row['measured']:8.2f}"
        )
    print(f"\nall of it took {time.perf_counter() - began:.0f} s")


if __name__ == "__main__":
    main()
