"""Ceilings, costs and machines from timings that are known: what is put in comes out."""

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from synthetic_machine import CEILINGS, COSTS, EXTRA, MODULE_SECONDS, machine, seconds_of, time_call
from torch import nn

from neuroprune.bridge.roofline import (
    Bandwidth,
    Call,
    Cost,
    LayerWork,
    Machine,
    Parts,
    Quality,
    default_path,
    fit_cost,
    intensity,
    measure_ceilings,
    predict,
)
from neuroprune.bridge.roofline.calibration import MODULE, find_kind, fit_costs, fit_in_network
from neuroprune.bridge.roofline.cases import layer_cases, network_cases
from neuroprune.bridge.roofline.machine import SEED
from neuroprune.bridge.roofline.work import PARAMETRIZATION
from neuroprune.bridge.timing import Timing, stopwatch, using_threads
from neuroprune.bridge.zoo import make_model
from neuroprune.core.errors import SpecificationError

SETS = (2**16, 2**18, 2**20)


def random_calls(n: int, seed: int = 0) -> list[Call]:
    rng = np.random.default_rng(seed)
    sizes = np.exp(rng.uniform(np.log(1e3), np.log(1e6), (n, 5))).astype(int)
    widths = rng.integers(1, 64, n)
    return [
        Call("linear", "linear", 100 * f, w, i, o, 2 * p, width=int(width))
        for (f, w, i, o, p), width in zip(sizes.tolist(), widths, strict=True)
    ]


@given(st.floats(1, 1e9))
def test_bandwidth_lies_between_its_neighbours_and_never_jumps(size: float) -> None:
    curve = Bandwidth((100, 1000, 10_000), (50.0, 20.0, 5.0))
    assert 5 <= curve.at(size) <= 50
    assert curve.at(size * 1.001) <= curve.at(size) <= curve.at(size) * 1.01
    assert curve.at(math.sqrt(100 * 1000)) == pytest.approx(math.sqrt(50 * 20))
    assert [curve.at(s) for s in (1, 100, 1000, 10_000, 1e9)] == [50, 50, 20, 5, 5]


def test_ceilings_are_what_is_beyond_the_call() -> None:
    seen: list[Timing] = []
    found = measure_ceilings(
        torch.float32, torch.device("cpu"), time_call, working_sets=SETS, sides=(64, 128), seen=seen.append
    )
    assert found.peak == pytest.approx(CEILINGS.peak) and found.call == CEILINGS.call
    for measured, true in ((found.triad, CEILINGS.triad), (found.read, CEILINGS.read)):
        assert measured.rates == pytest.approx([true.at(s) for s in SETS], rel=1e-2)
    assert len(seen) == 2 + 2 * len(SETS) + 2
    assert type(found).from_dict(json.loads(json.dumps(found.as_dict()))) == found
    assert found.ridge == pytest.approx(found.peak / found.triad.rates[-1])


def test_products_stop_growing_when_one_takes_long() -> None:
    sides: list[int] = []

    def slow(call: Any) -> Timing:
        if call.func is torch.mm:
            sides.append(len(call.args[0]))
            return Timing(0.1)
        return Timing(1e-6 * call.args[0].numel())

    measure_ceilings(torch.float32, torch.device("cpu"), slow, working_sets=SETS, sides=(8, 16, 32))
    assert sides == [8]


@pytest.mark.parametrize(
    "true",
    [
        Cost(5e-6, 1.2, 1.5, 1.1, 0.7),
        Cost(2e-5, 1.0, 0.0, 0.5, 0.0, 3.0),
        Cost(0.0, 3.0, 1.0, 0.0, 1.0),
        Cost(1e-6, 2.0, 1.0, 1.0, granularity=8),
        Cost(1e-6, 2.0, 1.0, 1.0, granularity=16),
    ],
)
def test_a_fit_finds_the_costs(true: Cost) -> None:
    calls = random_calls(40)
    times = [true.parts(call, CEILINGS).seconds for call in calls]
    found = fit_cost(calls, times, CEILINGS)
    assert found.granularity == true.granularity and found.n == 40 and found.error < 1e-3
    assert found.overhead == pytest.approx(true.overhead, rel=1e-2, abs=1e-8)
    for call in random_calls(20, seed=1):  # shapes that it was not fitted to
        assert found.parts(call, CEILINGS).seconds == pytest.approx(true.parts(call, CEILINGS).seconds, rel=0.02)


def test_a_fit_ignores_disturbed_timings() -> None:
    true, calls = Cost(5e-6, 1.2, 1.5, 1.1), random_calls(40)
    times = np.array([true.parts(call, CEILINGS).seconds for call in calls])
    times[::8] *= 10
    found = fit_cost(calls, times.tolist(), CEILINGS)
    assert found.overhead == pytest.approx(true.overhead, rel=0.05)
    assert found.flops == pytest.approx(true.flops, rel=0.05)
    assert found.error < 0.01


