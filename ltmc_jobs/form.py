"""Form: what a caller sees of something callable, read from a function: name, words, schemas."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_type_hints

from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError, best_match
from pydantic import BaseModel, ConfigDict, TypeAdapter, create_model

from ltmc_jobs.errors import InvalidArguments

RECORDED = "recorded"  # what a call that changes memory has done when its own job ends


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

    def accept(self, arguments: Any) -> dict[str, Any]:
        """The arguments as the function takes them; InvalidArguments names the field that breaks the schema."""
        arguments = self.named(arguments)
        error = best_match(self.validator.iter_errors(arguments))
        if error is not None:
            raise self._refusal(error)
        own = {name: value for name, value in arguments.items() if name in self.model.model_fields}
        # JSON Schema calls 5.0 an integer; the model makes it one.
        return self.model.model_validate(own).model_dump(mode="json", exclude_unset=True)

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

    def _refusal(self, error: ValidationError) -> InvalidArguments:
        where = ".".join(str(part) for part in error.absolute_path)
        instance: Any = error.instance
        if error.validator == "required":
            required: Any = error.validator_value
            missing = next(name for name in required if name not in instance)
            return InvalidArguments(f"{self.name}: {missing} is required", field=missing)
        if error.validator == "additionalProperties":
            extra = min(set(instance) - set(self.input_schema["properties"]))
            known = ", ".join(self.input_schema["properties"])
            return InvalidArguments(f"{self.name} has no argument {extra!r}; it has {known}", field=extra)
        shown = error.message if len(error.message) <= 200 else f"…{error.message[-200:]}"
        return InvalidArguments(f"{self.name}: {where or 'arguments'}: {shown}", field=where)


def _missing(function: Callable[..., Any], what: str) -> Any:
    raise ValueError(f"{function.__module__}.{function.__name__} needs {what}")


def form_of(
    function: Callable[..., Any],
    *,
    skip: int,
    reads_only: bool,
    follows: tuple[str, ...] = (),
    awaits: str = RECORDED,
    aliases: Mapping[str, str] | None = None,
) -> Form:
    """Read a function: its first `skip` parameters are the platform's, the others are what callers give."""
    parameters = list(inspect.signature(function).parameters.values())
    # The leading parameters are the platform's; their types are not importable here, and not shown.
    given = {parameter.name: Any for parameter in parameters[:skip]}
    annotations = {**function.__annotations__, **given}
    function_view = type("", (), {"__annotations__": annotations, "__module__": function.__module__})
    hints = get_type_hints(function_view, globalns=getattr(function, "__globals__", {}), include_extras=True)
    returned = hints.pop("return", None) or _missing(function, "a return type")
    fields: dict[str, Any] = {
        parameter.name: (
            hints.get(parameter.name) or _missing(function, f"a type for {parameter.name}"),
            ... if parameter.default is inspect.Parameter.empty else parameter.default,
        )
        for parameter in parameters[skip:]
    }
    model = create_model(function.__name__, __config__=ConfigDict(extra="forbid"), **fields)
    schema = _plain(model.model_json_schema())
    if follows:
        schema["properties"]["wait_for"] = {
            "enum": [RECORDED, *follows],
            "default": awaits,
            "description": "Answer when this has happened (or when the wait is over)",
        }
    return Form(
        name=function.__name__,
        module=function.__module__.rsplit(".", 1)[-1],
        description=inspect.getdoc(function) or _missing(function, "a docstring"),
        input_schema=schema,
        output_schema=TypeAdapter(returned).json_schema(mode="serialization"),
        reads_only=reads_only,
        validator=Draft202012Validator(schema),
        model=model,
        aliases=aliases or {},
    )


def _plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Without pydantic's titles, which say nothing that the name doesn't."""
    for part in schema.get("properties", {}).values():
        part.pop("title", None)
    schema.pop("title", None)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "type": "object", "properties": {}, **schema}
