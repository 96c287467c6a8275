"""The contract of a pruning rule, as checks that any third party can run."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import product
from typing import Any, get_args

import numpy as np
from pydantic import ValidationError

from neuroprune.core.clock import Now
from neuroprune.core.errors import BudgetError
from neuroprune.core.randomness import Draws
from neuroprune.core.tables import Decision, Tables
from neuroprune.environment.base import to_numpy
from neuroprune.rules.base import Rule
from neuroprune.rules.select import decide
from neuroprune.testing.examples import (
    Library,
    Weights,
    example_rule,
    example_tables,
    import_library,
    map_arrays,
    to_library,
)

# Libraries sum in different orders; 30 significant bits are what `quantise` keeps.
_RTOL, _ATOL = 1e-8, 1e-12


@dataclass(frozen=True)
class CheckReport:
    """What :func:`check_rule` did.

    Parameters
    ----------
    rule : str
        Key of the rule.
    passed : tuple of str
        Checks that every instance passed or, for some instances, did not apply.
    skipped : mapping of str to str
        Checks that applied to no instance, or whose library is not installed, and why.
    """

    rule: str
    passed: tuple[str, ...]
    skipped: Mapping[str, str]


class _SkippedError(Exception):
    """A check that does not apply; its message says why."""


def check_rule(rule: type[Rule] | Rule | Iterable[Rule]) -> CheckReport:
    """Check that a rule keeps the contract of :class:`neuroprune.rules.base.Rule`.

    Parameters
    ----------
    rule : Rule, several of them, or a subclass of Rule
        Instances to try. A class is tried as :func:`example_rule` makes it.

    Returns
    -------
    CheckReport
        Which checks passed and which were skipped.

    Raises
    ------
    AssertionError
        At the first check that fails; the message names the rule and the check.
    """
    if isinstance(rule, type):
        rule = example_rule(rule)
    instances = [rule] if isinstance(rule, Rule) else list(rule)
    if not instances:
        raise AssertionError("no rule was given to check")
    passed: dict[str, None] = {}
    skipped: dict[str, str] = {}
    for instance in instances:
        for name, check in _CHECKS.items():
            try:
                check(instance)
                passed[name] = None
            except _SkippedError as reason:
                skipped[name] = str(reason)
            except Exception as error:
                detail = str(error) if type(error) is AssertionError else f"{type(error).__name__}: {error}"
                raise AssertionError(f"rule {instance!r} fails the check {name!r}: {detail}") from error
    return CheckReport(instances[0].key, tuple(passed), {k: v for k, v in skipped.items() if k not in passed})


def _now(rule: Rule) -> Now:
    """Return a moment of one day in the rule's window."""
    if rule.start is not None and rule.stop is not None:
        age = (rule.start + rule.stop) / 2
    elif rule.start is not None:
        age = rule.start + rule.ramp
    else:
        age = 7.0 if rule.stop is None else rule.stop - rule.ramp - 1.0
    return Now(step=3, age=age, dt=1.0, progress=0.5)


def _decide(rule: Rule, tables: Tables, budget: int | None = None) -> Decision:
    return decide(rule, tables, _now(rule), Draws(seed=11, stream=rule.name, step=3), budget)


