"""Experiments: what a file says is what runs, and what makes no sense is said at once."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import toy_system
from hypothesis import given
from hypothesis import strategies as st

from neuroprune.core.clock import Clock
from neuroprune.core.errors import RecordError, SpecificationError
from neuroprune.core.provenance import code_version
from neuroprune.core.units import to_float
from neuroprune.development import develop
from neuroprune.experiments import (
    find_model,
    list_conditions,
    list_models,
    load_experiment,
    record_path,
    run,
    running,
    write_toml,
)
from neuroprune.experiments.overrides import parse_assignment, parse_assignments, scale
from neuroprune.record import open_record


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return toy_system.install(tmp_path, monkeypatch)


def system(toy: Path, age: float = 0.0, **overrides: Any) -> toy_system.Parameters:
    loaded = load_experiment(toy, overrides={f"system.{k}": v for k, v in overrides.items()}).system_at(age)
    assert isinstance(loaded, toy_system.Parameters)
    return loaded


def refusal(toy: Path, key: str, value: Any, **more: Any) -> str:
    with pytest.raises(SpecificationError) as refused:
        load_experiment(toy, overrides={key: value}, **more)
    return str(refused.value)


# --- files ---


def test_a_file_becomes_an_experiment(toy: Path) -> None:
    experiment = load_experiment(toy)
    assert (experiment.name, experiment.system_name) == ("toy", "toy")
    assert experiment.clock == Clock(0.0, 8.0, 1.0)
    assert (experiment.activity, experiment.ages, experiment.traces) == (1.0, (2.0, 4.0), ())
    assert [(r.name, r.key) for r in experiment.rules_at(0)] == [("tagging", "tag"), ("loss", "random")]
    assert [e.name for e in experiment.environment_at(0)] == ["microglia"]
    assert system(toy).drive == pytest.approx(2e-9)
    assert system(toy).gain.at(5.0) == pytest.approx(2e-3)


def test_the_config_is_complete_and_json(toy: Path) -> None:
    config = load_experiment(toy, conditions=["no_loss_p4"]).config
    assert json.loads(json.dumps(config, allow_nan=False)) == config
    assert config["system"]["rest"] == "-0.07 V"
    assert config["rules"][1]["rate"] == "0.2 / day"
    assert config["windows"] == [{"key": "rules.loss.rate", "scale": 0, "from": "P4"}]
    assert config["conditions"] == ["no_loss_p4"]
    assert "Toy et al." not in json.dumps(config)


def test_models_are_found_by_name() -> None:
    assert "cerebellum" in list_models()
    assert find_model("cerebellum").name == "model.toml"
    with pytest.raises(SpecificationError, match=r"unknown model 'cortx': it must be one of .*cerebellum"):
        find_model("cortx")
    with pytest.raises(SpecificationError, match=r"no file .*mine\.toml"):
        find_model("mine.toml")


@pytest.mark.parametrize("name", list_models())
def test_every_model_and_condition_loads(name: str) -> None:
    for condition in [[], *([c] for c in list_conditions(name))]:
        experiment = load_experiment(name, conditions=condition)
        assert experiment.rules_at(experiment.clock.start)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "cells = 6",
            "cells = 6\ncels = 7",
            r"model\.toml: unknown key system\.cels: did you mean 'cells'\?",
        ),
        ("cells = 6", "", r"model\.toml: system needs cells: a whole number, above 0 and at most 1000"),
        ("cells = 6", "cells = 6.5", r"model\.toml: system\.cells = 6\.5: it must be a whole number"),
        ('name = "toy"', 'name = "tea"', r"model\.toml: unknown system 'tea': it must be one of .*toy"),
        ('name = "toy"', "", r"model\.toml: \[system\] needs name"),
        ('rule = "tag"', 'rule = "tagg"', r"model\.toml: rule 'tagging': unknown rule 'tagg'"),
        ('rule = "tag"', "", r"model\.toml: rule 'tagging' needs rule = "),
        ('name = "loss"', 'name = "tagging"', r"model\.toml: two rules are named 'tagging'"),
        ('name = "loss"', 'name = "microglia"', r"environment\.microglia and rules\.microglia share a name"),
        (
            "[environment.microglia]",
            "[environment.monocytes]",
            r"\[environment\.monocytes\]: unknown environment",
        ),
        (
            'rate = "0.2 / day"',
            "rate = 0.2",
            r'rules\.loss\.rate: 0\.2 has no unit: write it like "0\.2 / day"',
        ),
        ('rate = "0.2 / day"', 'rate = "0.2 mV"', r'rules\.loss\.rate: "0\.2 mV" has the wrong unit.*1/day'),
        ('rate = "0.2 / day"', 'rate = "-1 / day"', r'rules\.loss\.rate = "-1 / day": .*1/day, at least 0'),
        ('rate = "0.2 / day"', 'rate = "nan / day"', r"rules\.loss\.rate"),
        ('"1 mV"', "1", r"system\.gain = .*: 1 has no unit"),
        ('"P10"', '"P0"', r"system\.gain = .*: the ages must ascend"),
        ('"P10"', '"E10"', r"system\.gain.*'E10' is not valid: write it like P3"),
        ('to = "P8"', "to = 8", r'development\.to: 8 is not an age: write it like "P8"'),
        ('to = "P8"', 'to = "P0"', r"model\.toml: development ends at P0 but starts at P0"),
        ('step = "1 day"', 'step = "7 h"', r"model\.toml: P0 to P8 is 27\.4.* whole number of steps"),
        (
            '["P2", "P4"]',
            '["P2", "P9"]',
            r"development\.record has P9, which is no step of 1 days between P0 and P8",
        ),
        ('["P2", "P4"]', '["P2.5"]', r"development\.record has P2\.5, which is no step"),
        (
            'source = "Toy et al. 2001"',
            'sauce = "x"',
            r"system\.drive: unknown key sauce: did you mean 'source'\?",
        ),
        ('confidence = "read"', "confidence = 1", r"system\.drive\.confidence = 1: it must be text"),
        ("[development]", "[development", r"model\.toml is not valid TOML"),
        ("[development]", "[developement]", r"unknown key developement: did you mean 'development'\?"),
    ],
)
def test_what_makes_no_sense_is_named(toy: Path, old: str, new: str, message: str) -> None:
    assert old in toy_system.MODEL
    toy.write_text(toy_system.MODEL.replace(old, new, 1))
    with pytest.raises(SpecificationError, match=message) as refused:
        load_experiment(toy)
    assert "\n" not in str(refused.value) and "pydantic" not in str(refused.value)


def test_several_mistakes_are_all_named(toy: Path) -> None:
    toy.write_text(toy_system.MODEL.replace("cells = 6", "cells = 0\nlit = 3"))
    with pytest.raises(SpecificationError, match=r"system\.cells = 0: .*\(also wrong: system\.lit\)"):
        load_experiment(toy)


def test_an_unreadable_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_bytes(b"\xff\xfe")
    with pytest.raises(SpecificationError, match=r"bad\.toml is not valid TOML"):
        load_experiment(tmp_path / "bad.toml")


def test_a_file_extends_another(toy: Path) -> None:
    mine = toy.parent.parent / "mine.toml"
    mine.write_text(
        'extends = "toy/model.toml"\n[system]\ncells = 9\n[environment.microglia]\nreach = "50 um"\n'
        '[overrides]\n"rules.loss.rate" = { scale = 2 }\n'
    )
    experiment = load_experiment(mine, conditions=["half_drive"], overrides={"rules.tagging.threshold": 0.1})
    assert experiment.name == "mine"
    rules, microglia = experiment.rules_at(0), experiment.environment_at(0)[0]
    assert rules[1].model_dump()["rate"] == pytest.approx(0.4)
    assert rules[0].model_dump()["threshold"] == 0.1
    assert (microglia.model_dump()["presence"], microglia.model_dump()["reach"]) == (
        0.5,
        pytest.approx(50e-6),
    )
    assert experiment.config["system"]["cells"] == 9
    assert experiment.config["system"]["drive"] == "1.0 nS"


def test_rules_of_the_extending_file_replace_all(toy: Path) -> None:
    mine = toy.parent / "mine.toml"
    mine.write_text('extends = "model.toml"\n[[rules]]\nrule = "weakest_first"\nrate = "1 / day"\n')
    assert [r.name for r in load_experiment(mine).rules_at(0)] == ["weakest_first"]


def test_a_file_cannot_extend_itself(toy: Path) -> None:
    toy.write_text('extends = "model.toml"\n')
    with pytest.raises(SpecificationError, match="extends itself"):
        load_experiment(toy)


def test_a_rule_of_ones_own_is_found_beside_the_file(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (toy.parent / "mine.py").write_text(
        "from neuroprune.rules import Rule, Proposal\n"
        "class Nothing(Rule):\n"
        "    key = 'nothing'\n"
        "    def propose(self, tables, now, draws):\n"
        "        return [Proposal() for _ in tables]\n"
    )
    toy.write_text(toy_system.MODEL + '[[rules]]\nrule = "mine.py:Nothing"\n')
    monkeypatch.chdir("/")
    experiment = load_experiment(toy)
    assert experiment.rules_at(0)[-1].name == "nothing"
    assert experiment.config["rules"][-1]["rule"] == "mine.py:Nothing"


# --- overrides ---


def test_overrides_compose_in_order(toy: Path) -> None:
    both = load_experiment(toy, conditions=["half_drive"], overrides={"system.drive": {"scale": 3}})
    assert both.config["system"]["drive"] == "3.0 nS"
    replaced = load_experiment(toy, conditions=["half_drive"], overrides={"system.drive": "7 nS"})
    assert replaced.config["system"]["drive"] == "7 nS"
    twice = load_experiment(toy, conditions=["half_drive", "half_drive"])
    assert twice.config["system"]["drive"] == "0.5 nS"


def test_a_default_can_be_scaled(toy: Path) -> None:
    assert system(toy, rest={"scale": 0.5}).rest == pytest.approx(-0.035)


def test_a_window_holds_from_its_start_until_its_end(toy: Path) -> None:
    window = {"scale": 2, "from": "P2", "to": "P4"}
    drives = [system(toy, age, drive=window).drive for age in (0, 1.9, 2, 3.9, 4, 8)]
    assert drives == pytest.approx([2e-9, 2e-9, 4e-9, 4e-9, 2e-9, 2e-9])


def test_windows_act_on_top_of_what_holds_at_all_ages(toy: Path) -> None:
    experiment = load_experiment(toy, conditions=["no_loss_p4"], overrides={"rules.loss.rate": "1 / day"})
    assert [experiment.rules_at(age)[1].model_dump()["rate"] for age in (0, 4)] == [1.0, 0.0]


def test_overlapping_windows_multiply(toy: Path) -> None:
    windows = [{"scale": 2, "to": "P4"}, {"scale": 3, "from": "P2"}]
    drives = [system(toy, age, drive=windows).drive for age in (0, 2, 4)]
    assert drives == pytest.approx([4e-9, 12e-9, 6e-9])


def test_the_same_object_is_returned_while_nothing_changes(toy: Path) -> None:
    experiment = load_experiment(toy, overrides={"system.drive": {"scale": 2, "from": "P2", "to": "P4"}})
    assert experiment.system_at(0) is experiment.system_at(1) is experiment.system_at(5)
    assert experiment.system_at(0) is not experiment.system_at(3)


def test_an_impossible_window_is_found_before_anything_runs(toy: Path) -> None:
    late = {"scale": 3, "from": "P7"}
    message = refusal(toy, "environment.microglia.presence", late)
    assert "environment.microglia.presence = 1.5: it must be a number, between 0 and 1" in message
    assert "scaled by overrides" in message


def test_conditions_may_leave_out_quotes(toy: Path) -> None:
    experiment = load_experiment(toy, conditions=["unquoted"])
    assert experiment.rules_at(0)[0].model_dump()["threshold"] == 0.1


@pytest.mark.parametrize(
    ("key", "value", "message"),
    [
        ("system.cels", 3, "unknown parameter system.cels: did you mean 'cells'?"),
        ("rules.tagging.name", "x", "unknown parameter rules.tagging.name"),
        ("rules.tag.threshold", 0.1, "there is no rule 'tag' here: did you mean 'tagging'?"),
        ("environment.micro.presence", 0, "there is no environment 'micro' here"),
        ("nonsense", 0, "unknown key 'nonsense': it must be system.<parameter>"),
        ("system.shape", "square", 'system.shape = "square": it must be one of "round", "flat"'),
        ("system.shape", {"scale": 2}, 'system.shape cannot be scaled: "round" is not one number and a unit'),
        ("system.lit", {"scale": 2}, "system.lit cannot be scaled: false is not a number"),
        ("rules.loss.from", {"scale": 2}, "rules.loss.from cannot be scaled: it is not set"),
        ("system.drive", {"scale": "2 nS"}, "scale = '2 nS': it must be a number without a unit"),
        ("system.drive", {"scale": True}, "scale = True: it must be a number without a unit"),
        ("system.drive", {"value": 1, "scale": 2}, "must have either value = ... or scale = ..."),
        ("system.drive", {"scale": 2, "until": "P4"}, "unknown key until"),
        ("system.drive", {"scale": 2, "from": "P4", "to": "P2"}, "its window ends at P2 before it starts"),
        ("system.drive", {"scale": 2, "from": 4}, 'from = 4: write an age like "P7"'),
        ("system.drive", {"scale": 2, "from": "day 4"}, "from: age 'day 4' is not valid"),
        ("development.step", {"scale": 2, "from": "P4"}, "development.step cannot change with age"),
        ("system.drive", 2e-9, '2e-09 has no unit: write it like "2e-09 S"'),
    ],
)
def test_an_override_that_makes_no_sense_is_named(toy: Path, key: str, value: Any, message: str) -> None:
    assert message in refusal(toy, key, value, origin="--set")
    assert refusal(toy, key, value, origin="--set").startswith("--set")


def test_an_unknown_condition_is_named(toy: Path) -> None:
    with pytest.raises(SpecificationError, match=r"unknown condition 'half_drve' of toy: did you mean 'half_drive'"):
        load_experiment(toy, conditions=["half_drve"])


def test_start_and_stop_shorten_the_development(toy: Path) -> None:
    experiment = load_experiment(toy, start="P1", stop=3.0)
    assert (experiment.clock.start, experiment.clock.stop, experiment.ages) == (1.0, 3.0, (2.0,))
    with pytest.raises(SpecificationError, match="--from: age 'three' is not valid"):
        load_experiment(toy, start="three")
    with pytest.raises(SpecificationError, match=r"has P2, which is no step of 1 days between P0\.5"):
        load_experiment(toy, start="P0.5", stop="P7.5", overrides={"development.step": "1 day"})


numbers = st.floats(1e-6, 1e6) | st.integers(1, 10**6)
factors = st.floats(1e-6, 1e6)


@given(number=numbers, unit=st.sampled_from([" nS", "nS", " pS", " * nS", " nS*s/ms"]), factor=factors)
def test_scaling_text_scales_the_quantity(number: float, unit: str, factor: float) -> None:
    text = f"{number!r}{unit}"
    assert to_float(scale(text, factor), "S") == pytest.approx(factor * to_float(text, "S"), rel=1e-12)


@given(points=st.lists(st.tuples(st.floats(0, 100), numbers), min_size=1), factor=factors)
def test_scaling_a_course_scales_its_values_and_keeps_its_ages(points: list[Any], factor: float) -> None:
    course = [[f"P{age!r}", f"{number!r} mV"] for age, number in points]
    scaled = scale(course, factor)
    assert [age for age, _ in scaled] == [age for age, _ in course]
    for (_, new), (_, old) in zip(scaled, course, strict=True):
        assert to_float(new, "V") == pytest.approx(factor * to_float(old, "V"), rel=1e-12)


@given(number=st.integers(-(10**6), 10**6), factor=st.integers(0, 100))
def test_whole_numbers_stay_whole(number: int, factor: int) -> None:
    scaled = scale(number, float(factor))
    assert scaled == number * factor and isinstance(scaled, int)


@pytest.mark.parametrize("value", ["1 s + 2 ms", "1 s - 2 ms", "P7", "round", True, None, [], ["a"], {"a": 1}])
def test_what_is_no_quantity_cannot_be_scaled(value: Any) -> None:
    with pytest.raises(ValueError, match=r"is not|not set"):
        scale(value, 2.0)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("k=0.3 / day", "0.3 / day"),
        ("k = '5 ms'", "5 ms"),
        ("k=3", 3),
        ("k=1e-3", 1e-3),
        ("k=true", True),
        ("k=flat", "flat"),
        ("k=2024-01-01", "2024-01-01"),
        ('k=[["P0", "1 mV"]]', [["P0", "1 mV"]]),
        ("k={scale=0.5, from='P7'}", {"scale": 0.5, "from": "P7"}),
        ("k=a=b", "a=b"),
    ],
)
def test_assignments(text: str, value: Any) -> None:
    assert parse_assignment(text) == ("k", value)


@pytest.mark.parametrize("text", ["k", "k=", "=3", "k={scale=", "k=[1"])
def test_malformed_assignments_are_refused(text: str) -> None:
    with pytest.raises(SpecificationError, match="--set"):
        parse_assignment(text)


def test_a_key_may_be_set_twice(toy: Path) -> None:
    texts = ["system.drive={scale=2, to='P2'}", "system.drive={scale=3, from='P4'}", "system.cells=4"]
    experiment = load_experiment(toy, overrides=parse_assignments(texts))
    drives = [experiment.system_at(age).model_dump()["drive"] for age in (0, 2, 4)]
    assert drives == pytest.approx([4e-9, 2e-9, 6e-9])
    assert experiment.config["system"]["cells"] == 4


# --- display ---


@pytest.mark.parametrize("sources", [False, True])
def test_written_toml_loads_as_the_same_experiment(toy: Path, sources: bool) -> None:
    odd = {"rules.loss.rate": [{"scale": 0.1, "from": "P2", "to": "P3"}, {"value": "1 / day", "from": "P5"}]}
    experiment = load_experiment(toy, conditions=["half_drive", "no_loss_p4"], overrides=odd, stop="P6")
    written = toy.parent.parent / "toy.toml"
    written.write_text(write_toml(experiment, sources=sources))
    again = load_experiment(written)
    without = {"conditions": None}
    assert again.config | without == experiment.config | without
    assert again.document.description == "a toy"
    assert ("Toy et al. 2001" in written.read_text()) == sources


def test_sources_are_kept_for_display(toy: Path) -> None:
    experiment = load_experiment(toy, conditions=["no_loss_p4"], overrides={"system.cells": 8}, origin="--set")
    rows = {row.key: row for row in experiment.sources()}
    assert rows["system.gain"].origin == str(toy)
    assert (rows["system.drive"].source, rows["system.drive"].confidence) == ("Toy et al. 2001", "read")
    assert (rows["system.cells"].value, rows["system.cells"].origin) == (8, "--set")
    assert rows["system.rest"].origin == "default"
    assert rows["rules.loss.rate"].source == "Toy et al. 2002"  # the window, listed last
    assert "rules.loss.from" not in rows


# --- runs ---


def test_a_run_leaves_a_record(toy: Path, tmp_path: Path) -> None:
    record = run(toy, seed=3, conditions=["half_drive"], out=tmp_path)
    assert record.complete and record.seed == 3
    np.testing.assert_allclose(record.measures()["drive"], 1e-9)
    path = record_path(load_experiment(toy, conditions=["half_drive"]), 3, tmp_path)
    assert path.name == "toy-half_drive-seed3.nc"
    assert open_record(path).decisions() == record.decisions()


def test_without_a_folder_nothing_is_written(toy: Path, tmp_path: Path) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert run(toy).complete
    assert sorted(tmp_path.rglob("*")) == before


def test_windows_reach_the_substrate_and_the_rules(toy: Path) -> None:
    record = run(toy, conditions=["no_loss_p4"], overrides={"system.drive": {"scale": 2, "from": "P4"}})
    np.testing.assert_allclose(record.development["drive"].values, [2e-9] * 4 + [4e-9] * 4)
    deaths = record.development["deaths"].values
    assert deaths[:4].sum() > 0 and deaths[4:].sum() == 0


class RunStoppedError(Exception):
    pass


def interrupt_at(step: int):
    def progress(p) -> None:
        if p.step == step:
            raise RunStoppedError

    return progress


def test_an_interrupted_run_resumes_to_the_same_end(toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(running, "develop", partial(develop, checkpoint_every=0))
    whole = run(toy)
    with pytest.raises(RunStoppedError):
        run(toy, out=tmp_path, progress=interrupt_at(6))
    said, steps = list[str](), list[int]()
    resumed = run(toy, out=tmp_path, resume=True, say=said.append, progress=lambda p: steps.append(p.step))
    assert resumed.decisions() == whole.decisions()
    assert said[0].startswith("resuming")
    assert steps == [6, 7, 8]  # it was stopped before step 6 was saved


def test_a_complete_record_is_returned_as_it_is(toy: Path, tmp_path: Path) -> None:
    first = run(toy, out=tmp_path)
    said: list[str] = []
    again = run(toy, out=tmp_path, resume=True, say=said.append)
    assert again.decisions() == first.decisions()
    assert said == [f"{tmp_path / 'toy-seed1.nc'} is complete already"]


def test_resuming_another_run_is_refused(toy: Path, tmp_path: Path) -> None:
    run(toy, out=tmp_path)
    for key, value, difference in [
        ("system.cells", 7, r"config\.system\.cells is 6, but this run's is 7"),
        ("rules.loss.rate", "1 / day", r'config\.rules\.loss\.rate is "0\.2 / day", but this run\'s is "1 / day"'),
    ]:
        with pytest.raises(RecordError, match=f"of another run: its {difference}"):
            run(toy, out=tmp_path, resume=True, overrides={key: value})
    with pytest.raises(RunStoppedError):
        run(toy, out=tmp_path, progress=interrupt_at(6))
    with pytest.raises(RecordError, match="is the record of another run"):
        run(toy, out=tmp_path, resume=True, overrides={"system.cells": 7})


def test_a_record_of_another_configuration_is_replaced_if_asked(toy: Path, tmp_path: Path) -> None:
    with pytest.raises(RunStoppedError):
        run(toy, out=tmp_path, progress=interrupt_at(6))
    path, said = tmp_path / "toy-seed1.nc", list[str]()
    for cells, before in [(7, "6"), (8, "7")]:  # an interrupted record, then a complete one
        asked: dict[str, Any] = {"overrides": {"system.cells": cells}, "resume": True, "stale": "replace"}
        assert run(toy, out=tmp_path, say=said.append, **asked).connections.sizes["connection"] == 4 * cells
        difference = f"its config.system.cells is {before}, but this run's is {cells}"
        assert said[0] == f"replacing {path}, the record of another run: {difference}"
        said.clear()
        run(toy, out=tmp_path, say=said.append, **asked)
        assert said == [f"{path} is complete already"]
        said.clear()


def test_resuming_nothing_starts_and_says_so(toy: Path, tmp_path: Path) -> None:
    said: list[str] = []
    assert run(toy, out=tmp_path, resume=True, say=said.append).complete
    assert "starting from the beginning" in said[0]


def test_a_truncated_record_is_not_resumed(toy: Path, tmp_path: Path) -> None:
    run(toy, out=tmp_path)
    path = tmp_path / "toy-seed1.nc"
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    with pytest.raises(RecordError, match="not a record, or truncated"):
        run(toy, out=tmp_path, resume=True)


def test_records_of_other_code_are_named_and_made_anew_only_when_asked(
    toy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(toy_system.Toy, "provenance", lambda self: {"neuroprune": "old"})
    run(toy, out=tmp_path)
    said: list[str] = []
    path = record_path(load_experiment(toy), 1, tmp_path)
    written = path.read_bytes()
    run(toy, out=tmp_path, resume=True, say=said.append)
    assert said == [f"{path} is complete already, made by other code (old)"] and path.read_bytes() == written
    monkeypatch.setattr(toy_system.Toy, "provenance", lambda self: {"neuroprune": code_version()})
    record = run(toy, out=tmp_path, resume=True, stale="replace", say=said.append)
    assert f"replacing {path}, made by other code (old)" in said
    assert record.identity["provenance"]["neuroprune"] == code_version()


def test_the_version_of_the_code_follows_the_sources(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for folder in ("core", "rules"):
        (tmp_path / folder).mkdir()
    (tmp_path / "development.py").write_text("")
    monkeypatch.setattr("neuroprune.core.provenance._PACKAGE", tmp_path)
    versions = set()
    for text in ("a = 1", "a = 2", "a = 1"):
        (tmp_path / "rules" / "mine.py").write_text(text)
        versions.add(code_version.__wrapped__())
    assert len(versions) == 2
