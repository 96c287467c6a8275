"""Perturbations by name: what the verbs mean, and what they refuse."""

from pathlib import Path
from typing import Any

import pytest

from neuroprune.core.errors import SpecificationError
from neuroprune.environment import Microglia
from neuroprune.experiments import list_conditions, load_experiment
from neuroprune.experiments.overrides import parse_assignments
from neuroprune.spiking.cerebellum import Parameters
from tests.toy_system import install


def system(overrides: dict[str, Any], age: float) -> Parameters:
    found = load_experiment("cerebellum", overrides=overrides).system_at(age)
    assert isinstance(found, Parameters)
    return found


def test_stimulation_holds_in_its_window() -> None:
    said = {"stimulate": {"population": "purkinje_cells", "rate": "2 Hz", "from": "P7", "to": "P9"}}
    rates = [system(said, age).stimulate_purkinje_cells.at(age) for age in (6.75, 7.0, 8.75, 9.0)]
    assert rates == [0.0, 2.0, 2.0, 0.0]
    assert not system(said, 8.0).silence_purkinje_cells


def test_silence_can_come_in_several_windows() -> None:
    windows = [{"population": "climbing_fibres", "from": a, "to": b} for a, b in (("P4", "P5"), ("P8", "P9"))]
    ages = [a for a in (3.0, 4.0, 5.0, 8.0, 9.0) if system({"silence": windows}, a).silence_climbing_fibres]
    assert ages == [4.0, 8.0]


def test_activity_takes_a_pattern() -> None:
    assert system({"activity": {"pattern": "uncorrelated"}}, 5.0).activity_pattern == "uncorrelated"


@pytest.mark.parametrize(
    "said",
    [
        ["silence=purkinje_cells", "activity=uniform"],
        ["silence={population='purkinje_cells'}", "activity={pattern='uniform'}"],
        ["silence=[{population='climbing_fibres'}, {population='purkinje_cells'}]", "activity={pattern='uniform'}"],
    ],
)
def test_verbs_can_be_set_on_the_command_line(said: list[str]) -> None:
    found = system(parse_assignments(said), 5.0)
    assert found.silence_purkinje_cells and found.activity_pattern == "uniform"


def test_a_window_that_a_shortened_development_does_not_reach_is_no_mistake() -> None:
    condition = {"rules.late.rate": {"scale": 2, "from": "P15"}}
    assert load_experiment("cerebellum", overrides=condition, stop="P9").clock.stop == 9.0


@pytest.mark.parametrize(("said", "left"), [({}, 0.0), ({"fraction": 0.75}, 0.25)])
def test_microglia_are_removed_from_an_age(said: dict[str, Any], left: float) -> None:
    told = {"remove": {"environment": "microglia", "from": "P6", **said}}
    experiment = load_experiment("cerebellum", overrides=told)
    presence = [e.presence for a in (5.75, 6.0) for e in experiment.environment_at(a) if isinstance(e, Microglia)]
    assert presence == [1.0, left]


def test_verbs_and_keys_act_in_the_order_in_which_they_stand() -> None:
    both = {"system.activity_pattern": "uniform", "activity": {"pattern": "uncorrelated"}}
    assert system(both, 5.0).activity_pattern == "uncorrelated"
    assert system(dict(reversed(both.items())), 5.0).activity_pattern == "uniform"


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"silence": {"population": "granule_cells"}}, r"silence: population = 'granule_cells': .*purkinje_cells"),
        ({"silence": 3}, r"silence = 3: it must be a table with population"),
        ({"stimulate": "purkinje_cells"}, r"stimulate = 'purkinje_cells': it must be a table with population and rate"),
        (
            {"silence": {"population": "climbing_fibres", "from": "P3.01", "to": "P3.02"}},
            r"silence_climbing_fibres: no step of 0.25 days begins in its window, P3.01 to P3.02",
        ),
        ({"rules.late.rate": {"scale": 2, "from": "P30"}}, r"no step of 0.25 days begins in its window, P30 to \.\.\."),
        ({"silences": {}}, r"unknown key 'silences': it must be .* or one of stimulate, silence, remove, activity"),
        ({"stimulate": {"population": "purkinje_cells"}}, r"stimulate needs rate"),
        ({"stimulate": {"population": "purkinje_cells", "rate": "-1 Hz"}}, r"stimulate_purkinje_cells = "),
        ({"stimulate": {"population": "purkinje_cells", "rate": "2 mV"}}, r"wrong unit"),
        ({"remove": {"environment": "inhibition"}}, r"remove: environment = 'inhibition': it must be one of microglia"),
        ({"remove": {"environment": "microglia", "fraction": 2}}, r"fraction = 2: it must be a number from 0 to 1"),
        ({"remove": {"environment": "microglia", "until": "P9"}}, r"remove: unknown key until"),
        ({"activity": {"pattern": "chaotic"}}, r'activity_pattern = "chaotic": it must be one of "natural"'),
        ({"system.purkinje_cells": {"value": 9, "from": "P5"}}, r"system.purkinje_cells is read at the start only"),
        ({"environment.microglia.density": {"scale": 2, "from": "P5"}}, r"density is read at the start only"),
    ],
)
def test_what_makes_no_sense_is_refused(said: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecificationError, match=message):
        load_experiment("cerebellum", overrides=said)


def test_a_system_without_populations_or_patterns_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    toy = install(tmp_path, monkeypatch)
    with pytest.raises(SpecificationError, match="silence: population = 'cells': there is none"):
        load_experiment(toy, overrides={"silence": {"population": "cells"}})
    with pytest.raises(SpecificationError, match="the system toy has no pattern of activity"):
        load_experiment(toy, overrides={"activity": {"pattern": "uniform"}})


@pytest.mark.parametrize("name", list_conditions("cerebellum"))
def test_every_condition_of_the_cerebellum_loads_and_says_what_it_is(name: str) -> None:
    condition = list_conditions("cerebellum")[name]
    assert condition.description
    experiment = load_experiment("cerebellum", conditions=[name])
    control = load_experiment("cerebellum")
    assert name == "cx3cr1_knockout" or {**experiment.config, "conditions": []} != {**control.config, "conditions": []}


def test_the_calibrated_constants_are_those_that_the_calibration_chose() -> None:
    results = Path(__file__).parents[2] / "analysis" / "results" / "cerebellum_calibration.txt"
    for mode, conditions in (("both", []), ("inhibition", ["microglia_inhibition"])):
        part = results.read_text().split(f"mode {mode}: tried")[1].split("chosen:\n")[1]
        chosen = dict(line.strip().split(" = ") for line in part.splitlines() if " = " in line and ": " not in line)
        experiment = load_experiment("cerebellum", conditions=conditions)
        for key in list(chosen)[:4]:
            if mode == "both" or key != "rules.engulfment.probability":  # nothing is engulfed in the other
                section, _, name = key.rpartition(".")
                assert str(experiment.sections[section].parameters[name].value) == chosen[key], (mode, key)