def _budgets(rule: Rule, tables: Tables) -> tuple[int | None, ...]:
    return (None, tables.n_alive() // 3) if rule.prunes else (None,)


def _cases(rule: Rule) -> Iterator[tuple[Tables, int | None]]:
    for seed, weights in product(range(2), get_args(Weights)):
        tables = example_tables(rule.needs(), seed, weights=weights)
        for budget in _budgets(rule, tables):
            yield tables, budget


Facts = dict[str, np.ndarray]


def _facts(decision: Decision, tables: Tables) -> list[Facts]:
    """Return what was decided for each table as numpy arrays of the table's shape."""
    facts = []
    for table, change in zip(tables, decision.changes, strict=True):
        values = {
            "eliminate": change.eliminate,
            "form": change.form,
            "agent": change.agent,
            "weight": change.weight,
            **{f"trace {name}": trace for name, trace in change.traces.items()},
        }
        facts.append({k: np.broadcast_to(to_numpy(v), table.shape) for k, v in values.items() if v is not None})
    return facts


def _assert_same(got: list[Facts], expected: list[Facts], case: str) -> None:
    for k, (a, b) in enumerate(zip(got, expected, strict=True)):
        assert a.keys() == b.keys(), f"{case}: it decides about {sorted(a)} instead of {sorted(b)}"
        for what in a:
            exact = a[what].dtype.kind != "f"
            same = np.array_equal(a[what], b[what]) if exact else np.allclose(a[what], b[what], _RTOL, _ATOL)
            assert same, f"{case}: {what} differs in table {k}"


def _same_in(library: Library) -> Callable[[Rule], None]:
    def check(rule: Rule) -> None:
        try:
            import_library(library)
        except ModuleNotFoundError:
            raise _SkippedError(f"{library} is not installed") from None
        for tables, budget in _cases(rule):
            expected = _facts(_decide(rule, tables, budget), tables)
            there = to_library(tables, library)
            _assert_same(_facts(_decide(rule, there, budget), there), expected, f"budget {budget} in {library}")

    return check


def _permutes(rule: Rule) -> None:
    random = np.random.default_rng(5)
    for tables, budget in _cases(rule):
        rows = [random.permutation(t.shape[0]) for t in tables]
        slots = [np.argsort(random.random(t.shape), axis=1) for t in tables]

        def shuffle(k: int, array: np.ndarray, rows=rows, slots=slots) -> np.ndarray:
            array = array[rows[k]] if array.shape[0] > 1 else array
            return np.take_along_axis(array, slots[k], axis=1) if array.shape[1] > 1 else array

        expected = [
            {what: shuffle(k, v) for what, v in facts.items()}
            for k, facts in enumerate(_facts(_decide(rule, tables, budget), tables))
        ]
        shuffled = Tables(map_arrays(tables, shuffle)[::-1])
        got = _facts(_decide(rule, shuffled, budget), shuffled)[::-1]
        _assert_same(got, expected, f"tables, rows and slots in another order, budget {budget}")


def _valid(rule: Rule, tables: Tables, budget: int | None) -> Decision:
    """Return the rule's decision after checking that it can be carried out."""
    decision = _decide(rule, tables, budget)
    assert decision.cause == rule.name, f"the cause is {decision.cause!r}"
    after = tables.after(decision)
    for table, new, change, facts in zip(tables, after, decision.changes, _facts(decision, tables), strict=True):
        ids, alive, was = to_numpy(table.ids), to_numpy(new.alive), to_numpy(table.alive)
        assert rule.prunes or change.eliminate is None, "it eliminates, but `prunes` is false"
        assert rule.forms or change.form is None, "it forms, but `forms` is false"
        assert set(rule.produces) <= set(change.traces), f"it does not give {rule.produces}"
        assert not (facts.get("eliminate", False) & ~was).any(), "a dead input is eliminated"
        assert not (alive & (ids < 0)).any(), "padding is alive"
        for what, values in facts.items():
            assert np.isfinite(values).all(), f"{what} is not finite"
        weight = to_numpy(new.weight)
        assert (weight >= 0).all(), "a weight is negative"
        assert not weight[~alive].any(), "a dead input has weight"
        if "agent" in facts:
            assert facts["agent"].dtype == np.int64 and (facts["agent"] >= -1).all(), "agents must be int64, -1 or more"
    return decision


def _decides_validly(rule: Rule) -> None:
    for tables, budget in _cases(rule):
        _valid(rule, tables, budget)
        _valid(rule, Tables([replace(t, candidates=None) for t in tables]), budget)


def _keeps_budgets(rule: Rule) -> None:
    if not rule.prunes:
        raise _SkippedError("the rule eliminates nothing")
    for weights in get_args(Weights):
        tables = example_tables(rule.needs(), weights=weights)
        alive = tables.n_alive()
        eligible = 0
        for table, p in zip(tables, rule.propose(tables, _now(rule), Draws(11, rule.name, 3)), strict=True):
            takes = np.full(table.shape, True) if p.score is not None else np.asarray(p.hazard) > 0
            eligible += int((takes & np.asarray(table.alive)).sum())
        for budget in range(alive + 1):
            left = tables.after(_decide(rule, tables, budget)).n_alive()
            expected = min(budget, eligible)
            assert left == alive - expected, f"{alive - left} of {alive} inputs go where it should be {expected}"
        for budget in (-1, alive + 1):
            try:
                _decide(rule, tables, budget)
            except BudgetError:
                continue
            raise AssertionError(f"budget {budget} of {alive} living inputs is not refused")


def _runs_freely(rule: Rule) -> None:
    if not rule.prunes:
        raise _SkippedError("the rule eliminates nothing")
    now = _now(rule)
    for seed in range(3):
        tables = example_tables(rule.needs(), seed)
        quota = rule.quota(tables, now)
        assert quota is None or 0 <= quota < np.inf, f"the quota is {quota}"
        for table, proposal in zip(tables, rule.propose(tables, now, Draws(0, rule.name, seed)), strict=True):
            if quota is None:
                hazard = np.broadcast_to(to_numpy(proposal.hazard), table.shape)[table.alive]
                assert (np.isfinite(hazard) & (hazard >= 0)).all(), "a hazard is negative or not finite"
        _decide(rule, tables)


def _takes_empty_tables(rule: Rule) -> None:
    full = example_tables(rule.needs())
    dead = Tables([replace(t, alive=np.zeros_like(t.alive), weight=np.zeros_like(t.weight)) for t in full])
    empty = [example_tables(rule.needs(), shapes=[shape])[0] for shape in ((0, 5), (5, 0), (0, 0))]
    for tables in (Tables([]), dead, *(Tables([t]) for t in empty), Tables([*empty, *full, *empty])):
        for library in ("numpy", "array_api_strict"):
            try:
                there = to_library(tables, library)
            except ModuleNotFoundError:  # said by the check of that library
                continue
            for budget in _budgets(rule, there):
                decision = _valid(rule, there, budget)
                assert len(decision.changes) == len(there)


def _takes_silence(rule: Rule) -> None:
    for tables, budget in _cases(rule):
        silent = tables.with_traces([{name: np.zeros_like(t[name]) for name in rule.needs()} for t in tables])
        _valid(rule, silent, budget)
        _valid(rule, Tables([replace(t, weight=np.zeros_like(t.weight)) for t in silent]), budget)


def _is_pure(rule: Rule) -> None:
    for tables, budget in _cases(rule):
        parameters = rule.model_dump()
        guarded = map_arrays(tables, lambda _, array: array.copy())
        map_arrays(guarded, lambda _, array: array.setflags(write=False) or array)
        first = _facts(_decide(rule, guarded, budget), guarded)
        for again in (rule, type(rule)(**parameters)):
            _assert_same(_facts(_decide(again, guarded, budget), guarded), first, "the same call again")
        assert rule.model_dump() == parameters, "its parameters changed"


def _ignores_other_tables(rule: Rule) -> None:
    for tables, _ in _cases(rule):
        if rule.quota(tables, _now(rule)) is not None:
            raise _SkippedError("the rule ranks inputs across all tables")
        first, others = Tables(tables[:1]), tables[1:]
        alone, beside = _facts(_decide(rule, first), first), _facts(_decide(rule, tables), tables)[:1]
        assert others
        _assert_same(beside, alone, "beside an unrelated table")


def _refuses_bad_parameters(rule: Rule) -> None:
    good = rule.model_dump()
    bad: list[tuple[str, Any]] = [("no_such_parameter", 1.0)]
    for name, field in type(rule).model_fields.items():
        for bound in field.metadata:
            bad += [(name, limit - 1) for limit in [getattr(bound, "ge", None)] if limit is not None]
            bad += [(name, limit + 1) for limit in [getattr(bound, "le", None)] if limit is not None]
            bad += [(name, getattr(bound, edge)) for edge in ("gt", "lt") if hasattr(bound, edge)]
        if isinstance(good[name], float):
            bad += [(name, float("nan")), (name, float("inf"))]
    for name, value in bad:
        try:
            type(rule)(**{**good, name: value})
        except ValidationError:
            continue
        raise AssertionError(f"{name} = {value!r} is not refused")


_CHECKS: dict[str, Callable[[Rule], None]] = {
    "decides validly": _decides_validly,
    "is pure": _is_pure,
    "is the same in torch": _same_in("torch"),
    "is the same in array_api_strict": _same_in("array_api_strict"),
    "permutes": _permutes,
    "runs freely": _runs_freely,
    "keeps budgets": _keeps_budgets,
    "takes empty tables": _takes_empty_tables,
    "takes silence": _takes_silence,
    "ignores other tables": _ignores_other_tables,
    "refuses bad parameters": _refuses_bad_parameters,
}
