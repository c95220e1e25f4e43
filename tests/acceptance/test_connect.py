"""`ltmc connect`: real files of each client in a home of the test's own, and what they start, which answers."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from mcp import Client as McpClient
from mcp import StdioServerParameters
from mcp.client.stdio import stdio_client

from api.connect.command import connect
from tests.acceptance.conftest import ROOT, Platform
from tests.acceptance.front import store, web_of
from tests.conftest import setting_variables

CLAUDE = """{
\t"numStartups": 7,
\t"mcpServers": {
\t\t"other": {"command": "x", "args": [ ]}
\t},
\t"é": "ü"
}
""".replace("\n", "\r\n")
SETTINGS = """{
    "permissions": {"allow": ["Bash(ls:*)"]},
    "hooks": {
        "SessionStart": [
            {"matcher": "startup", "hooks": [{"type": "command", "command": "echo mine"}]}
        ]
    }
}
"""
VSCODE = """// my servers
{
  "inputs": [],
  "servers": {
    "other": {"type": "http", "url": "http://x/mcp"}, // keep this
  },
}
"""
FILES = {
    "claude-code": {".claude.json": CLAUDE, ".claude/settings.json": SETTINGS},
    "claude-desktop": {".config/Claude/claude_desktop_config.json": "{\n}"},
    "cursor": {".cursor/mcp.json": "", ".cursor/hooks.json": '{"version": 1, "hooks": {}}\n'},
    "vscode": {".config/Code/User/mcp.json": VSCODE},
}
SERVERS = {
    "claude-code": (".claude.json", "mcpServers"),
    "claude-desktop": (".config/Claude/claude_desktop_config.json", "mcpServers"),
    "cursor": (".cursor/mcp.json", "mcpServers"),
    "vscode": (".config/Code/User/mcp.json", "servers"),
}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's home, where `ltmc connect` finds clients."""
    place = tmp_path / "user"
    place.mkdir()
    for name in setting_variables():
        monkeypatch.delenv(name, raising=False)
    for name, value in {"HOME": place, "LTMC_HOME": tmp_path / "ltmc", "PYTHONPATH": ROOT}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.delenv("XDG_CONFIG_HOME", raising=False)
    monkeypatch.chdir(place)
    return place


@pytest.fixture
def served(home: Path, platform: Platform, monkeypatch: pytest.MonkeyPatch) -> Platform:
    """The running platform, whose variables are set where `ltmc connect` is called."""
    for name in ("LTMC_HOME", "HTTP_PORT", "REDIS_PORT"):
        monkeypatch.setenv(name, platform.env[name])
    return platform


def run(*arguments: str, answer: str = "") -> Result:
    return CliRunner().invoke(connect, arguments, input=answer)


def lay_out(home: Path, client: str) -> None:
    for name, text in FILES[client].items():
        file = home / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text.encode())


def everything(home: Path) -> dict[str, bytes | None]:
    """Every path below, with its bytes where it is a file."""
    return {str(path.relative_to(home)): path.read_bytes() if path.is_file() else None for path in home.rglob("*")}


def entry_of(home: Path, client: str) -> dict[str, Any]:
    name, key = SERVERS[client]
    lines = [line.partition("//")[0] if "http" not in line else "" for line in (home / name).read_text().splitlines()]
    text = "\n".join(lines).replace("},\n  },", "}\n  }").replace("},\n}", "}\n}").replace("},\n  }", "}\n  }")
    found: dict[str, Any] = json.loads(text)[key]["ltmc"]
    return found


@pytest.mark.parametrize("client", sorted(FILES))
@pytest.mark.parametrize("there", [True, False])
def test_it_is_connected_once_and_undone_to_the_byte(home: Path, client: str, there: bool) -> None:
    """With files that have something, in their own style, and where the client has none yet."""
    if there:
        lay_out(home, client)
    before = everything(home)
    done = run(client, "--yes", "--project", "engines")
    assert done.exit_code == 0, done.output
    after = everything(home)
    for name, text in before.items():  # a line that was there is there still, but for a comma
        for line in (text or b"").replace(b"{}", b"").splitlines():
            assert line.rstrip(b", }") in (after[name] or b""), (name, line)
    assert "nothing to change" in run(client, "--yes", "--project", "engines").output
    assert everything(home) == after
    assert entry_of(home, client)["args"][-3:] == ["mcp", "--project", "engines"]
    assert run(client, "--yes", "--project", "other").exit_code == 0  # changed, not doubled
    assert entry_of(home, client)["args"][-1] == "other"
    written = b"".join(text or b"" for text in everything(home).values())
    assert (b"engines" in written, written.count(b"hook pre-compact")) == (False, int(client != "claude-desktop"))
    removed = run(client, "--remove", "--yes")
    assert removed.exit_code == 0, removed.output
    assert everything(home) == before
    assert "not connected" in run(client, "--remove", "--yes").output


