"""Observations, what is read of a record, and the verdict: each by hand."""

from __future__ import annotations

import json
import math
import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
import toy_system
from matplotlib.axes import Axes
from matplotlib.patches import Rectangle

from neuroprune.core.clock import Clock
from neuroprune.core.errors import SpecificationError
from neuroprune.core.tables import Table, Tables
from neuroprune.experiments import (
    Experiment,
    Judgement,
    Observation,
    Scorecard,
    load_experiment,
    read_observations,
    run,
    validate,
)
from neuroprune.experiments.observables import MEASURED, OBSERVABLES, find_observable, observe
from neuroprune.experiments.observations import Confidence
from neuroprune.plotting import plot_scorecard
from neuroprune.record import Record, Recorder, innervation, open_record, to_tree

MINIMAL = {
    "row": 1,
    "says": '"weight is lost"',
    "measure": '"total_weight"',
    "age": '"P4"',
    "accept": "[0, 60]",
    "kind": '"fitted"',
    "source": '"Toy et al. 2001"',
    "confidence": '"read"',
}
"""An observation of the toy system, as TOML writes its values."""


ELIMINATED = {"measure": '"eliminated_fraction"', "age": None, "cause": '"loss"', "from": '"P0"', "to": '"P4"'}


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return toy_system.install(tmp_path, monkeypatch)


def write(toy: Path, *entries: dict[str, Any], modes: str = "") -> Path:
    """Write observations that differ from the minimal one; None leaves a key out."""
    lines = [modes]
    for entry in entries:
        lines.append("[[observations]]")
        lines += [f"{key} = {value}" for key, value in {**MINIMAL, **entry}.items() if value is not None]
    toy.with_name("validation.toml").write_text("\n".join(lines))
    return toy


def observe_toy(toy: Path, **changes: Any) -> Observation:
    return read_observations(write(toy, changes)).observations[0]


def judged(values: tuple[float, ...], *, mode: str = "both", **changes: Any) -> Judgement:
    """Return the judgement of values against 1 .. 2."""
    own = {"accept": (1.0, 2.0)} if not {"accept", "min", "max"} & changes.keys() else {}
    fields: dict[str, Any] = {"row": 1, "says": "s", "measure": "total_weight", "kind": "fitted", "source": "x"}
    observation = Observation.model_validate({**fields, "confidence": "read", **own, **changes})
    asked = {"asked": ({"age": 4.0},) * (2 if observation.is_course else 1)}
    compared = {"asked_of_reference": ({"age": 4.0},) if observation.has_reference else ()}
    return Judgement(observation.model_copy(update={**asked, **compared}), mode, values)


def scorecard_of(*judgements: Judgement) -> Scorecard:
    modes = tuple(dict.fromkeys(j.mode for j in judgements))
    return Scorecard("toy", "0", (1, 2, 3, 4, 5), modes, judgements, 5, 0, 1.0, ({"engine": "none"},))


# --- files ---


def test_an_observation_is_read(toy: Path) -> None:
    entry = {
        "row": 9,
        "part": '"c"',
        "condition": '"half_drive"',
        "compare": '"difference"',
        "reference": '["no_loss_p4", "unquoted"]',
        "reference_options": '{age = "P2"}',
        "accept": None,
        "min": -3,
        "why": '"the drive is weak"',
    }
    observation = observe_toy(toy, **entry)
    assert (observation.name, observation.condition) == ("9c", ("half_drive",))
    assert observation.interval == (-3.0, math.inf)
    assert observation.setting == "half drive − no loss p4 + unquoted" and observation.when == "P4; P2"
    own, reference = observation.readings(("unquoted",))
    assert own.conditions == ("unquoted", "half_drive") and own.options == (("age", 4.0),)
    assert reference.conditions == ("unquoted", "no_loss_p4", "unquoted") and reference.options == (("age", 2.0),)


def test_a_part_that_is_a_word_stands_apart(toy: Path) -> None:
    assert observe_toy(toy, part='"P7"').name == "1 P7"
    with pytest.raises(SpecificationError, match=r"validation\.toml: row 1 P7\.row"):
        observe_toy(toy, part='"P7"', row='"1"')


def test_a_part_that_is_a_number_is_not_taken_for_a_row(toy: Path) -> None:
    read = read_observations(write(toy, {"row": 11}, {"row": 1, "part": '"1"'}, {"row": 1, "part": '"1a"'}))
    assert [o.name for o in read.observations] == ["11", "1 1", "1 1a"]


def test_control_is_no_condition_and_other_models_take_no_mode(toy: Path) -> None:
    control = observe_toy(toy, condition='"control"')
    assert control.condition == () and control.readings(("unquoted",))[0].conditions == ("unquoted",)
    assert observe_toy(toy, condition='["control"]').condition == ()
    assert read_observations(write(toy, {}, modes="[modes]\nplain = ['control']")).modes == {"plain": ()}
    other = observe_toy(toy, model=f'"{toy}"', condition='"half_drive"')
    assert other.readings(("unquoted",))[0].conditions == ("half_drive",)


