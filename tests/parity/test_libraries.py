"""numpy, torch and array_api_strict agree bit for bit on what decisions are made of."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from neuroprune.core.clock import Now
from neuroprune.core.randomness import Draws
from neuroprune.core.tables import Tables, quantise, row_max, row_sum
from neuroprune.environment import Inhibition, Microglia
from neuroprune.environment.base import to_numpy
from neuroprune.rules import available_rules, decide
from neuroprune.testing import example_rule, example_tables, to_library

torch = pytest.importorskip("torch")
pytest.importorskip("array_api_strict")
CUDA = pytest.param(
    ("torch", "cuda"),
    marks=pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
    id="cuda",
)
ELSEWHERE = pytest.mark.parametrize(
    "elsewhere",
    [pytest.param(("torch", None), id="torch"), pytest.param(("array_api_strict", None), id="strict"), CUDA],
)
IDS = np.asarray([[-1, 0, 1, 2], [2**31, 2**53 + 1, 2**62, 2**63 - 1]])


def there(values: np.ndarray, elsewhere: tuple[Any, Any]) -> Any:
    """Return an array in another library, by way of a table."""
    (table,) = example_tables(shapes=[values.shape])
    (moved,) = to_library(Tables([table.with_traces({"values": values})]), *elsewhere)
    return moved["values"]


@ELSEWHERE
@pytest.mark.parametrize("purpose", ["", "tie"])
def test_draws(elsewhere: tuple[Any, Any], purpose: str) -> None:
    draws = Draws(seed=3, stream="rule", step=9)
    here = draws.uniform(IDS, purpose)
    np.testing.assert_array_equal(to_numpy(draws.uniform(there(IDS, elsewhere), purpose)), here)


@ELSEWHERE
def test_quantise(elsewhere: tuple[Any, Any]) -> None:
    values = np.random.default_rng(0).lognormal(sigma=8, size=(40, 50)) * np.asarray([1.0, -1.0] * 25)
    np.testing.assert_array_equal(to_numpy(quantise(there(values, elsewhere))), quantise(values))


def test_quantise_removes_last_bits() -> None:
    values = np.random.default_rng(1).lognormal(sigma=8, size=1000)
    np.testing.assert_allclose(quantise(values), values, rtol=2.0**-30)
    whole = np.round(values[values < 2**29])
    np.testing.assert_array_equal(quantise(whole * (1 + 2.0**-52)), whole)


@ELSEWHERE
def test_rows(elsewhere: tuple[Any, Any]) -> None:
    (table,) = example_tables(weights="integers", shapes=[(30, 200)])
    (other,) = to_library(Tables([table]), *elsewhere)
    for reduce in (row_sum, row_max):
        np.testing.assert_array_equal(to_numpy(reduce(other.weight, other.alive)), reduce(table.weight, table.alive))


@ELSEWHERE
@pytest.mark.parametrize("key", available_rules())
def test_rules_in_many_ties(key: str, elsewhere: tuple[Any, Any]) -> None:
    """Large tables of equal small integers, where a naive float32 comparison would decide differently."""
    rule = example_rule(available_rules()[key])
    tables = example_tables(rule.needs(), weights="integers", shapes=[(60, 50), (40, 30)])
    moved = to_library(tables, *elsewhere)
    now, draws = Now(step=1, age=7.0, dt=1.0, progress=0.5), Draws(1, rule.name, 1)
    for budget in (None, tables.n_alive() // 2) if rule.prunes else (None,):
        here, elsewhere_too = (
            decide(rule, tables, now, draws, budget),
            decide(rule, moved, now, draws, budget),
        )
        for one, other in zip(tables.after(here), moved.after(elsewhere_too), strict=True):
            np.testing.assert_array_equal(to_numpy(other.alive), one.alive)
            np.testing.assert_array_equal(to_numpy(other.weight), one.weight)


@ELSEWHERE
def test_environment(elsewhere: tuple[Any, Any]) -> None:
    tables = example_tables(["x", "y", "z"])
    now, draws = Now(step=0, age=9.0, dt=0.25, progress=0.1), Draws(1, "environment", 0)
    traces = []
    for where in (tables, to_library(tables, *elsewhere)):
        microglia, inhibition = Microglia(density=5e13), Inhibition()
        _, surveyed = microglia.advance(microglia.begin(where, draws), where, now, draws)
        where = where.with_traces(surveyed)
        _, inhibited = inhibition.advance(inhibition.begin(where, draws), where, now, draws)
        traces.append(where.with_traces(inhibited))
    for one, other in zip(*traces, strict=True):
        for name in (*Microglia.produces, *Inhibition.produces):
            assert type(other[name]) is type(other.weight)
            np.testing.assert_array_equal(to_numpy(other[name]), one[name], name)