def test_the_change_is_shown_and_asked_for(home: Path) -> None:
    """No is no; --print writes the plain lines and nothing else."""
    lay_out(home, "claude-code")
    before = everything(home)
    refused = run("claude-code", answer="n\n")
    assert refused.exit_code == 1
    assert '+\t\t"ltmc": {'.replace("\t", "    ") in refused.output
    assert '-\t"numStartups"' not in refused.output
    printed = run("claude-code", "--print")
    assert '"SessionStart"' in printed.output
    assert everything(home) == before
    assert run("claude-code", answer="y\n").exit_code == 0
    assert everything(home) != before


def test_the_page_shows_the_plain_lines(home: Path) -> None:
    """Q06: docs/clients.md has what --print prints, but for the path."""
    page = (ROOT / "docs" / "clients.md").read_text()
    shown = json.loads(page.partition("```json\n")[2].partition("```")[0])
    printed = json.loads(run("claude-desktop", "--print").output.partition("\n")[2])
    printed["mcpServers"]["ltmc"].pop("env")
    assert printed["mcpServers"]["ltmc"]["command"].endswith("/.venv/bin/ltmc")
    assert printed == shown | {"mcpServers": {"ltmc": shown["mcpServers"]["ltmc"] | {
        "command": printed["mcpServers"]["ltmc"]["command"]}}}  # fmt: skip


@pytest.mark.parametrize(
    ("client", "name", "content", "told"),
    [
        ("claude-code", ".claude.json", '{\n  "a": 1,\n}\n', "line 3"),
        ("claude-code", ".claude.json", "// mine\n{}", "line 1"),
        ("claude-code", ".claude.json", '{"mcpServers": []}', "mcpServers is no object"),
        ("cursor", ".cursor/mcp.json", '{"mcpServers": {', "line 1: } is missing"),
        ("claude-code", ".claude/rules/ltmc.md", "my own\n", "not ours"),
    ],
)
def test_a_file_that_cannot_be_edited_is_refused_before_anything_is_written(
    home: Path, client: str, name: str, content: str, told: str
) -> None:
    """The reason and the line; none of the client's other files is touched either."""
    lay_out(home, client)
    (home / name).parent.mkdir(parents=True, exist_ok=True)
    (home / name).write_text(content)
    before = everything(home)
    refused = run(client, "--yes")
    assert refused.exit_code == 1
    assert told in str(refused.exception)
    assert name in str(refused.exception)
    assert everything(home) == before


def test_what_others_changed_meanwhile_stays(home: Path) -> None:
    """Then only what is ours goes: the entry, our hooks, what we made for them."""
    lay_out(home, "claude-code")
    assert run("claude-code", "--yes").exit_code == 0
    for name in (".claude.json", ".claude/settings.json"):
        file = home / name
        file.write_bytes(file.read_bytes().replace(b": 7", b": 8").replace(b"echo mine", b"echo yours"))
    (home / ".claude/rules/ltmc.md").write_text("my own words now\n")
    assert "nothing to change" in run("claude-code", "--yes").output  # nor are its words put back
    told = run("claude-code", "--remove", "--yes")
    assert "was changed by somebody else, and stays" in told.output
    assert (home / ".claude.json").read_bytes().decode() == CLAUDE.replace(": 7", ": 8")
    assert (home / ".claude/settings.json").read_text() == SETTINGS.replace("echo mine", "echo yours")
    assert (home / ".claude/rules/ltmc.md").read_text() == "my own words now\n"


def test_for_one_folder_and_over_http(home: Path) -> None:
    """--here leaves the user's files alone; no secret is written, only where it is."""
    for client, server in (
        ("claude-code", ".mcp.json"),
        ("cursor", ".cursor/mcp.json"),
        ("vscode", ".vscode/mcp.json"),
    ):
        folder = home / f"work-{client}"
        folder.mkdir()
        os.chdir(folder)
        done = run(client, "--yes", "--here", "--http", "--no-hooks", "--project", "p")
        assert done.exit_code == 0, done.output
        assert f"ltmc connect {client} --here --remove" in done.output
        text = (folder / server).read_text()
        assert "/mcp?project=p" in text
        assert "hook" not in "".join(map(str, everything(folder)))
    assert not (home / ".claude.json").exists()
    assert "leave --http out" in str(run("claude-desktop", "--http", "--yes").exception)


