"""docs/keys.md says of each family of keys what keys.py says."""

from __future__ import annotations

from pathlib import Path

from ltmc_jobs import keys

PAGE = Path(__file__).parents[2] / "docs" / "keys.md"
HEAD = """# Redis keys

`ltmc:1:<project>:<family>:<id>`; ids are escaped, and `_` as project stands for the whole installation. RQ's own keys
(`rq:…`) are as RQ has them. A test compares this page with `ltmc_jobs/keys.py`.

| family | type | lives | how many, and what for |
| --- | --- | --- | --- |
"""


def test_every_family_is_documented() -> None:
    """M03: type, life and bound of each."""
    rows = [f"| `{family}` | {kind} | {life} | {bound} |\n" for family, (kind, life, bound) in keys.FAMILIES.items()]
    assert PAGE.read_text() == HEAD + "".join(rows)
