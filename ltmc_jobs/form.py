"""Form: what a caller sees of something callable, read from a function: name, words, schemas."""

from __future__ import annotations

import inspect
import types
import warnings
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

import pydantic
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model

from ltmc_jobs.errors import InvalidArguments

RECORDED = "recorded"  # what a call that changes memory has done when its own job ends
PLAIN = (str, int, float, bool, type(None), Any, list, dict)  # what JSON has by itself
RESULT = "result"  # the name that a result which is no object goes out under


@dataclass(frozen=True, kw_only=True)
class Form:
    """What a caller sees of something callable: name, words, schemas."""

    name: str
    module: str
    description: str
    input_schema: dict[str, Any]
    output_schema: dict[str, Any]
    reads_only: bool
    validator: Draft202012Validator = field(repr=False, compare=False)
    model: type[BaseModel] = field(repr=False, compare=False)
    aliases: Mapping[str, str] = field(default_factory=dict)  # another name of an argument → its name
    instead: Mapping[str, tuple[str, ...]] = field(default_factory=dict)  # an argument → those that it stands for
    returned: Any = field(default=Any, repr=False, compare=False)
    returns: TypeAdapter[Any] = field(default_factory=lambda: TypeAdapter(Any), repr=False, compare=False)
    is_wrapped: bool = False  # the result is no object: it goes out as `{result: …}`
    is_plain: bool = True  # every argument is to the function what it is in JSON

    def accept(self, arguments: Any) -> dict[str, Any]:
        """The arguments as the function takes them; InvalidArguments names the field that breaks the schema."""
        arguments = self.named(arguments)
        error = best_match(self.validator.iter_errors(arguments))
        if error is not None:
            raise self._refusal(error)
        self._check_instead(arguments)
        own = {name: value for name, value in arguments.items() if name in self.model.model_fields}
        # JSON Schema calls 5.0 an integer; the model makes it one.
        try:
            return self.model.model_validate(own).model_dump(mode="json", exclude_unset=True)
        except pydantic.ValidationError as refused:  # of a type with rules beyond its schema, as a date is
            first = refused.errors(include_url=False, include_context=False)[0]
            where = ".".join(map(str, first["loc"]))
            raise InvalidArguments(f"{self.name}: {where}: {first['msg']}", field=where) from None
        except ValueError:  # what pydantic raises for values within values, hundreds deep
            raise InvalidArguments(f"{self.name}: an argument is nested too deeply") from None

    def _check_instead(self, arguments: dict[str, Any]) -> None:
        """Either an argument that stands for others is given, or those are."""
        for name, others in self.instead.items():
            for other in others:
                if arguments.get(name) is None and arguments.get(other) is None:
                    raise InvalidArguments(f"{self.name}: {other} is required (or {name})", field=other)
                if arguments.get(name) is not None and arguments.get(other) is not None:
                    raise InvalidArguments(f"{self.name}: {name} stands in place of {other}; give one", field=other)

    def named(self, arguments: Any) -> Any:
        """The arguments under their own names, where older ones were used."""
        if not isinstance(arguments, dict) or not self.aliases.keys() & arguments.keys():
            return arguments
        named = dict(arguments)
        for alias in self.aliases.keys() & arguments.keys():
            if self.aliases[alias] in named:
                raise InvalidArguments(f"{self.name}: {alias} is another name of {self.aliases[alias]}", field=alias)
            named[self.aliases[alias]] = named.pop(alias)
        return named

    def read(self, arguments: dict[str, Any]) -> dict[str, Any]:
        """Accepted arguments as the types that the function names: a date, where JSON has a text."""
        if self.is_plain:
            return arguments
        read = self.model.model_validate(arguments)
        return {name: getattr(read, name) for name in arguments}

    def show(self, result: Any) -> dict[str, Any]:
        """A result as JSON; pydantic's error for one that is not what the function says."""
        told = type(result) is self.returned  # then it can be nothing else
        shown = self.returns.dump_python(result, mode="json", warnings="none" if told else "error")
        return {RESULT: shown} if self.is_wrapped else shown

    def _refusal(self, error: ValidationError) -> InvalidArguments:
        where = ".".join(str(part) for part in error.absolute_path)
        inside = f"{where}." if where else ""
        instance: Any = error.instance
        if error.validator == "required":
            required: Any = error.validator_value
            missing = next(name for name in required if name not in instance)
            return InvalidArguments(f"{self.name}: {inside}{missing} is required", field=f"{inside}{missing}")
        if error.validator == "additionalProperties":
            schema: Any = error.schema
            own = schema.get("properties", {})
            extra = min(set(instance) - set(own))
            lacks = f"{self.name}: {where} has no" if where else f"{self.name} has no argument"
            return InvalidArguments(f"{lacks} {extra!r}; it has {', '.join(own)}", field=f"{inside}{extra}")
        shown = error.message if len(error.message) <= 200 else f"…{error.message[-200:]}"
        return InvalidArguments(f"{self.name}: {where or 'arguments'}: {shown}", field=where)