def test_modes_are_in_the_order_of_the_file(toy: Path) -> None:
    read = read_observations(write(toy, {}, {"row": 3}, modes="[modes]\nplain = []\nweak = ['half_drive']"))
    assert read.modes == {"plain": (), "weak": ("half_drive",)}
    chosen = read.select(rows=[3], modes=["weak"])
    assert [o.row for o in chosen.observations] == [3] and list(chosen.modes) == ["weak"]
    with pytest.raises(SpecificationError, match=r"validation\.toml has no row 2: it has 1, 3"):
        read.select(rows=[2])
    with pytest.raises(SpecificationError, match=r"has no row 4: it has 1, 3"):
        read.select(rows=range(3, 10**12))  # of which no list could be made
    with pytest.raises(SpecificationError, match=r"nothing to judge"):
        read.select(rows=[])
    with pytest.raises(SpecificationError, match=r"has no mode 'week': did you mean 'weak'"):
        read.select(modes=["week"])


def test_what_extends_a_model_is_held_against_its_observations(toy: Path, tmp_path: Path) -> None:
    write(toy, {})
    mine = tmp_path / "mine.toml"
    mine.write_text(f"extends = '{toy}'")
    assert read_observations(mine).path == toy.with_name("validation.toml")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"row": 0}, "row 0.row = 0: it must be a whole number, at least 1"),
        ({"row": None}, "observation 1 needs row"),
        ({"says": None}, "row 1 needs says: text"),
        ({"says": '" "'}, 'row 1.says = " ": it must not be empty'),
        ({"source": '""'}, 'row 1.source = "": it must not be empty'),
        ({"confidence": '"hearsay"'}, 'row 1.confidence = "hearsay": it must be one of "read", "recalled", "derived"'),
        ({"kind": '"guessed"'}, 'row 1.kind = "guessed": it must be one of "fitted", "assumed", "predicted"'),
        ({"compare": '"less"'}, 'row 1.compare = "less": it must be one of "value"'),
        ({"sourse": '"x"'}, "unknown key row 1.sourse: did you mean 'source'?"),
        ({"asked": "[]"}, "unknown key row 1.asked"),
        ({"measure": '"total_wait"'}, "row 1.measure: unknown measure 'total_wait': did you mean 'total_weight'?"),
        ({"condition": '"half_dive"'}, "row 1.condition: unknown condition 'half_dive': did you mean 'half_drive'?"),
        ({"condition": "3"}, "row 1.condition = 3: it must be the name of a condition"),
        ({"condition": '["unquoted", 3]'}, 'row 1.condition = ["unquoted", 3]: it must be the name of a condition'),
        ({"condition": '["control", "unquoted"]'}, '"control" is a run without conditions: it stands alone'),
        ({"condition": '["unquoted", "half_drive", "unquoted"]'}, ": 'unquoted' is there twice"),
        (
            {"compare": '"ratio"', "reference": '["half_drive", "control"]'},
            'row 1.reference = ["half_drive", "control"]: "control" is a run without conditions: it stands alone',
        ),
        ({"model": '"cerebelum"'}, "row 1.model: unknown model 'cerebelum'"),
        ({"age": None}, 'row 1 needs age: an age such as "P7"'),
        ({"age": 4}, "row 1.age: 4 is not an age"),
        ({"from": '"P4"'}, "unknown key row 1.from"),
        *(
            ({"accept": toml}, f"row 1.accept = {said}: it must be two finite numbers [lowest, highest]; what has one")
            for toml, said in (
                ("[2, 1]", "[2, 1]"),
                ("3", "3"),
                ("[1]", "[1]"),
                ("[1, 2, 3]", "[1, 2, 3]"),
                ("[true, 2]", "[true, 2]"),
                ('"ab"', '"ab"'),
                ("[-inf, inf]", "[-Infinity, Infinity]"),
                ("[0, inf]", "[0, Infinity]"),
                ("[nan, 1]", "[NaN, 1]"),
            )
        ),
        ({"accept": None, "min": "inf"}, "row 1.min = Infinity: it must be a finite number"),
        ({"accept": None, "max": "nan"}, "row 1.max = NaN: it must be a finite number"),
        ({"accept": None, "max": '"1"'}, 'row 1.max = "1": it must be a finite number'),
        ({"accept": None}, "row 1: it needs one of accept"),
        ({"max": 3}, "row 1: it needs one of accept"),
        ({"reference": '"control"'}, "row 1: compare = 'value' takes no reference"),
        ({"compare": '"ratio"', "reference": '"x"'}, "row 1.reference: unknown condition 'x'"),
        (
            {"compare": '"ratio"', "reference_options": '{from = "P4"}'},
            "unknown key row 1.reference_options.from: it must be one of age",
        ),
        ({"compare": '"falling"'}, "row 1: compare = 'falling' accepts what goes the right way: leave out accept"),
        ({"compare": '"falling"', "accept": None}, 'row 1: write ages = ["P3", "P7", ...]'),
        (
            {"compare": '"rising"', "accept": None, "age": None, "ages": '["P2", "p4"]'},
            "row 1.age = \"p4\": age 'p4' is not valid",
        ),
        *(
            (
                {"compare": '"rising"', "accept": None, "age": None, "ages": ages},
                f"row 1: ages = {said}: they must ascend",
            )
            for ages, said in (('["P2", "P0", "P8"]', "P2, P0, P8"), ('["P2", "P8", "P8"]', "P2, P8, P8"))
        ),
        (
            {"compare": '"rising"', "accept": None, "measure": '"step_mean"', "ages": '["P2", "P4"]'},
            "row 1: step_mean has no age, so it cannot fall or rise with it",
        ),
        (
            {"measure": '"cells_with_inputs"', "at_least": 0},
            "row 1.at_least = 0: it must be a whole number, at least 1",
        ),
    ],
)
def test_what_makes_no_sense_is_named(toy: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecificationError) as refused:
        read_observations(write(toy, changes))
    assert str(refused.value).startswith(f"{toy.with_name('validation.toml')}: ")
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("observation = 1", "unknown key observation: did you mean 'observations'?"),
        ("observations = []", "observations must be a list of tables"),
        ("[modes]\nboth = 'x'\n", "modes.both = 'x': it must be a list of conditions"),
        ("[modes]\nboth = [3]\n", "modes.both = [3]: it must be the name of a condition, a list of them"),
        ("[modes]\nboth = ['unquoted', 'unquoted']\n", "'unquoted' is there twice: it can be put on once"),
        ("[modes]\nboth = ['control', 'unquoted']\n", '"control" is a run without conditions: it stands alone'),
        ("[modes]\n'../both' = []\n", "modes has '../both': records of a mode are in a folder of its name"),
        ("[modes]\n'' = []\n", "modes has '': records of a mode are in a folder of its name, which must be letters"),
        ("[modes]\n'größe' = []\n", "modes has 'größe'"),
        ("[modes]\nboth = []\nBoth = []\n", "modes.Both and modes.both differ by case only"),
        ("[modes]\nboth = ['x']\n", "modes.both: unknown condition 'x': it must be one of control"),
        ("modes = []", "modes must be a table"),
    ],
)
def test_files_that_make_no_sense_are_named(toy: Path, text: str, message: str) -> None:
    toy.with_name("validation.toml").write_text(text)
    with pytest.raises(SpecificationError) as refused:
        read_observations(toy)
    assert message in str(refused.value)