def test_activations_cost_no_more_than_moving_them_can() -> None:
    """Work on each number does not slow down with the working set, as memory does."""
    # All of them in the fastest memory, where both explain the times equally well.
    calls = [Call("gelu", "gelu", 0, 0, size, size) for size in (1000, 2000, 4000, 8000, 16_000, 30_000)]
    times = [1e-6 + 20 * 2 * c.inputs / max(CEILINGS.triad.rates) for c in calls]
    found = fit_cost(calls, times, CEILINGS)
    assert found.activations <= 2 and found.elements > 15
    large = Call("gelu", "gelu", 0, 0, 10**8, 10**8)
    parts = found.parts(large, CEILINGS)
    assert parts.seconds == pytest.approx(1e-6 + 20 * 2e8 / max(CEILINGS.triad.rates), rel=0.6)
    assert parts.bound == "compute"


def test_kinds_with_few_timings_are_left_out() -> None:
    calls = random_calls(6)
    assert set(fit_costs([(c, 1e-6) for c in calls], CEILINGS)) == {"linear"}
    assert not fit_costs([(c, 1e-6) for c in calls[:5]], CEILINGS)


def test_what_calls_cost_more_in_a_network() -> None:
    costs = {"linear": Cost(5e-6), "elementwise": Cost(1e-6), "attention": Cost(2e-5), MODULE: Cost(1e-6, 0, 0, 0)}
    extras = {"linear": 4e-6, "elementwise": 1e-6, MODULE: 2e-6}
    kinds, rng = [MODULE, "linear", "elementwise"], np.random.default_rng(0)
    networks, seconds = [], []
    for modules, *numbers in rng.integers(1, 20, (30, 3)).tolist():
        calls = [Call(kind, kind, 0, 0, 8, 8) for kind, n in zip(kinds[1:], numbers, strict=True) for _ in range(n)]
        networks.append([LayerWork("a", "A", tuple(calls), modules, 1.0)])
        alone = sum(costs[c.kind].parts(c, CEILINGS, 8).seconds for c in calls) + modules * 1e-6
        seconds.append(alone + sum(extras[k] * n for k, n in zip(kinds, (modules, *numbers), strict=True)))
    found = fit_in_network(networks, seconds, costs, CEILINGS)
    assert {k: found[k].in_network for k in extras} == pytest.approx(extras, rel=0.05)
    # A kind that is in none of the networks has the median of the others.
    assert found["attention"].in_network == pytest.approx(2e-6, rel=0.05)
    assert found["linear"].overhead == 5e-6
    # Where networks are as fast as their calls alone, or faster, nothing is taken off.
    faster = fit_in_network(networks, [0.9 * s for s in seconds], costs, CEILINGS)
    assert all(cost.in_network >= 0 for cost in faster.values())


def test_parts_add_up_and_name_what_binds() -> None:
    parts = Parts(1.0, 2.0, 0.5) + Parts(0.0, 1.0, 0.0)
    assert (parts.seconds, parts.bound) == (4.5, "memory")
    assert Parts(1.0, 0.0, 0.0).bound == "compute" and Parts(0.0, 0.0, 1.0).bound == "overhead"
    call = Call("linear", "linear", 10**6, 4000, 400, 400)
    alone = Cost(1e-6, 2.0, 3.0, 0.5).parts(call, CEILINGS)
    # Of the weights, what exceeds the bandwidth is no memory traffic.
    memory = 4000 / CEILINGS.read.at(4800) + 0.5 * 800 / CEILINGS.triad.at(4800)
    assert alone.memory == pytest.approx(memory)
    assert alone.compute == pytest.approx(2 * 10**6 / CEILINGS.peak + 2 * 4000 / CEILINGS.read.at(4800))
    # In a network, weights come from as far as the network is large, and the call itself costs more.
    within = Cost(1e-6, 2.0, 3.0, 0.5, in_network=3e-6).parts(call, CEILINGS, 2**27, in_network=True)
    assert within.overhead == pytest.approx(4e-6) and within.memory > alone.memory


def test_a_kind_is_taken_for_the_same_by_another_implementation() -> None:
    assert find_kind("conv (Mkldnn)", COSTS) == "conv (Mkldnn)"
    assert find_kind("conv (Cudnn)", COSTS) == "conv (Mkldnn)"
    assert find_kind("depthwise conv (Mkldnn)", COSTS) is None
    cost, calibrated = machine().cost("depthwise conv (Mkldnn)", "float32")
    assert not calibrated and cost.overhead == CEILINGS.call and cost.flops == 1


def test_shapes_of_another_seed_are_other_shapes() -> None:
    used = [case.label for case in layer_cases(SEED, 3)]
    assert len(set(used)) == len(used) and used == [case.label for case in layer_cases(SEED, 3)]
    held_out = [case.label for case in layer_cases(SEED + 1, 3, avoid=frozenset(used))]
    assert len(held_out) == len(used) and not set(used) & set(held_out)
    networks = [{case.label for case in network_cases(seed, 3)} for seed in (SEED, SEED + 1)]
    assert not networks[0] & networks[1]


@pytest.fixture(scope="module")
def measured() -> Machine:
    return Machine.measure(each=10, networks=4, working_sets=SETS, sides=(64,), time_call=time_call)


