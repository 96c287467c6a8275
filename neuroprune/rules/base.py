"""The contract of a pruning rule: a pure function from afferent tables to proposals."""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from neuroprune.core.clock import Now, window
from neuroprune.core.randomness import Array, Draws
from neuroprune.core.tables import Tables
from neuroprune.core.units import Age, Days

Basis = Literal["weights", "activity", "gradients"]
"""What a rule must know: strengths alone, what the two cells of a connection do, or gradients of a loss."""

GRADIENTS = frozenset({"retrograde", "gradient", "hessian_gradient", "fisher", "movement"})
"""Traces that come from gradients of a loss."""
_OF_WEIGHTS = frozenset({"erdos_renyi", "flow", "newborn"})


@dataclass(frozen=True)
class Proposal:
    """What a rule proposes for one table. None means that it has nothing to say.

    Parameters
    ----------
    hazard : array of float64, shape (n_post, n_slots), optional
        Elimination hazard of each input per day, not negative. Values at dead inputs are ignored.
    score : array of float64, shape (n_post, n_slots), optional
        Order in which inputs go when a number of them must: the largest first. The hazard if not given.
    protected : array of bool, shape (n_post, n_slots), optional
        Inputs that may not go when a number of them must.
    form, weight, traces, agent
        As in :class:`neuroprune.core.tables.Change`.
    """

    hazard: Array | None = None
    score: Array | None = None
    protected: Array | None = None
    form: Array | None = None
    weight: Array | None = None
    traces: Mapping[str, Array] = field(default_factory=dict)
    agent: Array | None = None


class Rule(BaseModel, ABC):
    """A pruning rule: parameters that never change, and one pure function.

    Subclasses set the class variables and write :meth:`propose`. They read only the tables, the moment and the
    draws; they never mutate an array, and they work in any library that follows the array API standard.

    Parameters
    ----------
    name : str
        Name of this rule in a process, unique there; the cause written into the record. Default: its key.
    start, stop : age or days, optional
        Ages between which the rule acts (TOML: ``from`` and ``to``).
    ramp : days, optional
        Days that opening and shutting take.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True, allow_inf_nan=False)

    key: ClassVar[str]
    """Name in the registry."""
    requires: ClassVar[tuple[str, ...]] = ()
    """Traces that the tables must carry."""
    produces: ClassVar[tuple[str, ...]] = ()
    """Traces that the rule adds."""
    prunes: ClassVar[bool] = False
    """Whether the rule eliminates, and so takes its share of a budget."""
    forms: ClassVar[bool] = False
    """Whether the rule forms connections, and so needs candidates."""

    name: str = ""
    start: Age | None = Field(default=None, alias="from")
    stop: Age | None = Field(default=None, alias="to")
    ramp: Days = Field(default=0.0, ge=0)

    @model_validator(mode="after")
    def _window_is_not_empty(self) -> Self:
        if self.start is not None and self.stop is not None and self.stop <= self.start:
            raise ValueError(f'"to" is day {self.stop:g}: it must be later than "from", day {self.start:g}')
        return self

    def model_post_init(self, context: object, /) -> None:
        if not self.name:
            object.__setattr__(self, "name", self.key)

    def openness(self, age: float) -> float:
        """Return how open the rule's window is at an age in days, from 0 to 1."""
        return window(age, self.start, self.stop, self.ramp)

    def needs(self) -> tuple[str, ...]:
        """Return the traces that this rule, with these parameters, must find."""
        return self.requires

    @property
    def basis(self) -> Basis:
        """What the rule must know."""
        needs = set(self.needs())
        if needs & GRADIENTS:
            return "gradients"
        return "activity" if needs - _OF_WEIGHTS else "weights"

    def quota(self, tables: Tables, now: Now) -> float | None:
        """Return the expected number of eliminations in this step, for rules that rank instead of having hazards."""
        return None

    def allot(self, tables: Tables, budget: int) -> Sequence[int] | None:
        """Return how many inputs of each table go when `budget` of them must; None ranks across all tables."""
        return None

    @abstractmethod
    def propose(self, tables: Tables, now: Now, draws: Draws) -> Sequence[Proposal]:
        """Return one proposal for each table.

        Parameters
        ----------
        tables : Tables
            As the previous rules of the step left them.
        now : Now
            Age and length of the step.
        draws : Draws
            Random numbers by permanent id.
        """
