"""The command line as a user has it: tools, jobs, errors with their cure, doctor, env."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any

from click.testing import CliRunner

from api import cli
from ltmc_jobs import client, registry
from tests.acceptance.conftest import Platform, ltmc_command
from tests.conftest import setting_variables
from tests.terminal import screen_of

ASH = "Ash burns while it is green."
assert client  # importing it declares the tools


def called(platform: Platform, *arguments: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """What `ltmc …` says when its output is piped: in this process, for what is not about processes."""
    env = {name: platform.env.get(name) for name in setting_variables()}
    words = [str(argument) for argument in arguments]
    done = CliRunner(env=env).invoke(cli.main, words, input=stdin, prog_name="ltmc")
    fault = "".join(traceback.format_exception(*done.exc_info)) if done.exc_info and done.exit_code else ""
    broken = fault if done.exception and not isinstance(done.exception, SystemExit) else ""
    return subprocess.CompletedProcess(words, done.exit_code, done.stdout, done.stderr + broken)


def printed(done: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """What a command that succeeded printed as JSON."""
    assert done.returncode == 0, done.stderr
    value: dict[str, Any] = json.loads(done.stdout)
    return value


def on_terminal(platform: Platform, *arguments: object, columns: int = 120) -> str:
    """What a command prints where somebody looks."""
    return screen_of(ltmc_command(arguments), platform.env, columns)


def test_every_tool_is_a_command_with_its_words_and_options(platform: Platform) -> None:
    """One definition: the registry's."""
    shown = called(platform, "--help").stdout
    for form in registry.forms():
        name = form.name.replace("_", "-")
        assert name in shown
        if form.name in ("export_memory", "import_memory"):  # whole files have commands of their own
            continue
        text = " ".join(called(platform, name, "--help").stdout.split())
        assert " ".join(form.description.split()) in text
        for option in form.input_schema["properties"]:
            assert f"--{option.replace('_', '-')}" in text


def test_store_and_retrieve(platform: Platform, tmp_path: Path) -> None:
    """Content by option, by standard input and from a file."""
    (tmp_path / "c.md").write_text("Cedar smells of pencils.")
    common = ("--project", "cli", "--wait-for", "searchable", "--wait", 45)
    stored = printed(called(platform, "store-memory", "--file-name", "a.md", "--content", ASH, *common))
    assert stored["success"] is True
    assert stored["state"] == "searchable"
    printed(called(platform, "store-memory", "--file-name", "b.md", "--content", "-", *common, stdin="Birch peels.\n"))
    printed(called(platform, "store-memory", "--file-name", "c.md", "--content", f"@{tmp_path}/c.md", *common))
    printed(called(platform, "store-memory", "--file-name", "d.md", "--content", "@@home in the woods", *common))
    for query, content in (
        ("Does ash burn while green?", ASH),
        ("Does the birch peel?", "Birch peels.\n"),
        ("Who is at home in the woods?", "@home in the woods"),
    ):
        found = printed(called(platform, "retrieve-memory", query, "--top-k", 1, "--project", "cli"))
        assert [passage["content"] for passage in found["retrieved_chunks"]] == [content]
    named = printed(called(platform, "retrieve-memory", "--query", "What does cedar smell of?", "--project", "cli"))
    assert named["retrieved_chunks"][0]["file_name"] == "c.md"


def test_a_terminal_gets_words_and_a_pipe_gets_json(platform: Platform) -> None:
    arguments = ("store-memory", "--file-name", "words.md", "--content", "Words", "--project", "terminal")
    assert "file_name      words.md" in on_terminal(platform, *arguments)
    assert json.loads(on_terminal(platform, *arguments, "--json"))["file_name"] == "words.md"
    assert "words.md [0–5]" in on_terminal(platform, "ask", "words", "--project", "terminal")


def test_a_call_that_does_not_wait_gives_its_job(platform: Platform) -> None:
    """And the job commands follow it."""
    arguments = ("--file-name", "later.md", "--content", "Later", "--project", "jobs")
    job_id = printed(called(platform, "store-memory", *arguments, "--wait", 0))["job_id"]
    result = printed(called(platform, "job-result", job_id, "--project", "jobs"))
    assert result["file_name"] == "later.md"
    assert printed(called(platform, "job-status", "--job-id", job_id, "--project", "jobs"))["status"] == "finished"
    assert printed(called(platform, "jobs", "show", job_id, "--project", "jobs"))["name"] == "store_memory"
    listed = printed(
        called(platform, "jobs", "list", "--project", "jobs", "--queue", "default", "--status", "finished")
    )
    assert [job["job_id"] for job in listed["jobs"]] == [job_id]
    shown = on_terminal(platform, "jobs", "list", "--project", "jobs", columns=80)
    assert re.search(rf"^{job_id}  store_memory +finished +\d\d:\d\d:\d\d *\r?$", shown, re.M), shown
    none = on_terminal(platform, "jobs", "list", "--project", "jobs", "--status", "failed")
    assert "no failed jobs in project jobs" in none
    foreign = called(platform, "jobs", "show", job_id, "--project", "others")
    assert foreign.returncode == 1
    assert foreign.stderr.startswith("not_found: ")
    retried = called(platform, "jobs", "retry", job_id, "--project", "jobs")
    assert retried.returncode == 1
    assert "only a failed job can be retried" in retried.stderr
    assert printed(called(platform, "jobs", "cancel", job_id, "--project", "jobs"))["cancelled"] is False
    assert not any(job_id in line for line in printed(called(platform, "jobs", "refused"))["refused"])


