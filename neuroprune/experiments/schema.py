"""What a parameter may be: read from its pydantic field, said in words, enforced with one clear message."""

import json
import types
from collections.abc import Callable, Iterable, Mapping, Sequence
from difflib import get_close_matches
from typing import Any, Literal, TypeVar, Union, get_args, get_origin

from annotated_types import Ge, Gt, Le, Lt
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError
from pydantic.fields import FieldInfo

from neuroprune.core.clock import format_age
from neuroprune.core.errors import SpecificationError
from neuroprune.core.units import (
    WRITTEN,
    Age,
    AgeInDays,
    ByAge,
    Days,
    Quantity,
    QuantityByAge,
    Seconds,
    with_unit,
)

Model = TypeVar("Model", bound=BaseModel)


class Development(BaseModel):
    """How a system develops.

    Parameters
    ----------
    start, stop : age
        First and last age (TOML: ``from`` and ``to``).
    step : days
        How often the rules act.
    activity : seconds
        Activity simulated in each step.
    record : list of age
        Ages at which the network is kept; start and end always are.
    traces : list of str
        Traces to keep at those ages and at the death of a connection.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    start: Age = Field(alias="from")
    stop: Age = Field(alias="to")
    step: Days = Field(gt=0)
    activity: Seconds = Field(gt=0)
    record: list[Age] = []
    traces: list[str] = []


def fields_of(model: type[BaseModel]) -> dict[str, FieldInfo]:
    """Return the parameters of a model by the key that TOML uses. The name of a rule is no parameter."""
    return {f.alias or n: f for n, f in model.model_fields.items() if n != "name"}


def _validator(field: FieldInfo, kinds: type | tuple[type, ...]) -> Any:
    """Return the validator of these kinds on a field, or inside its ``X | None`` or ``list[X]``."""

    def search(annotation: Any, metadata: Iterable[Any]) -> Any:
        for item in metadata:
            if isinstance(item, BeforeValidator) and isinstance(item.func, kinds):
                return item.func
        inner = (search(a, getattr(a, "__metadata__", ())) for a in get_args(annotation))
        return next((found for found in inner if found is not None), None)

    return search(field.annotation, field.metadata)


def _is_age(field: FieldInfo) -> bool:
    return _validator(field, AgeInDays) is not None


def unit_of(field: FieldInfo) -> str:
    """Return the unit of a parameter, ``""`` if it has none."""
    found = _validator(field, (Quantity, QuantityByAge))
    return found.unit if found is not None else ""


def _is_list(annotation: Any) -> bool:
    return get_origin(annotation) in (list, tuple)


def describe(field: FieldInfo) -> str:
    """Say in words what a parameter may be.

    Examples
    --------
    >>> describe(Development.model_fields["activity"])
    'a quantity in s, above 0'
    """
    annotation = field.annotation
    if get_origin(annotation) in (Union, types.UnionType):
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    unit = unit_of(field)
    if _is_age(field):
        kind = 'a list of ages such as "P7"' if _is_list(annotation) else 'an age such as "P7"'
    elif annotation is ByAge:
        kind = f'a quantity in {unit or "plain numbers"}, or a list of ["P7", quantity]'
    elif unit:
        kind = f"a quantity in {unit}"
    elif get_origin(annotation) is Literal:
        return "one of " + ", ".join(json.dumps(choice) for choice in get_args(annotation))
    elif _is_list(annotation):
        kind = "a list of texts" if str in get_args(annotation) else "a list"
    else:
        names: dict[Any, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "text"}
        kind = names.get(annotation, str(annotation))
    bounds = _bounds(field)
    return f"{kind}, {bounds}" if bounds else kind


def _bounds(field: FieldInfo) -> str:
    low = next((m for m in field.metadata if isinstance(m, (Ge, Gt))), None)
    high = next((m for m in field.metadata if isinstance(m, (Le, Lt))), None)
    if isinstance(low, Ge) and isinstance(high, Le):
        return f"between {low.ge:g} and {high.le:g}"
    parts = []
    if low is not None:
        parts.append(f"at least {low.ge:g}" if isinstance(low, Ge) else f"above {low.gt:g}")
    if high is not None:
        parts.append(f"at most {high.le:g}" if isinstance(high, Le) else f"below {high.lt:g}")
    return " and ".join(parts)


def default_of(field: FieldInfo) -> Any:
    """Return the default of a parameter as one would write it in TOML; None if it is open."""
    return _as_written(field, field.get_default(call_default_factory=True))


def _as_written(field: FieldInfo, value: Any) -> Any:
    unit = unit_of(field)
    if isinstance(value, ByAge):
        points = [[format_age(age), _as_written(field, number)] for age, number in value.points]
        return points[0][1] if len(points) == 1 else points
    if isinstance(value, (list, tuple)):
        return [_as_written(field, item) for item in value]
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if _is_age(field):
            return format_age(value)
        return with_unit(value, unit) if unit else value
    return value


def near(wrong: str, valid: Sequence[str]) -> str:
    """Say which names are valid, and which one was probably meant."""
    choices = f"it must be one of {', '.join(valid)}" if valid else "there is none"
    close = get_close_matches(wrong, valid, n=1)
    return f"did you mean {close[0]!r}? ({choices})" if close else choices


def check_keys(model: type[BaseModel], values: Mapping[str, Any], section: str, origin: Callable[[str], str]) -> None:
    """Refuse keys that are no parameters.

    Raises
    ------
    SpecificationError
    """
    valid = list(fields_of(model))
    for key in values:
        if key not in valid:
            raise SpecificationError(f"{origin(key)}: unknown key {section}.{key}: {near(key, valid)}")


def validate(
    model: type[Model],
    values: Mapping[str, Any],
    section: str,
    origin: Callable[[str], str],
    name: str | None = None,
) -> Model:
    """Return the validated parameters of a section.

    Parameters
    ----------
    model : type
        Pydantic model.
    values : mapping
        As written, with units.
    section : str
        For messages, for example ``"rules.tag"``.
    origin : function
        Returns the file or option that set a key; ``""`` asks for the file of the section.
    name : str, optional
        Name of a rule or environment.

    Raises
    ------
    SpecificationError
        Naming file, key, value and what would be valid.
    """
    named = {} if name is None else {"name": name}
    try:
        return model.model_validate({**named, **values}, context=dict(WRITTEN))
    except ValidationError as error:
        first, *rest = error.errors()
        message = _explain(model, values, section, origin, first)
        if rest:
            others = ", ".join(dict.fromkeys(f"{section}.{e['loc'][0]}" if e["loc"] else section for e in rest))
            message += f" (also wrong: {others})"
        raise SpecificationError(message) from None


def _explain(
    model: type[BaseModel], values: Mapping[str, Any], section: str, origin: Callable[[str], str], error: Any
) -> str:
    reason = error["msg"].removeprefix("Value error, ")
    if not error["loc"]:
        return f"{origin('')}: {section}: {reason}"
    key = str(error["loc"][0])
    field = fields_of(model).get(key)
    if error["type"] == "missing" and field is not None:
        return f"{origin('')}: {section} needs {key}: {describe(field)}"
    value = json.dumps(values.get(key), ensure_ascii=False, default=str)
    where = f"{origin(key)}: {section}.{key}"
    if error["type"] == "value_error" or field is None:
        return f"{where}: {reason}" if value in reason else f"{where} = {value}: {reason}"
    return f"{where} = {value}: it must be {describe(field)}"
