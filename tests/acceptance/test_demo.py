"""D07: `ltmc demo` in one command, from nothing, as a newcomer runs it."""

from __future__ import annotations

from collections.abc import Callable

from tests.acceptance.conftest import Platform


def test_d07_demo_starts_the_platform_and_answers_its_questions(own_platform: Callable[..., Platform]) -> None:
    """D07: what it prints is checked."""
    platform = own_platform()
    first = platform.ltmc("demo", seconds=115)
    assert first.returncode == 0, first.stdout + first.stderr
    assert "no platform runs here; starting one" in first.stdout
    assert "9 documents are searchable in project demo" in first.stdout
    for source in ("demo/mirror.md", "demo/visitors.html", "demo/weather.md", "demo/sharpness.py"):
        assert source in first.stdout
    assert "score 0." in first.stdout
    assert "All four are right" in first.stdout
    again = platform.ltmc("demo")
    assert again.returncode == 0, again.stdout + again.stderr
    assert "starting one" not in again.stdout
    assert "9 documents are searchable" in again.stdout