def test_a_wrong_call_is_told_apart_from_a_failed_one(platform: Platform) -> None:
    """Exit code 2 for the caller's fault, one line each."""
    for arguments, told in (
        (("store-memory", "--file-name", "a"), "content is required"),
        (("store-memory", "--file-name", "", "--content", "x"), "invalid_arguments: store_memory: file_name"),
        (("retrieve-memory",), "QUERY"),
        (("retrieve-memory", "x", "--query", "y"), "twice"),
        (("retrieve-memory", "x", "--top-k", "many"), "many"),
        (("store-memory", "--file-name", "a", "--content", "@/nowhere"), "No such file"),
        (("ask", "x", "--project", "../x"), "invalid_arguments: a project is"),
        (("no-such-tool",), "no-such-tool"),
    ):
        done = called(platform, *arguments)
        assert done.returncode == 2, (arguments, done)
        assert told in done.stderr
        assert "Traceback" not in done.stderr


def test_d09_when_nothing_runs_the_error_names_the_cure(own_platform: Callable[..., Platform]) -> None:
    """D09: before the first start, and after a stop, when what needs no Redis is served nevertheless."""
    platform = own_platform()
    never = platform.ltmc("ask", "anything")
    assert never.returncode == 1
    assert never.stderr.startswith(f"queue_unavailable: the platform does not run here (home {platform.home})")
    assert "./start_workers.sh" in never.stderr
    doctor = called(platform, "doctor")
    assert doctor.returncode == 1
    assert "does not answer" in doctor.stdout
    assert "./start_workers.sh" in doctor.stdout

    platform.workers("start", "--detach")
    assert platform.ltmc("status").returncode == 0
    healthy = called(platform, "doctor")
    assert healthy.returncode == 0, healthy.stdout
    assert "everything is fine" in healthy.stdout
    platform.home.chmod(0o755)
    opened = called(platform, "doctor")
    assert opened.returncode == 1
    assert f"chmod 700 {platform.home}" in opened.stdout
    platform.workers("stop")

    assert printed(platform.ltmc("ask", "anything"))["served"] == "locally"
    gone = called(platform, "fleet")
    assert gone.returncode == 1
    assert gone.stderr.startswith("queue_unavailable: ")
    assert "./start_workers.sh" in gone.stderr
    assert platform.ltmc("status").returncode == 3


def test_d09_doctor_names_a_wrong_setting_and_never_faints(own_platform: Callable[..., Platform]) -> None:
    """D09: whatever the environment holds."""
    for variables, told in (
        ({"HTTP_PORT": "none"}, "settings: HTTP_PORT"),
        ({"REDIS_URL": "nonsense"}, "Redis"),
        ({"REDIS_URL": "redis://192.0.2.1:1/0"}, "no password is given"),
        ({"REDIS_ENABLED": "false"}, "switched off"),
        ({"LTMC_HOME": "/proc/nowhere"}, "does not exist"),
        ({"EMBEDDING_MODEL": "other/model"}, ""),
    ):
        platform = own_platform()
        platform.env.update({name: str(value) for name, value in variables.items()})
        done = called(platform, "doctor")
        assert done.returncode == 1, (variables, done)
        assert told in done.stdout
        assert "the check itself failed" not in done.stdout
        assert "Traceback" not in done.stderr
        findings = json.loads(called(platform, "doctor", "--json").stdout)
        assert all(finding["cure"] for finding in findings if finding["level"] == "problem")
        platform.env.update(LTMC_HOME=str(platform.home), HTTP_PORT="5999")
        platform.env.pop("REDIS_URL", None)
        platform.env.pop("REDIS_ENABLED", None)


def test_a_wrong_setting_is_not_cured_by_a_start(platform: Platform) -> None:
    loud = Platform({**platform.env, "LOG_LEVEL": "LOUD"}, platform.url, platform.home)
    done = called(loud, "ask", "x")
    assert done.returncode == 2
    assert done.stderr.startswith("misconfigured: LOG_LEVEL")
    assert "start" not in done.stderr


def test_env_leads_rqs_own_tools_to_our_redis(platform: Platform) -> None:
    """`eval "$(ltmc env)"; rq info` counts our jobs."""
    done = called(platform, "env")
    assert done.returncode == 0
    shell = f'eval "$LINES"; {sys.executable} -m rq.cli info --raw'
    info = subprocess.run(
        ["sh", "-c", shell], env={**platform.env, "LINES": done.stdout}, capture_output=True, text=True, check=False
    )
    assert info.returncode == 0, info.stderr
    assert "queue default" in info.stdout
    assert info.stdout.count("\nworker ") >= 5
    assert f"export LTMC_HOME={platform.home}" in done.stdout


def test_settings_are_listed(platform: Platform) -> None:
    shown = on_terminal(platform, "settings", columns=80)
    assert "LTMC_HOME" in shown
    assert "Directory of all data, owner-only" in shown
    assert called(platform, "settings", "--markdown").stdout.startswith("# Settings\n")


def test_v06_everything_in_the_home_is_for_its_owner_alone(platform: Platform, tmp_path: Path) -> None:
    """V06: whatever the umask; what the command line writes too."""
    (tmp_path / "a.md").write_text("words")
    assert called(platform, "ingest", tmp_path / "a.md", "--project", "rights").returncode == 0
    opened = [path for path in platform.home.rglob("*") if not path.is_symlink() and path.stat().st_mode & 0o077]
    assert opened == []
    assert (platform.home / "ltmc.db").is_file()
    assert (platform.home / "faiss_index").is_dir()
