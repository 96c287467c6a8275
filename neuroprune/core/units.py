"""Quantities with units, checked once at the edge and plain floats inside.

Text such as ``"39 pF"`` or ``"0.36 / day"`` is converted to SI. Slow quantities are the exception:
developmental rates are per day and developmental durations are in days.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Annotated, Any

from pydantic import BeforeValidator, ValidationInfo

from neuroprune.core.clock import parse_age

WRITTEN: Mapping[str, bool] = {"written": True}
"""Validation context of what people write in files and on the command line: there, units must be spelled out.

Python callers give plain floats in the unit that a docstring names; a file has no docstring.
"""


@lru_cache(maxsize=1)
def _registry() -> Any:
    import pint

    return pint.UnitRegistry()


def to_float(value: Any, unit: str) -> float:
    """Return `value` as a number of `unit`.

    Parameters
    ----------
    value : str, int or float
        Text with a unit; a plain number only where `unit` is ``""`` (dimensionless).
    unit : str
        The unit that the code uses inside.

    Raises
    ------
    ValueError
        If the text cannot be read, has another dimension, or a unit is missing.

    Examples
    --------
    >>> to_float("0.36 / day", "1/day")
    0.36
    >>> round(to_float("20 ms", "s"), 3)
    0.02
    """
    if isinstance(value, bool) or not isinstance(value, (str, int, float)):
        raise ValueError(f"{value!r} is not a quantity")
    if not isinstance(value, str):
        if unit == "":
            return float(value)
        raise ValueError(f'{value!r} has no unit: write it like "{with_unit(value, unit)}"')
    import pint

    try:
        number = float(_registry().Quantity(value).to(unit or "dimensionless").magnitude)
    except pint.DimensionalityError:
        valid = unit or "a plain number"
        raise ValueError(f'"{value}" has the wrong unit: it must be convertible to {valid}') from None
    except Exception:
        raise ValueError(f'"{value}" is not a quantity in {unit or "plain numbers"}') from None
    if not math.isfinite(number):
        raise ValueError(f'"{value}" is not finite')
    return number


def with_unit(number: float, unit: str) -> str:
    """Write a number of `unit` as text that :func:`to_float` reads.

    Examples
    --------
    >>> with_unit(0.36, "1/day"), with_unit(300.0, "s")
    ('0.36 / day', '300 s')
    """
    digits = str(int(number)) if float(number).is_integer() and abs(number) < 1e6 else repr(number)
    return f"{digits} / {unit.removeprefix('1/')}" if unit.startswith("1/") else f"{digits} {unit}"


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


class Quantity:
    """Validator that makes a float in one unit: of text, and of plain numbers where Python gave them."""

    def __init__(self, unit: str) -> None:
        self.unit = unit

    def __call__(self, value: Any, info: ValidationInfo) -> float:
        return float(value) if _is_number(value) and info.context != WRITTEN else to_float(value, self.unit)


class AgeInDays:
    """Validator that makes days of an age such as ``"P7"``, and of plain numbers where Python gave them."""

    def __call__(self, value: Any, info: ValidationInfo) -> float:
        if _is_number(value) and info.context == WRITTEN:
            raise ValueError(f'{value!r} is not an age: write it like "P{value}"')
        return parse_age(value)


PerDay = Annotated[float, BeforeValidator(Quantity("1/day"))]
Days = Annotated[float, BeforeValidator(Quantity("day"))]
Seconds = Annotated[float, BeforeValidator(Quantity("s"))]
Metres = Annotated[float, BeforeValidator(Quantity("m"))]
MetresPerSecond = Annotated[float, BeforeValidator(Quantity("m/s"))]
PerCubicMetre = Annotated[float, BeforeValidator(Quantity("1/m^3"))]
Volts = Annotated[float, BeforeValidator(Quantity("V"))]
Siemens = Annotated[float, BeforeValidator(Quantity("S"))]
Age = Annotated[float, BeforeValidator(AgeInDays())]


@dataclass(frozen=True)
class ByAge:
    """A quantity that changes with age: linear between the ages given, constant before and after.

    Parameters
    ----------
    points : tuple of (float, float)
        Ages in days, ascending, and values.
    """

    points: tuple[tuple[float, float], ...]

    def at(self, age: float) -> float:
        """Return the value at an age in days."""
        ages, values = zip(*self.points, strict=True)
        if age <= ages[0]:
            return values[0]
        for (a0, v0), (a1, v1) in pairwise(self.points):
            if age <= a1:
                return v0 + (v1 - v0) * (age - a0) / (a1 - a0)
        return values[-1]

    # Bounds of a parameter, as in ``Field(ge=0)``, hold for the values at all ages.

    def __ge__(self, bound: float) -> bool:
        return all(value >= bound for _, value in self.points)

    def __gt__(self, bound: float) -> bool:
        return all(value > bound for _, value in self.points)

    def __le__(self, bound: float) -> bool:
        return all(value <= bound for _, value in self.points)


class QuantityByAge:
    """Validator that makes a :class:`ByAge` of a quantity, or of a list of ``[age, quantity]`` pairs."""

    def __init__(self, unit: str) -> None:
        self.unit = unit

    def __call__(self, value: Any, info: ValidationInfo) -> ByAge:
        if isinstance(value, ByAge):
            return value
        convert, to_days = Quantity(self.unit), AgeInDays()
        if not isinstance(value, (list, tuple)):
            return ByAge(((0.0, convert(value, info)),))
        points = []
        for pair in value:
            if not isinstance(pair, (list, tuple)) or len(pair) != 2:
                raise ValueError(f'{pair!r} is not a pair ["P7", "quantity"]')
            points.append((to_days(pair[0], info), convert(pair[1], info)))
        if not points or any(b[0] <= a[0] for a, b in pairwise(points)):
            raise ValueError("the ages must ascend")
        return ByAge(tuple(points))


def by_age(unit: str) -> Any:
    """Return the type of a parameter that is a quantity in `unit`, or a list of ``[age, quantity]`` pairs."""
    return Annotated[ByAge, BeforeValidator(QuantityByAge(unit))]