def test_a_secret_is_not_written(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A password in the environment stays there, and the user is told."""
    monkeypatch.setenv("REDIS_PASSWORD", "hunter2")
    done = run("cursor", "--yes")
    assert "REDIS_PASSWORD is set here" in done.output
    assert b"hunter2" not in b"".join(text or b"" for text in everything(home).values())


async def test_the_written_command_starts_and_answers(home: Path, served: Platform) -> None:
    """As a client runs it: with the entry's own environment, from any directory."""
    assert run("claude-desktop", "--yes", "--project", "connected").exit_code == 0
    entry = entry_of(home, "claude-desktop")
    bare = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH")}
    command = StdioServerParameters(command=entry["command"], args=entry["args"], env=bare | entry["env"], cwd="/")
    async with McpClient(stdio_client(command)) as host:
        await host.call_tool("store_memory", {"file_name": "a.md", "content": "The kiln is fired on Fridays."})
        found = await host.call_tool("retrieve_memory", {"query": "when is the kiln fired"})
        assert "kiln" in str(found.structured_content)


def hooks_of(home: Path) -> dict[str, str]:
    """The commands that Claude Code would run, by event."""
    groups = json.loads((home / ".claude/settings.json").read_text())["hooks"]
    return {event: group[-1]["hooks"][0]["command"] for event, group in groups.items()}


def call_hook(command: str, told: dict[str, Any], home: Path) -> subprocess.CompletedProcess[str]:
    bare = {name: os.environ[name] for name in ("PATH", "HOME", "PYTHONPATH")}
    return subprocess.run(
        ["/bin/sh", "-c", command],
        input=json.dumps(told),
        env=bare,
        cwd=home,
        capture_output=True,
        text=True,
        check=True,
    )


def test_the_hooks_recall_at_the_start_and_save_before_compaction(home: Path, served: Platform) -> None:
    """What Claude Code is given when a session begins; what it said so far is kept, without what tools put out."""
    with web_of(served.url) as web:
        store(web, "plan.md", {"X-LTMC-Project": "hooked"}, content="Decision for pottery: glaze with ash.")
    assert run("claude-code", "--yes", "--project", "hooked").exit_code == 0
    hooks = hooks_of(home)
    began = {"session_id": "s-1", "cwd": "/home/me/pottery", "hook_event_name": "SessionStart", "source": "startup"}
    out = json.loads(call_hook(hooks["SessionStart"], began, home).stdout)["hookSpecificOutput"]
    assert out["hookEventName"] == "SessionStart"
    assert "glaze with ash" in out["additionalContext"]
    said = [
        {"type": "user", "message": {"role": "user", "content": "Shall the cups be fired twice?"}},
        {"type": "assistant", "message": {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "Yes, biscuit first; we decided so."},
            {"type": "tool_use", "name": "Bash", "input": {}}]}},
        {"type": "user", "message": {"role": "user", "content": [{"type": "tool_result", "content": "NOISE"}]}},
        {"type": "user", "isMeta": True, "message": {"role": "user", "content": "META"}},
    ]  # fmt: skip
    transcript = home / "s-1.jsonl"
    transcript.write_text("\n".join(map(json.dumps, said)) + "\n{half a li")
    told = began | {"hook_event_name": "PreCompact", "transcript_path": str(transcript), "trigger": "auto"}
    saved = call_hook(hooks["PreCompact"], told, home)
    assert (saved.stdout, "stored" in saved.stderr) == ("", True), saved.stderr
    again = json.loads(call_hook(hooks["SessionStart"], began | {"source": "compact"}, home).stdout)
    recalled = again["hookSpecificOutput"]["additionalContext"]
    assert "biscuit first" in recalled
    assert "NOISE" not in recalled
    assert "META" not in recalled


def test_a_hook_never_stops_its_client(home: Path) -> None:
    """No platform, no transcript, no JSON: a line on standard error, nothing on standard output, exit code 0."""
    assert run("claude-code", "--yes").exit_code == 0
    nowhere = shlex.join(["env", f"LTMC_HOME={home / 'nowhere'}", "REDIS_PORT=1"])
    for event, command in hooks_of(home).items():
        alone = f"{nowhere} {command.partition(' hook ')[0].split()[-1]} hook {command.partition(' hook ')[2]}"
        silent = call_hook(alone.replace("--wait 10", ""), {"transcript_path": "/none"}, home)
        assert (silent.stdout, silent.stderr.startswith("ltmc: ")) == ("", True), event