def test_a_part_comes_once_and_a_file_is_needed(toy: Path) -> None:
    with pytest.raises(SpecificationError, match="two observations are 1a"):
        read_observations(write(toy, {"part": '"a"'}, {"part": '"a"'}))
    toy.with_name("validation.toml").unlink()
    with pytest.raises(SpecificationError, match=r"toy has no observations: there is no .*validation\.toml"):
        read_observations(toy)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"age": '"P3"'}, "row 1: age = P3 is not an age that is recorded: valid is P0, P2, P4, P8"),
        (
            {"condition": '"half_drive"', "age": '"P3"'},
            "row 1 (half_drive): age = P3 is not an age that is recorded",
        ),
        (
            {"measure": '"step_mean"', "age": None, "of": '"total_weight"', "from": '"P2"', "to": '"P9"'},
            "row 1: to = P9 is not an age that is lived through: valid is between P0 and P8",
        ),
        (
            {"measure": '"step_mean"', "age": None, "of": '"weight"', "from": '"P2"', "to": '"P4"'},
            "row 1: of = 'weight' is not a scalar that is measured: did you mean 'total_weight'?",
        ),
        (
            {"measure": '"cells_with_trace"', "trace": '"tag"', "at_least": 1},
            "row 1: trace = 'tag' is not a trace that is recorded: it must be one of weight",
        ),
        (
            {"measure": '"eliminated_fraction"', "age": None, "cause": '"los"', "from": '"P0"', "to": '"P4"'},
            "row 1: cause = 'los' is not the name of a rule: did you mean 'loss'?",
        ),
        *(
            (
                {"measure": '"step_mean"', "age": None, "of": '"total_weight"', "from": '"P4"', "to": f'"{stop}"'},
                f"row 1: from = P4 and to = {stop}: it must be later",
            )
            for stop in ("P4", "P2")
        ),
        (
            {"measure": '"feedback_exponent"', "age": None, "from": '"P4"', "to": '"P2"'},
            "row 1: from = P4 and to = P2: it must be later",
        ),
        (
            {"measure": '"step_mean"', "age": None, "of": '"total_weight"', "from": '"P4.2"', "to": '"P4.8"'},
            "row 1: no step begins from P4.2 on and before P4.8: there is one every 1 days, the first at P0",
        ),
        (
            {"measure": '"step_mean"', "age": None, "of": '"total_weight"', "from": '"P7.5"', "to": '"P8"'},
            "row 1: no step begins from P7.5 on and before P8",
        ),
        (
            {"measure": '"winner_kept"', "age": None, "early": '"P4"', "late": '"P2"'},
            "row 1: early = P4 and late = P2: it must not be earlier",
        ),
        (
            {"measure": '"rank_correlation"', "age": None, "trace": '"weight"', "trace_age": '"P4"', "late": '"P2"'},
            "row 1: trace_age = P4 and late = P2: it must not be earlier",
        ),
        *(
            ({**ELIMINATED, given: value}, f"row 1: trace and value come together, but {missing} is missing")
            for given, value, missing in (("trace", '"weight"', "value"), ("value", "1.0", "trace"))
        ),
    ],
)
def test_what_no_record_could_answer_is_found_before_a_run(toy: Path, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(SpecificationError) as refused:
        validate(write(toy, {"row": 2}, changes), seeds=[1])
    assert message in str(refused.value)
    assert not Path("runs").exists()


@pytest.mark.parametrize(
    "changes",
    [
        {"measure": '"winner_kept"', "age": None, "early": '"P4"', "late": '"P4"'},
        {"measure": '"rank_correlation"', "age": None, "trace": '"weight"', "trace_age": '"P4"', "late": '"P4"'},
        {"measure": '"feedback_exponent"', "age": None, "from": '"P2"', "to": '"P4"'},
        {"measure": '"step_mean"', "age": None, "of": '"total_weight"', "from": '"P6.5"', "to": '"P7.5"'},
        {"measure": '"step_mean"', "age": None, "of": '"total_weight"', "from": '"P7"', "to": '"P8"'},
        ELIMINATED,
        {**ELIMINATED, "trace": '"weight"', "value": "1.0"},
    ],
)
def test_what_a_record_can_answer_is_not_refused(toy: Path, changes: dict[str, Any]) -> None:
    path = write(toy, changes)
    own = read_observations(path).observations[0].readings(())[0]
    find_observable(own.measure).check(dict(own.options), load_experiment(path))
    observe(run(path, seed=3), own.measure, dict(own.options))


# --- the files that come with neuroprune ---


@pytest.mark.parametrize(("model", "rows"), [("cerebellum", [*range(1, 19)]), ("dlgn", [18])])
def test_shipped_observations_can_be_answered(model: str, rows: list[int]) -> None:
    """Reading a file makes sure that the conditions exist which it names."""
    observations = read_observations(model)
    assert sorted({o.row for o in observations.observations}) == rows
    experiments: dict[Any, Experiment] = {}
    for conditions in observations.modes.values():
        for reading in (r for o in observations.observations for r in o.readings(conditions)):
            key = (reading.model or model, reading.conditions)
            if key not in experiments:
                experiments[key] = load_experiment(key[0], conditions=key[1])
            find_observable(reading.measure).check(dict(reading.options), experiments[key])
    assert len(experiments) >= len(observations.modes)


@pytest.mark.parametrize("model", ["cerebellum", "dlgn"])
def test_observations_and_parameters_share_the_words_for_confidence(model: str) -> None:
    words = {source.confidence for source in load_experiment(model).sources()} - {""}
    assert words and words <= set(get_args(Confidence))


# --- what is read of a record ---


def grown(weights: list[list[float]], later: list[list[float]], **measures: float) -> Record:
    """Return the record of cells with these inputs at P0 and those at P1."""
    first = np.asarray(weights, float)
    ids = np.arange(first.size).reshape(first.shape)
    tables = [Tables([Table("cells", ids, w > 0, w, ids)]) for w in (first, np.asarray(later, float))]
    recorder = Recorder("toy", tables[0], Clock(0.0, 1.0, 1.0), (), {"seed": 1, "config": {}})
    for age, table in enumerate(tables):
        recorder.snapshot(float(age), table, {k: v * (1 + age) for k, v in measures.items()}, None, {})
    return Record(to_tree(recorder))


def test_scalars_and_what_is_derived_from_them() -> None:
    record = grown([[1, 2]], [[1, 0]], drive=7.0)
    assert observe(record, "drive", {"age": 1.0}) == 14.0
    with pytest.raises(SpecificationError, match=r"has no measure 'dive': did you mean 'drive'\?"):
        observe(record, "dive", {"age": 1.0})
    with pytest.raises(SpecificationError, match=r"age P0\.5 was not recorded: it must be one of P0, P1"):
        observe(record, "drive", {"age": 0.5})


def test_a_cell_without_inputs_is_not_multiply_innervated() -> None:
    record = grown([[1, 2], [1, 1], [3, 1], [1, 0]], [[1, 2], [1, 0], [0, 0], [0, 0]], mono_innervated=0.25)
    assert observe(record, "multi_innervated", {"age": 0.0}) == 0.75
    assert observe(record, "multi_innervated", {"age": 1.0}) == 0.25


def test_inputs_and_pairs_are_read() -> None:
    record = grown([[3, 1, 2], [1, 5, 0]], [[4, 0, 6], [0, 5, 0]])
    assert observe(record, "cells_with_inputs", {"age": 0.0, "at_least": 3}) == 0.5
    assert observe(record, "cells_with_trace", {"trace": "weight", "age": 1.0, "at_least": 2}) == 0.5
    assert observe(record, "winner_kept", {"early": 0.0, "late": 1.0}) == 0.5
    assert observe(record, "pair_size_mean", {"age": 1.0}) == 5.0
    assert observe(record, "pair_size_sd", {"age": 1.0}) == 1.0
    assert observe(record, "rank_correlation", {"trace": "weight", "trace_age": 0.0, "late": 1.0}) == 0.5
    exponent = observe(record, "feedback_exponent", {"start": 0.0, "stop": 1.0})
    assert exponent == innervation.feedback_exponent(record, 0.0, 1.0).exponent
    gone = grown([[1, 1]], [[0, 0]])
    assert math.isnan(observe(gone, "pair_size_mean", {"age": 1.0}))


def test_courses_of_steps_are_read(toy: Path) -> None:
    record = run(toy, seed=3)
    weight = record.development["total_weight"].values
    options = {"of": "total_weight", "start": 2.0, "stop": 4.0}
    assert observe(record, "step_mean", options) == weight[2:4].mean()
    first, last = ({"of": "total_weight", "age": age} for age in (2.0, 8.0))
    assert observe(record, "day_mean", first) == weight[2] and observe(record, "day_mean", last) == weight[7]
    assert observe(record, "decay_constant", options) == innervation.decay_constant(record, "total_weight", 2.0, 4.0)
    options = {"cause": "loss", "start": 0.0, "stop": 8.0, "trace": None, "value": None}
    lost = (record.connections["cause"].values == record.causes.index("loss")).sum()
    assert observe(record, "eliminated_fraction", options) == lost / 24


def test_preference_is_a_ratio_of_fractions(toy: Path) -> None:
    toy.write_text(toy.read_text().replace('record = ["P2", "P4"]', 'record = ["P2", "P4"]\ntraces = ["tag"]'))
    record = run(toy, seed=3)
    tag, lost = record.snapshots["tag"].values[0], record.connections["cause"].values == record.causes.index("loss")
    low, high = np.unique(tag)[[0, -1]]
    options = {"cause": "loss", "start": 0.0, "stop": 8.0, "trace": "tag"}
    expected = lost[tag == high].mean() / lost[tag == low].mean()
    assert observe(record, "preference", {**options, "value": high, "over": low}) == pytest.approx(expected)
    assert math.isnan(observe(record, "preference", {**options, "value": high, "over": 0.123}))


@pytest.mark.parametrize("name", sorted({*OBSERVABLES, *MEASURED}))
def test_toml_writes_from_and_to(name: str) -> None:
    observable = find_observable(name)
    keys = {observable.key(option) for option in observable.options.model_fields}
    assert keys and not keys & {"start", "stop"}
    assert not keys & ({*Observation.model_fields} | {"ages"})  # a key of both would mean two things


# --- comparisons ---


@pytest.mark.parametrize(
    ("compare", "values", "expected"),
    [
        ("value", [3.0], 3.0),
        ("difference", [3.0, 5.0], -2.0),
        ("ratio", [3.0, 6.0], 0.5),
        ("falling", [5.0, 3.0, 2.5], -0.5),
        ("falling", [5.0, 3.0, 3.5], 0.5),
        ("rising", [1.0, 3.0, 3.5], -0.5),
        ("rising", [1.0, 3.0, 1.0], 2.0),
        ("ratio", [3.0, 0.0], math.nan),
        ("difference", [3.0, math.nan], math.nan),
        ("falling", [5.0, math.nan, 2.5], math.nan),
    ],
)
def test_comparisons_by_hand(compare: str, values: list[float], expected: float) -> None:
    accepted = {} if compare in ("falling", "rising") else {"min": 0.0}
    observation = judged((), compare=compare, **{"accept": None, **accepted}).observation
    assert observation.combine(values) == pytest.approx(expected, nan_ok=True)


def test_every_step_must_go_the_right_way() -> None:
    course = judged((), compare="falling", accept=None).observation
    assert course.accepts(-1e-9) and not course.accepts(0.0) and not course.accepts(0.1)


def test_bounds_are_inside() -> None:
    interval = judged(()).observation
    assert [interval.accepts(v) for v in (0.999, 1.0, 2.0, 2.001, math.nan)] == [False, True, True, False, False]
    above, below = judged((), min=1.0).observation, judged((), max=1.0).observation
    assert above.accepts(math.inf) and above.accepts(1.0) and not above.accepts(0.9)
    assert below.accepts(-math.inf) and below.accepts(1.0) and not below.accepts(1.1)


# --- verdicts ---


@pytest.mark.parametrize(
    ("values", "inside", "holds"),
    [
        ((1.2, 1.4, 1.5, 1.6, 1.8), 5, True),
        ((1.2, 1.4, 1.5, 1.6, 2.1), 4, True),
        ((1.2, 1.4, 1.5, 0.9, 2.1), 3, False),  # although the mean is inside
        ((1.9, 1.9, 1.9, 1.9, 9.0), 4, False),  # because the mean is not
        ((1.5, 1.5, 1.5, 1.5, math.nan), 4, False),
        ((1.5,), 1, True),
        ((1.5, 1.5, 1.5, 2.1), 3, False),  # 3 of 4 are less than 80 %
    ],
)
def test_the_verdict(values: tuple[float, ...], inside: int, holds: bool) -> None:
    judgement = judged(values)
    assert (judgement.inside, judgement.holds) == (inside, holds)


def test_mean_and_spread() -> None:
    judgement = judged((1.0, 2.0, 6.0))
    assert judgement.mean == 3.0 and judgement.sd == pytest.approx(math.sqrt(7))
    assert math.isnan(judged((1.0,)).sd)
    undefined = judged((1.0, math.nan, math.nan))
    assert math.isnan(undefined.mean) and undefined.undefined == 2


GOOD, BAD = (1.5,) * 5, (3.0,) * 5


def test_a_row_holds_when_its_parts_do() -> None:
    card = scorecard_of(judged(GOOD, part="a"), judged(BAD, part="b"), judged(GOOD, row=2))
    assert [(r.number, r.holds) for r in card.rows()] == [(1, False), (2, True)]


def test_counts_by_kind() -> None:
    card = scorecard_of(
        judged(GOOD, part="a"),
        judged(BAD, part="b", kind="predicted"),
        judged(GOOD, row=2, part="a", kind="predicted"),
        judged(GOOD, row=2, part="b", kind="predicted"),
        judged(BAD, row=2, part="a", kind="predicted", mode="other"),
    )
    counts = card.counts()
    assert vars(counts["fitted"]) == {"holding": 1, "total": 1, "rows_holding": 1, "rows": 1}
    assert vars(counts["predicted"]) == {"holding": 2, "total": 3, "rows_holding": 1, "rows": 2}
    assert vars(counts["all"]) == {"holding": 3, "total": 4, "rows_holding": 1, "rows": 2}
    assert counts["assumed"].total == 0
    assert card.counts("other")["all"].holding == 0


def test_only_what_is_fitted_or_assumed_in_the_default_mode_must_hold() -> None:
    good, prediction = judged(GOOD), judged(BAD, row=2, kind="predicted")
    assert scorecard_of(good, prediction, judged(BAD, mode="other")).acceptable
    assert not scorecard_of(good, judged(BAD, row=2, kind="assumed")).acceptable
    assert not scorecard_of(judged(BAD), prediction).acceptable


# --- runs ---


TWO_MODES = "[modes]\nplain = []\nweak = ['half_drive']"


def test_runs_are_made_once_and_compared_by_seed(toy: Path) -> None:
    path = write(
        toy,
        {"part": '"a"'},
        {"part": '"b"', "condition": '"no_loss_p4"', "age": '"P8"', "compare": '"difference"'},
        {"part": '"c"', "accept": None, "compare": '"falling"', "age": None, "ages": '["P0", "P4", "P8"]'},
    )
    said: list[str] = []
    card = validate(path, seeds=[4, 2], say=said.append)
    assert (card.runs_made, card.runs_reused, card.model, card.modes) == (4, 0, "toy", ("default",))
    assert card.engines == ({"engine": "none"},)
    control, treated = (
        {
            seed: open_record(f"runs/validate/default/toy{name}-seed{seed}.nc").measures()["total_weight"]
            for seed in (4, 2)
        }
        for name in ("", "-no_loss_p4")
    )
    a, b, c = card.judgements
    assert a.values == (control[4][2], control[2][2])
    assert b.values == (treated[4][3] - control[4][3], treated[2][3] - control[2][3]) != (0, 0)
    falls = [max(np.diff(control[seed][[0, 2, 3]])) for seed in (4, 2)]
    assert list(c.values) == falls
    assert any(text.endswith("building the toy") for text in said) and not any(".nc" in text for text in said)


def test_a_second_call_makes_no_runs(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(toy, {}, {"row": 2, "condition": '"no_loss_p4"'}, modes=TWO_MODES)
    told: list[tuple[float, int]] = []
    first = validate(path, seeds=[1], progress=lambda done, total: told.append((done, total)))
    assert (first.runs_made, first.runs_reused) == (4, 0)
    assert told[0] == (0.125, 4) and told[-1] == (4.0, 4) and told == sorted(told)
    monkeypatch.setattr(toy_system.Toy, "sample", None)  # no step can be made
    second = validate(path, seeds=[1])
    assert (second.runs_made, second.runs_reused) == (0, 4)
    assert [j.values for j in second.judgements] == [j.values for j in first.judgements]
    part = validate(path, seeds=[1], rows=[2], modes=["weak"])
    assert (part.runs_reused, part.modes) == (1, ("weak",)) and len(part.judgements) == 1


def test_more_seeds_add_runs_and_fresh_or_another_model_makes_them_anew(toy: Path) -> None:
    path = write(toy, {})
    validate(path, seeds=[1])
    told: list[float] = []
    more = validate(path, seeds=[1, 2], progress=lambda done, _: told.append(done))
    assert (more.runs_made, more.runs_reused) == (1, 1)
    assert told[0] == 1.125  # the run that was there counts
    fresh = validate(path, seeds=[1], fresh=True)
    assert (fresh.runs_made, fresh.runs_reused) == (1, 0)
    toy.write_text(toy.read_text().replace("cells = 6", "cells = 3"))
    changed = validate(path, seeds=[1])
    assert changed.runs_made == 1 and changed.judgements[0].mean < more.judgements[0].mean


def test_what_reads_a_run_can_be_sent_to_a_process(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def work_here(work: Any, tasks: list[Any], *, hear: Any, **_: Any) -> list[Any]:
        sent = pickle.loads(pickle.dumps((work, tasks)))
        return [
            pickle.loads(pickle.dumps(sent[0](task, lambda told, k=k: hear(k, told)))) for k, task in enumerate(sent[1])
        ]

    path = write(toy, {}, {"row": 2, "part": '"b"', "condition": '"no_loss_p4"'})
    alone = validate(path, seeds=[1], out="alone")
    monkeypatch.setattr("neuroprune.experiments.parallel.work_in_processes", work_here)
    together = validate(path, seeds=[1], processes=2)
    assert together.runs_made == 2
    assert [j.values for j in together.judgements] == [j.values for j in alone.judgements]


def test_a_mode_is_put_on_every_run_of_the_model_and_on_no_other(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MEASURED.add("drive")
    try:
        entry = {"measure": '"drive"', "accept": "[0, 1]"}
        path = write(toy, entry, {**entry, "row": 2, "model": f'"{toy}"'}, modes=TWO_MODES)
        card = validate(path, seeds=[1])
    finally:
        MEASURED.remove("drive")
    plain, other, weak, same = (j.mean for j in card.judgements)
    assert (plain, other, weak, same) == pytest.approx((2e-9, 2e-9, 1e-9, 2e-9))
    assert card.runs_made == 3
    assert Path("runs/validate/model-toy/toy-seed1.nc").exists()
    assert Path("runs/validate/weak/toy-half_drive-seed1.nc").exists()


def test_a_condition_may_last_longer(toy: Path) -> None:
    conditions = toy.with_name("conditions.toml")
    conditions.write_text(conditions.read_text() + '\n[long]\n"development.to" = "P10"\n')
    entry = {"condition": '"long"', "age": '"P10"', "compare": '"difference"', "reference_options": '{age = "P8"}'}
    card = validate(write(toy, entry), seeds=[1])
    assert card.judgements[0].observation.when == "P10; P8" and card.judgements[0].values[0] <= 0


def test_what_a_record_cannot_answer_names_the_row(toy: Path) -> None:
    path = write(toy, {"row": 7, "part": '"b"', "measure": '"mono_innervated"'})
    with pytest.raises(SpecificationError, match=r"toy, seed 1: row 7b: .* has no measure 'mono_innervated'"):
        validate(path, seeds=[1])


def test_conditions_that_change_nothing_share_the_runs_of_the_control(toy: Path) -> None:
    conditions = toy.with_name("conditions.toml")
    conditions.write_text(conditions.read_text() + '\n[nothing]\n\n[again]\n"system.drive" = { scale = 0.5 }\n')
    entries = [{"row": k, "condition": f'"{name}"'} for k, name in enumerate(("control", "nothing"), 1)]
    halves = [{"row": k, "condition": f'"{name}"'} for k, name in enumerate(("half_drive", "again"), 3)]
    card = validate(write(toy, *entries, *halves), seeds=[1])
    assert card.runs_made == 2
    control, nothing, half, again = (j.values for j in card.judgements)
    assert control == nothing and half == again


def test_overrides_are_put_on_after_the_conditions(toy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    MEASURED.add("drive")
    try:
        entry = {"measure": '"drive"', "accept": "[0, 1]"}
        path = write(toy, entry, {**entry, "row": 2, "condition": '"half_drive"'})
        everywhere = validate(path, seeds=[1], overrides={"system.drive": {"scale": 3}}, out="a")
        assert [j.mean for j in everywhere.judgements] == pytest.approx([6e-9, 3e-9])
        chosen = validate(path, seeds=[1], overrides=lambda c: {"system.drive": "5 nS"} if c else {}, out="b")
        assert [j.mean for j in chosen.judgements] == pytest.approx([2e-9, 5e-9])
    finally:
        MEASURED.remove("drive")


def test_seeds_come_once(toy: Path) -> None:
    with pytest.raises(SpecificationError, match=r"seeds = \[1, 1\]: it must list at least one seed, each once"):
        validate(write(toy, {}), seeds=[1, 1])


# --- JSON and figure ---


def test_json_has_null_where_nothing_is_defined() -> None:
    card = scorecard_of(judged((1.0, math.nan), min=0.5, part="a"), judged(GOOD, compare="ratio"))
    content = json.loads(json.dumps(card.as_dict(), allow_nan=False))
    first, second = content["observations"]
    assert first["accepted"] == [0.5, None] and first["values"] == [1.0, None]
    assert (first["mean"], first["sd"], first["inside"], first["holds"]) == (None, None, 1, False)
    assert first["reference"] is None and second["reference"] == [] and first["part"] == "a"
    assert content["rows"] == [{"row": 1, "mode": "both", "holds": False}]
    assert content["counts"]["both"]["fitted"] == {"holding": 1, "total": 2, "rows_holding": 0, "rows": 1}
    assert content["runs"] == {"made": 5, "reused": 0} and content["engines"] == [{"engine": "none"}]


def markers(ax: Axes) -> list[tuple[str, float, float]]:
    """Return shape, x and y of every marker."""
    points = [(line.get_marker(), np.ravel(line.get_xdata()), np.ravel(line.get_ydata())) for line in ax.lines]
    return [(str(shape), round(float(x[0]), 3), float(y[0])) for shape, x, y in points if len(x) == 1]


def test_the_figure_scales_every_interval_to_the_same_band() -> None:
    card = scorecard_of(
        judged((1.5, 1.5, 1.0, 2.0, 1.75)),
        judged(BAD, row=2, kind="predicted"),
        judged((30.0,) * 5, row=3, kind="assumed", min=20.0),
        judged((-2.0, -1.0), row=4, compare="falling", accept=None),
        judged((math.nan, 1.0), row=5),
        judged((0.0, 9.0), row=6, mode="other"),
    )
    ax = plot_scorecard(card)
    bars = [bar for bar in ax.patches if isinstance(bar, Rectangle)]
    assert [bar.get_y() + 0.3 for bar in bars] == pytest.approx([0, 1, 2, 3, 4])
    bands = [(bar.get_x(), bar.get_x() + bar.get_width()) for bar in bars]
    assert bands == [(0, 1), (0, 1), pytest.approx((0, 2.1)), pytest.approx((-1.1, 1)), (0, 1)]

    def drawn(y: float) -> list[tuple[str, float]]:
        return [(shape, x) for shape, x, at in markers(ax) if at == y]

    assert drawn(0) == [("o", 0.5), ("o", 0.5), ("o", 0.0), ("o", 1.0), ("o", 0.75), ("o", 0.55)]
    assert drawn(1) == [("o", 2.0)] * 5 + [("X", 2.0)]
    assert drawn(2)[-1] == ("o", 0.5)
    assert drawn(3) == [("o", 0.0), ("o", 0.5), ("o", 0.25)]
    assert [m for m, x in drawn(4) if not math.isnan(x)] == ["o"]
    texts = [text.get_text() for text in ax.texts]
    assert {"F  5/5", "P  0/5", "A  5/5", "undefined in 1"} <= set(texts)
    assert "fitted 2 of 3, assumed 1 of 1, predicted 0 of 1" in ax.get_title(loc="right")
    ax = plot_scorecard(card, mode="other", ax=ax)
    assert "mode other" in ax.get_title(loc="right")


def test_values_beyond_the_axis_are_arrows() -> None:
    ax = plot_scorecard(scorecard_of(judged((-7.0, 90.0))))
    assert markers(ax) == [("<", -1.06, 0), (">", 2.06, 0), ("X", 2.0, 0)]


def test_a_scorecard_is_frozen() -> None:
    card = scorecard_of(judged(GOOD))
    with pytest.raises(AttributeError):
        card.model = "other"  # type: ignore[misc]
    assert replace(card, model="other").model == "other"
