"""Rules that rank: the least important inputs go first, at a rate or to a budget."""

import math
from abc import abstractmethod
from collections.abc import Sequence
from typing import ClassVar, Literal

from pydantic import Field, model_validator

from neuroprune.core.clock import Course, Now, course_done
from neuroprune.core.randomness import Array, Draws
from neuroprune.core.tables import Table, Tables, namespace, quantise
from neuroprune.core.units import PerDay
from neuroprune.rules.base import Proposal, Rule

Scope = Literal["network", "table", "erdos_renyi", "cell"]


class Ranking(Rule):
    """A rule that gives each input an importance; subclasses write :meth:`importance`.

    Parameters
    ----------
    rate : per day, optional
        Hazard of elimination, averaged over the course; without it the rule needs a budget.
    course : {"constant", "decreasing", "increasing", "cubic", "pulse", "at_once"}
        How the rate changes between ``from`` and ``to``, which it then needs.
    steepness : float
        See :func:`neuroprune.core.clock.course_done`.
    scope : {"network", "table", "erdos_renyi", "cell"}
        Who is compared: all inputs of the network; those of each table, of which the same share is kept in all;
        those of each table, of which smaller ones keep more; or those of each cell, which all keep the same share.

    Notes
    -----
    In a step, the expected number of eliminations of a rule that runs freely is :math:`n (1 - e^{-h\\,dt})` of
    :math:`n` living inputs. Inputs that were formed in the same step do not go.

    With the scope ``erdos_renyi`` the density of a table is proportional to
    :math:`(n_{in} + n_{out} + \\sum_d k_d) / (n_{in} n_{out} \\prod_d k_d)` with the extents :math:`k_d` of a kernel,
    up to 1 (Mocanu et al. 2018, Nat. Commun. 9:2383; Evci et al. 2020, arXiv:1911.11134).
    """

    prunes: ClassVar[bool] = True

    rate: PerDay | None = Field(default=None, ge=0)
    course: Course = "constant"
    steepness: float = Field(default=8.0, gt=0)
    scope: Scope = "network"

    @model_validator(mode="after")
    def _course_has_ends(self) -> "Ranking":
        if self.course != "constant" and (self.start is None or self.stop is None):
            raise ValueError(f'course "{self.course}" needs both "from" and "to"')
        return self

    def needs(self) -> tuple[str, ...]:
        return (*self.requires, "erdos_renyi") if self.scope == "erdos_renyi" else self.requires

    def hazard(self, now: Now) -> float | None:
        """Return the hazard per day, averaged over the step at `now`; None without a rate."""
        if self.rate is None:
            return None
        if self.course == "constant" or self.start is None or self.stop is None:
            return self.rate * self.openness(now.age)
        span = self.stop - self.start
        u = [min(1.0, max(0.0, (age - self.start) / span)) for age in (now.age, now.age + now.dt)]
        done = [course_done(self.course, x, self.steepness) for x in u]
        return self.rate * (done[1] - done[0]) * span / now.dt

    def quota(self, tables: Tables, now: Now) -> float | None:
        hazard = self.hazard(now)
        return None if hazard is None else -math.expm1(-hazard * now.dt) * tables.n_alive()

    def allot(self, tables: Tables, budget: int) -> Sequence[int] | None:
        if self.scope in ("network", "cell"):
            return None
        if self.scope == "table":
            return allotment(tables, budget, [1.0] * len(tables))
        empty = [0 in table.shape for table in tables]
        raw = [0.0 if e else float(t["erdos_renyi"][0, 0]) for t, e in zip(tables, empty, strict=True)]
        return allotment(tables, budget, raw)

    @abstractmethod
    def importance(self, table: Table, draws: Draws) -> Array:
        """Return a number for each input, shape (n_post, n_slots), finite where alive; the lowest go first."""

    def propose(self, tables: Tables, now: Now, draws: Draws) -> Sequence[Proposal]:
        proposals = []
        for table in tables:
            importance = self.importance(table, draws)
            if self.scope == "cell":
                importance = rank_in_cell(table, importance, draws)
            newborn = table.full("newborn") > 0 if "newborn" in table else None
            proposals.append(Proposal(score=-importance, protected=newborn))
        return proposals


def rank_in_cell(table: Table, values: Array, draws: Draws) -> Array:
    """Return the share of a cell's living inputs that each input reaches in the order of `values`.

    Returns
    -------
    array of float64, shape (n_post, n_slots)
        Of the k-th of n, counted from 0, ``(k + 1/2) / n``; equals are ordered by draws. 1 where dead.
    """
    xp = namespace(table.ids)
    if 0 in table.shape:
        return values
    dead = xp.full_like(values, math.inf)
    values = quantise(xp.where(table.alive, values, xp.zeros_like(values)))
    by_draw = xp.argsort(draws.uniform(table.ids, "rank in cell"), axis=1)
    shuffled = xp.take_along_axis(xp.where(table.alive, values, dead), by_draw, axis=1)
    order = xp.take_along_axis(by_draw, xp.argsort(shuffled, axis=1, stable=True), axis=1)
    rank = xp.astype(xp.argsort(order, axis=1), xp.float64)
    n = xp.sum(xp.astype(table.alive, xp.float64), axis=1, keepdims=True)
    share = (rank + 0.5) / xp.where(n > 0, n, xp.ones_like(n))
    return xp.where(table.alive, share, xp.ones_like(share))


def allotment(tables: Tables, budget: int, raw: Sequence[float]) -> list[int]:
    """Return how many inputs go in each table, so that densities are proportional to `raw`, as far as inputs live.

    Parameters
    ----------
    tables : Tables
    budget : int
        Inputs that go in all, at most those that live.
    raw : sequence of float
        Density of each table, up to a common factor.
    """
    alive = [table.n_alive() for table in tables]
    keep = sum(alive) - budget
    slots = [_slots(table) for table in tables]
    # Tables of density 0 keep what no other can: the budget is met all the same.
    sizes = [n * max(r, 1e-100) for (n, _), r in zip(slots, raw, strict=True)]
    full: set[int] = set()
    while True:
        free = [k for k in range(len(alive)) if k not in full]
        factor = (keep - sum(alive[k] for k in full)) / max(math.fsum(sizes[k] for k in free), 1e-300)
        over = {k for k in free if factor * sizes[k] >= alive[k]}
        if not over:
            break
        full |= over
    exact = {k: factor * sizes[k] for k in free}
    left = [alive[k] if k in full else math.floor(exact[k]) for k in range(len(alive))]
    missing = keep - sum(left)
    # The largest fractions are rounded up; of equal ones that of the table with the lowest id, wherever it stands.
    for k in sorted(free, key=lambda k: (round(math.floor(exact[k]) - exact[k], 9), slots[k][1]))[:missing]:
        left[k] += 1
    return [n - stay for n, stay in zip(alive, left, strict=True)]


def _slots(table: Table) -> tuple[int, int]:
    """Return how many slots hold or may hold a connection, and the lowest id among them."""
    xp = namespace(table.ids)
    ids = table.ids[table.ids >= 0] if 0 not in table.shape else xp.reshape(table.ids, (-1,))
    return ids.shape[0], int(xp.min(ids)) if ids.shape[0] else -1
