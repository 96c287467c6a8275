"""From propensities to eliminations: the one place where it is decided which inputs go."""

from collections.abc import Callable, Sequence

import array_api_compat

from neuroprune.core.clock import Now
from neuroprune.core.errors import BudgetError, SpecificationError
from neuroprune.core.randomness import Array, Draws
from neuroprune.core.tables import Change, Decision, Tables, namespace, quantise
from neuroprune.rules.base import Proposal, Rule


def decide(rule: Rule, tables: Tables, now: Now, draws: Draws, budget: int | None = None) -> Decision:
    """Ask a rule for its proposals and turn them into a decision.

    Parameters
    ----------
    rule : Rule
    tables : Tables
    now : Now
    draws : Draws
    budget : int, optional
        Eliminate exactly so many inputs, across all tables, or all that the rule may take if those are fewer.
        Without it the rule runs freely: its hazards, or its quota, decide how many go.

    Returns
    -------
    Decision

    Raises
    ------
    BudgetError
        If fewer inputs live than the budget asks for.
    SpecificationError
        If a rule proposes eliminations without declaring that it ``prunes``.
    """
    proposals = rule.propose(tables, now, draws)
    if not rule.prunes:
        if any(p.hazard is not None or p.score is not None for p in proposals):
            raise SpecificationError(
                f"rule {rule.name!r} gives hazards or scores, but does not declare prunes = True: they would not count"
            )
        eliminate: Sequence[Array | None] = [None] * len(tables)
    else:
        eliminate = select(
            tables, proposals, now, draws, budget=budget, quota=rule.quota(tables, now), allot=rule.allot
        )
    return Decision(
        cause=rule.name,
        changes=tuple(
            Change(eliminate=gone, form=p.form, weight=p.weight, traces=p.traces, agent=p.agent)
            for gone, p in zip(eliminate, proposals, strict=True)
        ),
    )


def select(
    tables: Tables,
    proposals: Sequence[Proposal],
    now: Now,
    draws: Draws,
    *,
    budget: int | None = None,
    quota: float | None = None,
    allot: Callable[[Tables, int], Sequence[int] | None] | None = None,
) -> list[Array]:
    """Return the mask of eliminated inputs for each table.

    Parameters
    ----------
    tables : Tables
    proposals : sequence of Proposal
        With a hazard or a score each.
    now : Now
    draws : Draws
    budget : int, optional
        Eliminate the `budget` inputs with the largest scores. Where hazards are the scores, an input with hazard 0
        is never taken: a knock-out or a protected input stays so under a budget.
    quota : float, optional
        Expected number of eliminations of a freely running rule that ranks. Its fraction is decided by a draw.
    allot : function of tables and a number of eliminations, optional
        How many of them fall to each table; without it, or where it returns None, all inputs are ranked together.

    Notes
    -----
    Freely running, an input with hazard :math:`h` goes with probability :math:`1 - e^{-h\\,dt}`. Scores are
    compared after rounding to 30 bits, and equal scores are ordered by draws, so that the decision is the same
    in every array library and does not depend on the order of the slots.
    """
    if budget is None and quota is not None:
        budget = min(tables.n_alive(), int(quota + draws.one("quota")))
    if budget is not None:
        alive = tables.n_alive()
        if not 0 <= budget <= alive:
            raise BudgetError(
                f"budget asks for {budget} eliminations: it must lie between 0 and the {alive} living inputs"
            )
        shares = None if allot is None else allot(tables, budget)
        if shares is None:
            return _largest(tables, proposals, budget, draws)
        parts = zip(tables, proposals, shares, strict=True)
        return [_largest(Tables([table]), [proposal], share, draws)[0] for table, proposal, share in parts]
    gone = []
    for table, proposal in zip(tables, proposals, strict=True):
        if proposal.hazard is None:
            raise SpecificationError(
                f"a rule gave no hazard for table {table.name!r}, and has no quota to run freely: it needs a rate or a "
                "budget"
            )
        xp = namespace(table.ids)
        probability = quantise(-xp.expm1(-proposal.hazard * now.dt))
        gone.append(table.alive & (draws.uniform(table.ids, "select") < probability))
    return gone


def _largest(tables: Tables, proposals: Sequence[Proposal], budget: int, draws: Draws) -> list[Array]:
    eligible, scores = [], []
    for table, proposal in zip(tables, proposals, strict=True):
        score = proposal.hazard if proposal.score is None else proposal.score
        if score is None:
            raise SpecificationError(f"a rule gave neither a hazard nor a score for table {table.name!r}")
        score = namespace(table.ids).broadcast_to(score, table.shape)
        xp = namespace(score)
        if 0 not in table.shape and not bool(xp.all(xp.isfinite(score) | ~table.alive)):
            raise SpecificationError("a rule gave a score that is not finite to a living input")
        may_go = table.alive if proposal.score is not None else table.alive & (score > 0)
        eligible.append(may_go if proposal.protected is None else may_go & ~proposal.protected)
        scores.append(score)
    return largest(tables, eligible, scores, budget, draws)


def largest(
    tables: Tables, eligible: Sequence[Array], scores: Sequence[Array], n: int, draws: Draws, purpose: str = "tie"
) -> list[Array]:
    """Return masks of the `n` slots with the largest scores across all tables, or of all eligible ones if fewer.

    Parameters
    ----------
    tables : Tables
    eligible : sequence of array of bool
        Slots to choose from.
    scores : sequence of array of float64
        Of the tables' shapes, finite where eligible.
    n : int
    draws : Draws
        Order equal scores, after rounding to 30 bits.
    purpose : str
        Names the draws.
    """
    counts = [_count(mask) for mask in eligible]
    n = min(n, sum(counts))
    if n == 0:
        return [namespace(t.ids).zeros_like(t.alive) for t in tables]
    xp = namespace(tables[0].ids)
    flat_scores, flat_draws = [], []
    for table, score, mask in zip(tables, scores, eligible, strict=True):
        flat_scores.append(quantise(score[mask]))
        flat_draws.append(draws.uniform(table.ids, purpose)[mask])
    score, draw = xp.concat(flat_scores), xp.concat(flat_draws)
    threshold = xp.sort(score)[sum(counts) - n]
    chosen = score > threshold
    tied = xp.nonzero(score == threshold)[0]
    missing = n - _count(chosen)
    order = xp.argsort(xp.take(draw, tied))
    # The array API has no scatter that all libraries share: mark the chosen by rank of their draw instead.
    limit = xp.max(xp.take(draw, xp.take(tied, order[:missing])))
    chosen = chosen | ((score == threshold) & (draw <= limit))
    start, result = 0, []
    device = array_api_compat.device(tables[0].ids)
    for table, mask, count in zip(tables, eligible, counts, strict=True):
        position = xp.reshape(xp.cumulative_sum(xp.reshape(xp.astype(mask, xp.int64), (-1,))), table.shape) - 1
        part = chosen[start : start + count] if count else xp.zeros((1,), dtype=xp.bool, device=device)
        index = xp.reshape(xp.clip(position, 0, max(count - 1, 0)), (-1,))
        result.append(mask & xp.reshape(xp.take(part, index), table.shape))
        start += count
    return result


def _count(mask: Array) -> int:
    xp = namespace(mask)
    return int(xp.sum(xp.astype(mask, xp.int64))) if 0 not in mask.shape else 0
