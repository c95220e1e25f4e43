"""V06, V07, V21, V23, V25: variables, their other names, what is refused, and the table of them all."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from pydantic import SecretStr

from api import settings_table
from ltmc_jobs.errors import Misconfigured
from ltmc_jobs.settings import Settings
from tests.conftest import clean_environment

ROOT = Path(__file__).parents[2]
CODE = sorted(path for folder in ("ltmc_jobs", "workers", "api") for path in (ROOT / folder).rglob("*.py"))

# Variables that are not ours, and are read as every program reads them.
NOT_OURS: set[str] = {"PYTHONPATH", "NO_COLOR", "TZ"}

MakeSettings = Callable[..., Settings]


def test_v06_paths_stand_in_the_home_unless_absolute(make_settings: MakeSettings, tmp_path: Path) -> None:
    """V06: DB_PATH and FAISS_INDEX_PATH."""
    settings = make_settings()
    assert settings.records_file == settings.home / "ltmc.db"
    assert settings.vectors_directory == settings.home / "faiss_index"
    given = make_settings(DB_PATH="sub/my.db", FAISS_INDEX_PATH=tmp_path / "index")
    assert given.records_file == given.home / "sub" / "my.db"
    assert given.vectors_directory == tmp_path / "index"


def test_a_relative_home_does_not_move_with_the_working_directory(make_settings: MakeSettings, tmp_path: Path) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path)
        settings = make_settings(LTMC_HOME="here")
    assert settings.home == tmp_path / "here"


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING", "ERROR", "warning"])
def test_v07_four_log_levels(make_settings: MakeSettings, level: str) -> None:
    """V07: in any case."""
    assert make_settings(LOG_LEVEL=level).log_level == level.upper()
    assert make_settings().log_level == "INFO"


@pytest.mark.parametrize(
    ("variable", "value", "told"),
    [
        ("LOG_LEVEL", "LOUD", "'DEBUG'"),
        ("HTTP_PORT", "0", "greater than or equal to 1"),
        ("HTTP_PORT", "http", "integer"),
        ("LTMC_WORKERS", "none", "integer"),
        ("ORCHESTRATION_MODE", "partly", "'disabled', 'basic', 'full' or 'debug'"),
        ("NEO4J_ENABLED", "perhaps", "boolean"),
        ("LTMC_PROJECT", "../x", "letters"),
        ("LTMC_WAIT", "46", "45"),
    ],
)
def test_a_wrong_value_is_refused_in_one_line_that_names_it(
    make_settings: MakeSettings, variable: str, value: str, told: str
) -> None:
    """V07 and the others: the variable, what is wrong, what was given."""
    with pytest.raises(Misconfigured) as refused:
        make_settings(**{variable: value})
    message = str(refused.value)
    assert message.startswith(f"{variable}: ")
    assert told in message
    assert value in message
    assert "\n" not in message


def test_v21_neo4j_is_used_when_named_and_not_switched_off(make_settings: MakeSettings) -> None:
    """V21."""
    assert make_settings().graph_address == "sqlite:"
    named = make_settings(NEO4J_URI="bolt://db:7687", NEO4J_USER="me", NEO4J_PASSWORD="p", NEO4J_DATABASE="d")
    assert named.graph_address == "bolt://db:7687"
    assert (named.neo4j_uri, named.neo4j_user, named.neo4j_database) == ("bolt://db:7687", "me", "d")
    assert named.neo4j_password is not None
    assert named.neo4j_password.get_secret_value() == "p"
    assert make_settings(NEO4J_URI="bolt://db:7687", NEO4J_ENABLED="false").graph_address == "sqlite:"


@pytest.mark.parametrize(
    ("variable", "value", "field", "read"),
    [
        ("LETTA_WORKER_COUNT", "7", "worker_count", 7),
        ("LETTA_WORKER_LOG_LEVEL", "ERROR", "log_level", "ERROR"),
        ("LTMC_LOG_LEVEL", "ERROR", "log_level", "ERROR"),
        ("LETTA_USE_REDIS_QUEUE", "false", "use_queue", False),
    ],
)
def test_v23_the_originals_names_are_accepted(
    make_settings: MakeSettings, variable: str, value: str, field: str, read: object
) -> None:
    """V23: and ours wins where both are set."""
    assert getattr(make_settings(**{variable: value}), field) == read
    assert make_settings(LETTA_WORKER_COUNT=7, LTMC_WORKERS=3).worker_count == 3


def test_v23_letta_redis_url_is_the_address(make_settings: MakeSettings) -> None:
    """V23."""
    settings = make_settings(LETTA_REDIS_URL="redis://:secret@there:7000/3", REDIS_HOST="elsewhere")
    assert settings.redis_address() == "redis://:secret@there:7000/3"
    assert settings.redis_shown() == "redis://there:7000/3"
    assert not settings.redis_is_embedded


def test_no_secret_has_a_default_and_none_is_shown(make_settings: MakeSettings) -> None:
    """V09, V21: no default password in code."""
    secrets = [row for row in settings_table.rows() if row.secret]
    assert {name for row in secrets for name in row.names} >= {"REDIS_PASSWORD", "NEO4J_PASSWORD", "REDIS_URL"}
    assert all(row.default == "–" for row in secrets)
    for row in settings_table.rows():
        assert (
            row.secret
            or not re.search(r"PASSWORD|SIGNING_KEY|_TOKEN$|SECRET", row.names[0])
            or "REQUIRE" in row.names[0]
        )
    shown = repr(make_settings(REDIS_PASSWORD="hunter2", REDIS_URL="redis://:hunter2@h/0", LTMC_TOKEN="hunter2"))
    assert "hunter2" not in shown


def test_v25_the_table_is_generated() -> None:
    """V25: docs/settings.md is what `ltmc settings --markdown` prints."""
    written = (ROOT / "docs" / "settings.md").read_text()
    assert written == settings_table.table(), "run `ltmc settings --markdown > docs/settings.md`"


def test_v25_every_row_says_what_it_does() -> None:
    """V25: name, type, default, effect."""
    for row in settings_table.rows():
        assert row.effect, row.names
        assert row.type, row.names
        assert all(re.fullmatch(r"[A-Z][A-Z0-9_]+", name) for name in row.names)


def test_v25_code_reads_no_other_variable() -> None:
    """V25: nothing beside Settings looks into the environment."""
    known = {name for row in settings_table.rows() for name in row.names} | NOT_OURS
    read = [(path.relative_to(ROOT), name) for path in CODE for name in environment_reads(path)]
    assert [(str(path), name) for path, name in read if name not in known] == []


def test_v25_the_scan_sees_every_way_of_reading(tmp_path: Path) -> None:
    """V25: the check itself can fail."""
    file = tmp_path / "reads.py"
    file.write_text(
        "os.environ['A'], os.environ.get('B'), os.getenv('C'), environ.pop('D'), os.environ.setdefault('E')"
    )
    assert list(environment_reads(file)) == ["A", "B", "C", "D", "E"]


def test_v25_the_table_names_nothing_that_nobody_reads() -> None:
    """V25: each setting is used beyond its definition."""
    used: set[str] = set()
    for path in CODE:
        used |= {node.attr for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Attribute)}
    assert [name for name in Settings.model_fields if name not in used] == []


def environment_reads(path: Path) -> Iterator[str]:
    """The variables that a file reads by name, in any usual way; `?` for a computed name."""
    for node in ast.walk(ast.parse(path.read_text())):
        found: ast.expr | None = None
        if isinstance(node, ast.Subscript) and _is_environ(node.value) and isinstance(node.ctx, ast.Load):
            found = node.slice
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            reads = node.func.attr in ("get", "pop", "setdefault") and _is_environ(node.func.value)
            found = node.args[0] if node.args and (reads or node.func.attr == "getenv") else None
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "getenv":
            found = node.args[0]
        if found is not None:
            yield str(found.value) if isinstance(found, ast.Constant) else "?"


def _is_environ(node: ast.expr) -> bool:
    return (isinstance(node, ast.Attribute) and node.attr in ("environ", "environb")) or (
        isinstance(node, ast.Name) and node.id == "environ"
    )


def test_secrets_are_secret_types() -> None:
    """A plain string would be shown by any log line."""
    for name in ("redis_password", "redis_url", "neo4j_password", "token", "signing_key"):
        assert "SecretStr" in str(Settings.model_fields[name].annotation)
    assert "x" not in str(SecretStr("x"))


@pytest.mark.parametrize(("name", "value"), [("project", "stray"), ("token", "t" * 20), ("http_port", "1234")])
def test_lower_case_variables_are_not_ours(
    make_settings: MakeSettings, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    monkeypatch.setenv(name, value)
    settings = make_settings()
    assert (settings.project, settings.token, settings.http_port) == ("default", None, 5050)


def test_an_empty_variable_is_an_unset_one(make_settings: MakeSettings) -> None:
    settings = make_settings(REDIS_URL="", HTTP_PORT="", LTMC_TOKEN="")
    assert (settings.redis_url, settings.http_port, settings.token) == (None, 5050, None)


@pytest.mark.parametrize(
    ("address", "whole"),
    [
        ("redis://there:7000/3", "redis://:p%40ss@there:7000/3"),
        ("redis://me@there/0", "redis://me:p%40ss@there/0"),
        ("redis://:own@there/0", "redis://:own@there/0"),
        ("unix:///run/redis.sock?db=2", "unix://:p%40ss@/run/redis.sock?db=2"),
    ],
)
def test_a_password_completes_an_address_without_one(make_settings: MakeSettings, address: str, whole: str) -> None:
    assert make_settings(REDIS_URL=address, REDIS_PASSWORD="p@ss").redis_address() == whole


def test_an_ipv6_host_is_bracketed(make_settings: MakeSettings) -> None:
    assert make_settings(REDIS_HOST="::1").redis_address() == "redis://[::1]:6381/0"


@pytest.mark.parametrize("address", ["foo", "http://h/0", "redis://", "redis://:sesame@h:port/0"])
def test_what_is_no_redis_address_is_named_and_not_shown(make_settings: MakeSettings, address: str) -> None:
    with pytest.raises(Misconfigured, match=r"^REDIS_URL: not a Redis address[^\n]*$") as refused:
        make_settings(REDIS_URL=address)
    assert "sesame" not in str(refused.value)


@pytest.mark.parametrize(
    ("variable", "value", "instead"),
    [
        ("RECORDS_URL", "sqlite:////srv/x.db", "DB_PATH"),
        ("GRAPH_URL", "sqlite:x.db", "DB_PATH"),
        ("VECTORS_URL", "faiss:///srv/index", "FAISS_INDEX_PATH"),
    ],
)
def test_a_path_in_a_backends_address_is_refused(
    make_settings: MakeSettings, variable: str, value: str, instead: str
) -> None:
    with pytest.raises(Misconfigured, match=rf"^{variable}: .*{instead}"):
        make_settings(**{variable: value})
    assert make_settings(**{variable: value.partition(":")[0] + "://"})


def test_all_wrong_values_are_named_a_line_each(make_settings: MakeSettings) -> None:
    with pytest.raises(Misconfigured) as refused:
        make_settings(LOG_LEVEL="loud", HTTP_PORT="0", ORCHESTRATION_MODE="x")
    lines = str(refused.value).splitlines()
    assert sorted(line.partition(":")[0] for line in lines) == ["HTTP_PORT", "LOG_LEVEL", "ORCHESTRATION_MODE"]


def test_the_scripts_variables_stand_in_the_table() -> None:
    """Every upper-case variable that setup reads and that is neither its own nor a program's."""
    read = set(re.findall(r"\$\{((?:LTMC_)?[A-Z]+)[:}-]", (ROOT / "deploy" / "setup.sh").read_text()))
    assert read == set(settings_table.SCRIPT_VARIABLES)


def test_a_relative_home_is_the_callers(tmp_path: Path) -> None:
    """The script goes to its checkout before anything reads the variable."""
    shown = subprocess.run(
        [ROOT / "start_workers.sh", "status"],
        cwd=tmp_path,
        env=clean_environment(Path("mine"), LOG_LEVEL="loud"),
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert shown.returncode == 3, shown.stderr
    assert "not installed" in shown.stdout or str(tmp_path / "mine") in shown.stdout