def form_of(
    function: Callable[..., Any],
    *,
    skip: int,
    reads_only: bool,
    follows: tuple[str, ...] = (),
    awaits: str = RECORDED,
    aliases: Mapping[str, str] | None = None,
    instead: Mapping[str, tuple[str, ...]] | None = None,
) -> Form:
    """Read a function: its first `skip` parameters are the platform's, the others are what callers give.

    ValueError says all that it lacks.
    """
    hints = _hints(function, skip)
    returned = hints.pop("return", None)
    own = list(inspect.signature(function).parameters.values())[skip:]
    described = inspect.getdoc(function)
    _require(
        function,
        [
            *(f"a type for {parameter.name}" for parameter in own if parameter.name not in hints),
            *([] if returned is not None else ["a return type"]),
            *([] if described else ["a docstring"]),
        ],
    )
    for parameter in own:
        if parameter.kind not in (parameter.POSITIONAL_OR_KEYWORD, parameter.KEYWORD_ONLY):
            raise ValueError(f"{function.__name__}: {parameter} cannot be given by name, and callers name everything")
    fields: dict[str, Any] = {
        parameter.name: (hints[parameter.name], ... if parameter.default is parameter.empty else parameter.default)
        for parameter in own
    }
    with warnings.catch_warnings():  # an argument may be called json or copy, as a method of the model's is
        warnings.filterwarnings("ignore", message=".*shadows an attribute", category=UserWarning)
        model = create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)
    schema = _plain(model.model_json_schema())
    if follows:
        schema["properties"]["wait_for"] = {
            "enum": [RECORDED, *follows],
            "default": awaits,
            "description": "Answer when this has happened (or when the wait is over)",
        }
    returns = TypeAdapter(returned)
    shown = returns.json_schema(mode="serialization")
    is_wrapped = not _is_object(shown)
    return Form(
        name=function.__name__,
        module=function.__module__.rsplit(".", 1)[-1],
        description=str(described),
        input_schema=schema,
        output_schema=_wrapped(shown) if is_wrapped else shown,
        reads_only=reads_only,
        validator=Draft202012Validator(schema),
        model=model,
        aliases=aliases or {},
        instead=instead or {},
        returned=returned,
        returns=returns,
        is_wrapped=is_wrapped,
        is_plain=all(_is_plain(hints[parameter.name]) for parameter in own),
    )


def _hints(function: Callable[..., Any], skip: int) -> dict[str, Any]:
    """The types of a function's parameters and result, those that are strings read."""
    # The leading parameters are the platform's; their types are not importable here, and not shown.
    given = dict.fromkeys(list(inspect.signature(function).parameters)[:skip], Any)
    annotations = {**function.__annotations__, **given}
    view = type("", (), {"__annotations__": annotations, "__module__": function.__module__})
    try:
        # None is a type too: what returns nothing says so
        return get_type_hints(view, globalns=getattr(function, "__globals__", {}), include_extras=True)
    except NameError as error:
        raise ValueError(f"{function.__name__}: a type cannot be read at run time: {error}") from None


def _require(function: Callable[..., Any], lacking: Iterable[str]) -> None:
    told = ", ".join(lacking)
    if told:
        raise ValueError(f"{function.__module__}.{function.__name__} needs {told}")


def _is_plain(kind: Any) -> bool:
    """Whether values of a type are the same before and after a trip as JSON."""
    origin, inner = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _is_plain(inner[0])
    if origin in (Union, types.UnionType, list, dict):
        return all(map(_is_plain, inner))
    return origin is Literal or kind in PLAIN


def _is_object(schema: dict[str, Any], definitions: Mapping[str, Any] | None = None) -> bool:
    """Whether all that has this schema is an object."""
    definitions = schema.get("$defs", {}) if definitions is None else definitions
    if "$ref" in schema:
        return _is_object(definitions[schema["$ref"].rpartition("/")[2]], definitions)
    either = schema.get("anyOf") or schema.get("oneOf")
    return all(_is_object(one, definitions) for one in either) if either else schema.get("type") == "object"


def _wrapped(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of an object that holds what has this one."""
    inner = {name: value for name, value in schema.items() if name != "$defs"}
    definitions = {"$defs": schema["$defs"]} if "$defs" in schema else {}
    return {"type": "object", "properties": {RESULT: inner}, "required": [RESULT]} | definitions


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Without pydantic's titles, which say nothing that the name doesn't."""
    for part in schema.get("properties", {}).values():
        part.pop("title", None)
    schema.pop("title", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {}, **schema}
