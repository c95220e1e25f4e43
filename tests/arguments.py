"""Arguments for a tool, made from its schema and around it: what fits, what just does not, what is something else."""

from __future__ import annotations

import random
from typing import Any

TEXTS = (
    *(
        "",
        "a",
        "moss",
        "A longer text. With two sentences!",
        "a\nb\tc",
        "ünïcødé ☃ 語 \U0001f600",
        "\u202eright to left",
    ),
    *(
        "'; DROP TABLE chunks; --",
        '"unclosed',
        "%_%",
        "../../outside",
        "\x00",
        "\x7f",
        "{}",
        "null",
        "NEAR(a b)",
        "*",
    ),
    *(" ", "-1", "1e999", "x" * 300, "x" * 9000, "AND OR NOT", "2026-01-01T00:00:00Z", "pass", "low", "all"),
)
NUMBERS = (0, 1, -1, 2, 3, 5, 10, 50, 0.5, 1.5, -0.0, 1e300, 2**31, 2**63, 2**64, -(2**63) - 1, 10**30, 10.0)
JUNK: tuple[Any, ...] = (None, True, False, [], {}, [[]], {"a": {"b": [1]}}, [None], ["a"] * 50, *NUMBERS, *TEXTS)


class Arguments:
    """Makes arguments for one tool, the same ones for the same seed."""

    def __init__(self, schema: dict[str, Any], seed: int) -> None:
        self._schema = schema
        self._chance = random.Random(seed)

    def make(self) -> Any:
        """About half of them fit the schema; the others have one or two faults."""
        made = self._object(self._schema)
        if self._chance.random() < 0.5:
            return made
        for _ in range(self._chance.choice((1, 1, 2))):
            made = self._broken(made)
        return made

    def _broken(self, made: Any) -> Any:
        if not isinstance(made, dict):
            return made
        fault = self._chance.choice(("junk", "junk", "junk", "missing", "extra", "no object"))
        if fault == "no object":
            return self._chance.choice([value for value in JUNK if value is not None and not isinstance(value, dict)])
        if fault == "extra":
            return made | {self._chance.choice(("colour", "", "__class__", "services", "Query")): self._junk()}
        names = list(self._schema["properties"])
        if not names:
            return made
        name = self._chance.choice(names)
        if fault == "missing":
            return {known: value for known, value in made.items() if known != name}
        return made | {name: self._junk()}

    def _junk(self) -> Any:
        return self._chance.choice(JUNK)

    def _value(self, schema: Any) -> Any:
        """A value that fits, as far as that is easily told; the validator has the last word."""
        if schema is True or schema == {}:
            return self._junk()
        if "$ref" in schema:
            return self._value(self._schema["$defs"][schema["$ref"].rpartition("/")[2]])
        if "const" in schema:
            return schema["const"]
        if "enum" in schema:
            return self._chance.choice(schema["enum"])
        for either in ("anyOf", "oneOf"):
            if either in schema:
                return self._value(self._chance.choice(schema[either]))
        kind = schema.get("type", "string")
        kind = self._chance.choice(kind) if isinstance(kind, list) else kind
        makers = {"object": self._object, "array": self._array, "string": self._text, "null": lambda _schema: None}
        makers |= {"integer": self._integer, "number": self._number, "boolean": lambda _schema: self._coin()}
        return makers[kind](schema)

    def _coin(self) -> bool:
        return self._chance.random() < 0.5

    def _object(self, schema: dict[str, Any]) -> dict[str, Any]:
        required, properties = schema.get("required", ()), schema.get("properties", {})
        chosen = [name for name in properties if name in required or self._coin()]
        made = {name: self._value(properties[name]) for name in chosen}
        if not properties and schema.get("additionalProperties", True) is not False and self._coin():
            made["anything"] = self._junk()
        return made

    def _array(self, schema: dict[str, Any]) -> list[Any]:
        low = schema.get("minItems", 0)
        count = self._chance.randint(low, min(schema.get("maxItems", low + 4), low + 4))
        return [self._value(schema.get("items", {})) for _ in range(count)]

    def _text(self, schema: dict[str, Any]) -> str:
        low, high = schema.get("minLength", 0), schema.get("maxLength", 10_000)
        if "pattern" in schema and self._chance.random() < 0.8:
            return ("a1" * 50)[: max(low, min(high, self._chance.randint(1, 12)))]
        fitting = [text for text in TEXTS if low <= len(text) <= high]
        return self._chance.choice(fitting or ["a" * low])

    def _integer(self, schema: dict[str, Any]) -> Any:
        low, high = self._bounds(schema)
        return self._chance.choice((int(low), int(high), self._chance.randint(int(low), int(high)), float(int(low))))

    def _number(self, schema: dict[str, Any]) -> Any:
        low, high = self._bounds(schema)
        return self._chance.choice((low, high, self._chance.uniform(low, high)))

    @staticmethod
    def _bounds(schema: dict[str, Any]) -> tuple[float, float]:
        low = schema.get("minimum", schema.get("exclusiveMinimum", 0))
        return low, schema.get("maximum", schema.get("exclusiveMaximum", low + 20))