def test_a_measured_machine_predicts_networks_that_it_has_not_seen(measured: Machine) -> None:
    found = measured.costs["float32"]
    assert found[MODULE].overhead == pytest.approx(MODULE_SECONDS)
    for kind in (PARAMETRIZATION, "view", "linear", "linear row"):  # without the module around them
        assert found[kind].overhead == pytest.approx(COSTS[kind].overhead, rel=0.1)
    errors = []
    for name in ("lenet300", "lenet5", "small-cnn", "resnet20", "vit-tiny"):
        for batch in (1, 8):
            model, x = make_model(name, (1, 8, 8), 10), (torch.randn(batch, 1, 8, 8),)
            true = seconds_of(list(intensity(model, x).values()), extra=EXTRA)
            errors.append(abs(predict(model, x, measured).seconds / true - 1))
    assert np.median(errors) < 0.03 and max(errors) < 0.15
    assert not measured.quality.disturbances


def test_a_machine_is_kept_in_a_file(measured: Machine, tmp_path: Path) -> None:
    path = measured.save(tmp_path / "deeper" / "machine.json")
    assert Machine.load(path) == measured
    assert measured.is_here() and not machine().is_here()
    assert default_path("cpu", 2).name == "cpu-2-threads.json"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{}", "is no machine"),
        ("no JSON", "is no machine"),
        ("[1]", "is no machine"),
        ('{"format": 0}', "written by another version"),
        ('{"format": 1, "ceilings": {"float32": {}}}', "is no machine"),
    ],
)
def test_a_file_that_holds_no_machine_is_named(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "machine.json"
    with pytest.raises(SpecificationError, match="measure it first"):
        Machine.load(path)
    path.write_text(text)
    with pytest.raises(SpecificationError, match=message):
        Machine.load(path)
    with pytest.raises(SpecificationError, match="cannot be read: "):
        Machine.load(tmp_path)


def test_a_disturbed_machine_says_so() -> None:
    assert Quality(0.02, 0.99, -0.05).disturbances == ()
    found = Quality(0.3, 0.6, 0.25, 2.0).disturbances
    assert found == (
        "other work took 40% of the core",
        "there was a load of 2.0 for each core",
        "samples of one call spread by 30%",
        "the same product took 25% more at the end",
    )


def test_what_cannot_be_measured_or_predicted_is_refused() -> None:
    with pytest.raises(SpecificationError, match="cannot compute in int32"):
        Machine.measure(dtypes=(torch.int32,), working_sets=SETS, sides=(8,), time_call=refuse_matrices)
    with pytest.raises(SpecificationError, match=r"cpu and cuda, not on 'meta'"):
        stopwatch("meta")
    with pytest.raises(SpecificationError, match="threads is 0"):
        stopwatch(threads=0)(list)
    model, x = nn.Linear(4, 3), (torch.zeros(1, 4),)
    with pytest.raises(SpecificationError, match="measured with float32, and the network computes in float64"):
        predict(model.double(), (x[0].double(),), machine())
    with pytest.raises(SpecificationError, match="machine is a cuda, and the network or its inputs are on cpu"):
        predict(model, x, machine(device="cuda"))
    with pytest.raises(SpecificationError, match="no floating-point numbers"):
        predict(nn.Identity(), (), machine())


def refuse_matrices(call: Any) -> Timing:
    if call.args[0].dtype == torch.int32:
        raise RuntimeError("not for integers")
    return Timing(1e-6)


class Clock:
    """A clock that goes on by what is set."""

    def __init__(self) -> None:
        self.now, self.calls = 0.0, 0

    def __call__(self) -> float:
        return self.now


def test_a_stopwatch_takes_the_lowest_tenth() -> None:
    clock = Clock()

    def call() -> None:
        clock.calls += 1
        clock.now += 1e-3 * (1 + clock.calls % 10)  # from 1 ms to 10 ms

    found = stopwatch(seconds=1.0, clock=clock)(call)
    assert 0.9e-3 < found.seconds < 2.1e-3  # the median is at 5 or 6 ms
    assert 1.4 < found.spread < 5.1 and found.busy == 1


def test_a_stopwatch_repeats_short_calls_and_not_long_ones() -> None:
    for seconds, fewest, most in ((1e-7, 5000, 10**6), (1e-3, 10, 60), (10.0, 5, 5)):
        clock = Clock()

        def call(clock: Clock = clock, seconds: float = seconds) -> None:
            clock.calls += 1
            clock.now += seconds

        assert stopwatch(seconds=0.05, clock=clock)(call).seconds == pytest.approx(seconds, rel=1e-6)
        assert fewest <= clock.calls <= most


def test_threads_are_set_while_a_call_is_timed() -> None:
    before, seen = torch.get_num_threads(), set()
    stopwatch(threads=3, seconds=1e-4)(lambda: seen.add((torch.get_num_threads(), torch.is_inference_mode_enabled())))
    assert seen == {(3, True)} and torch.get_num_threads() == before
    with pytest.raises(ZeroDivisionError), using_threads(2):
        assert 1 / 0
    assert torch.get_num_threads() == before
