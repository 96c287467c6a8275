"""What figures ask of records: measures by age, and the strength of inputs through age."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from neuroprune.core.errors import SpecificationError

if TYPE_CHECKING:
    from neuroprune.record import Record


def measure_by_age(records: Sequence["Record"], measure: str) -> tuple[np.ndarray, np.ndarray]:
    """Return a measure of several records at the ages that all of them recorded.

    Returns
    -------
    ages : array of float, shape (n_ages,)
        Days.
    values : array of float, shape (n_records, n_ages)

    Raises
    ------
    SpecificationError
        If there is no record, a record lacks the measure, or they share no age.
    """
    if not records:
        raise SpecificationError(f"no record to take the measure {measure!r} from")
    for record in records:
        if measure not in record.measures():
            have = ", ".join(sorted(record.measures())) or "none"
            raise SpecificationError(f"{record!r} has no measure {measure!r} (it has: {have})")
    shared = np.asarray(sorted(set.intersection(*(set(r.ages.tolist()) for r in records))))
    if not len(shared):
        raise SpecificationError(f"the {len(records)} records share no age at which {measure!r} was measured")
    values = [r.measures()[measure][np.searchsorted(r.ages, shared)] for r in records]
    return shared, np.stack(values)


@dataclass(frozen=True)
class Strengths:
    """The strength of every input through age, with its end.

    Parameters
    ----------
    ages : array of float, shape (n_ages,)
        Recorded ages in days.
    weight : array of float, shape (n_ages, n_connections)
        NaN where a connection does not live.
    birth, death : array of float, shape (n_connections,)
        Ages in days; death is infinite while a connection lives.
    at_death : array of float, shape (n_connections,)
        Strength at death, NaN while alive.
    """

    ages: np.ndarray
    weight: np.ndarray
    birth: np.ndarray
    death: np.ndarray
    at_death: np.ndarray

    @classmethod
    def of(cls, record: "Record") -> "Strengths":
        """Read the strengths from a record."""
        return cls(
            ages=record.ages,
            weight=record.snapshots["weight"].values,
            birth=record.birth_age(),
            death=record.death_age(),
            at_death=record.connections["weight_at_death"].values,
        )

    def course(self, connection: int) -> tuple[np.ndarray, np.ndarray]:
        """Return ages and strengths of one connection from its birth to its death or the last recorded age.

        The strength at birth is the first one known. Both are empty if an interrupted record knows none.
        """
        weight = self.weight[:, connection]
        known = ~np.isnan(weight)
        ages, values = self.ages[known], weight[known]
        if np.isfinite(self.death[connection]):
            ages, values = (
                np.append(ages, self.death[connection]),
                np.append(values, self.at_death[connection]),
            )
        if len(ages) and self.birth[connection] < ages[0]:
            ages, values = np.insert(ages, 0, self.birth[connection]), np.insert(values, 0, values[0])
        return ages, values
