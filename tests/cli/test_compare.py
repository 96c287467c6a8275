"""``neuroprune compare``: a fair comparison, kept as it is made, and what a mistake is told."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

pytest.importorskip("torch")
from neuroprune.cli.app import app
from neuroprune.experiments.comparison import METHODS, Comparison, Setting, Trial, compare, run_trial
from neuroprune.experiments.comparison.methods import geometric

QUICK = Setting(epochs=2, images=400, batch_size=16)
SMALL = ("--epochs", 2, "--images", 400, "--batch-size", 16, "--device", "cpu", "--processes", 1)


def call(*arguments: object, status: int = 0) -> Any:
    result = CliRunner().invoke(app, ["compare", *map(str, arguments)])
    assert result.exit_code == status, result.output + result.stderr
    return result


@pytest.mark.parametrize("method", [name for name in METHODS if name != "dense"])
def test_every_method_meets_the_budget_exactly(method: str) -> None:
    trial = run_trial(QUICK, method, "cubic", 0.9, 0)
    assert trial.connections == 64 * 300 + 300 * 100 + 100 * 10
    assert trial.living == trial.connections - round(0.9 * trial.connections)
    assert trial.macs == trial.living  # of a perceptron
    assert trial.parameters <= trial.living + 410 and 0 <= trial.method_seconds < trial.seconds


def test_the_dense_network_is_whole_and_learns() -> None:
    trial = run_trial(QUICK, "dense", "", 0.0, 0)
    assert trial.living == trial.connections and set(trial.densities.values()) == {1.0}
    assert trial.test > 0.7 and trial.noisy <= trial.test + 0.05 and trial.occluded < trial.test


def test_a_trial_is_the_same_again_and_methods_start_alike() -> None:
    first, again = (run_trial(QUICK, "trophic", "decreasing", 0.95, 3) for _ in range(2))
    assert (first.test, first.validation, first.densities) == (again.test, again.validation, again.densities)
    assert run_trial(QUICK, "trophic", "decreasing", 0.95, 4).densities != first.densities


def test_noise_in_labels_and_imbalance_change_the_training_part_alone() -> None:
    plain, noisy, unbalanced = Setting().load(), Setting(label_noise=0.4).load(), Setting(imbalance=0.1).load()
    assert 0.3 < float((plain.train.y != noisy.train.y).float().mean()) < 0.5
    assert bool((plain.train.x == noisy.train.x).all()) and bool((plain.test.y == noisy.test.y).all())
    counts = unbalanced.train.y.bincount().tolist()
    assert counts[0] == plain.train.y.bincount().tolist()[0] and counts[9] < 0.25 * counts[0]


def trial(method: str, schedule: str, seed: int, validation: float, test: float, sparsity: float = 0.9) -> Trial:
    return Trial(method, schedule, sparsity, seed, validation, test, test, test, 100, 10, 12, 10, 1.0, 0.1)


def test_schedules_and_the_reference_are_chosen_on_validation_images() -> None:
    comparison = Comparison(
        QUICK,
        (
            trial("magnitude", "cubic", 0, 0.90, 0.80), trial("magnitude", "cubic", 1, 0.92, 0.84),
            trial("magnitude", "linear", 0, 0.70, 0.99), trial("magnitude", "linear", 1, 0.70, 0.99),
            trial("lamp", "cubic", 0, 0.80, 0.95), trial("lamp", "cubic", 1, 0.80, 0.95),
            trial("trophic", "cubic", 0, 0.95, 0.81), trial("trophic", "cubic", 1, 0.95, 0.87),
        ),
    )  # fmt: skip
    trophic, magnitude, lamp = comparison.rows(0.9)
    assert (trophic.method, magnitude.method, lamp.method) == ("trophic", "magnitude", "lamp")
    assert magnitude.schedule == "cubic" and math.isnan(magnitude.difference)
    assert trophic.difference == pytest.approx(0.02)  # of 0.01 and 0.03, paired by seed
    half = 12.706 * 0.0141421 / math.sqrt(2)  # Student's t with one degree of freedom
    assert trophic.interval == pytest.approx((0.02 - half, 0.02 + half), rel=1e-3)
    assert lamp.difference == pytest.approx(0.13)


def test_a_geometric_budget_divides_by_the_same_factor() -> None:
    budget = geometric(0.99)
    left = [budget.living(10**6, u) for u in (0.0, 0.5, 1.0)]
    assert left == [10**6, 10**5, 10**4]


def test_what_is_there_is_not_made_again(tmp_path: Path) -> None:
    arguments: dict[str, Any] = dict(methods=["magnitude"], sparsities=[0.9], seeds=[0, 1], out=tmp_path)
    first = compare(QUICK, **arguments)
    (tmp_path / "magnitude_decreasing_0.9_1.json").unlink()
    kept = json.loads((tmp_path / "magnitude_decreasing_0.9_0.json").read_text())
    kept["test"] = 0.125  # a mark that only reading can find
    (tmp_path / "magnitude_decreasing_0.9_0.json").write_text(json.dumps(kept))
    second = compare(QUICK, **arguments)
    assert [t.test for t in second.trials if t.method == "magnitude"] == [0.125, first.trials[-1].test]


def test_a_folder_of_another_setting_is_refused(tmp_path: Path) -> None:
    compare(QUICK, methods=[], sparsities=[0.9], seeds=[0], out=tmp_path)
    assert "another setting" in call("--out", tmp_path, status=1).stderr


def test_several_processes_find_what_one_does(tmp_path: Path) -> None:
    arguments: dict[str, Any] = dict(methods=["random"], sparsities=[0.9], seeds=[0, 1])
    one, two = (compare(QUICK, processes=n, **arguments) for n in (1, 2))
    assert [t.test for t in one.trials] == [t.test for t in two.trials]


def test_table_json_and_figure(tmp_path: Path) -> None:
    path = tmp_path / "compared.png"
    options = (*SMALL, "--rules", "random,trophic", "--sparsity", "0.9", "--seeds", 2, "--out", tmp_path / "trials")
    result = call(*options, "--figure", path)
    assert "trophic" in result.stdout and "reference" in result.stdout and "0.9 gone" in result.stdout
    assert path.read_bytes().startswith(b"\x89PNG")
    found = json.loads(call(*options, "--json").stdout)
    assert {row["method"] for row in found["rows"]} == {"random", "trophic"}
    assert len(found["trials"]) == 6 and found["setting"]["images"] == 400


def test_methods_are_listed_by_what_they_must_know() -> None:
    lines = {line.split()[0]: line for line in call("--rules", "list").stdout.splitlines()[1:]}
    assert lines.keys() == METHODS.keys()
    assert lines["synflow"].rstrip().endswith("weights") and lines["trophic"].rstrip().endswith("gradients")
    assert lines["winner-relative"].rstrip().endswith("activity")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--rules", "magnitud"), "no method 'magnitud' to compare: they are dense, random"),
        (("--schedules", "quick"), "no schedule 'quick'"),
        (("--sparsity", "1.0"), "it must lie between 0 and 1"),
        (("--sparsity", "most"), "'most' is no number"),
        (("--sparsity", ","), "at least one seed and one sparsity"),
        (("--schedules", ","), "give at least one schedule"),
        (("--imbalance", "0"), "above 0 and at most 1"),
        (("--lr", "-1"), "must be above 0"),
        (("--epochs", "1", "--images", "100"), "a training of 7 steps cannot be mapped onto 50 steps"),
        (("--figure", "a.txt"), "must end in .png"),
        (("--data", "nowhere"), "no images 'nowhere'"),
    ],
)
def test_mistakes(arguments: tuple[str, ...], message: str) -> None:
    assert message in call(*SMALL, *arguments, status=2).stderr
