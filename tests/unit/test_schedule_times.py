"""When recurring jobs are due: time zones, daylight saving, what is no cron string."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ltmc_jobs.errors import InvalidArguments
from ltmc_jobs.queues.schedules.timetable import check_cron, local_zone, next_time, zone

BERLIN = "Europe/Berlin"


def ticks(cron: str, place: str, start: str, count: int) -> list[str]:
    """The next ticks from a local time on, as `day hour:minute offset`."""
    moment = datetime.fromisoformat(start).replace(tzinfo=ZoneInfo(place)).timestamp()
    found = []
    for _ in range(count):
        moment = next_time(cron, place, moment)
        found.append(datetime.fromtimestamp(moment, ZoneInfo(place)).strftime("%d %H:%M %z"))
    return found


def test_a_daily_job_runs_once_on_the_day_the_clocks_go_forward() -> None:
    """02:30 does not exist on 29 March 2026: it runs an hour later by the clock, 24 hours after the day before."""
    assert ticks("30 2 * * *", BERLIN, "2026-03-28T00:00", 3) == ["28 02:30 +0100", "29 03:30 +0200", "30 02:30 +0200"]


def test_a_daily_job_runs_once_on_the_day_the_clocks_go_back() -> None:
    """02:30 comes twice on 25 October 2026."""
    assert ticks("30 2 * * *", BERLIN, "2026-10-24T12:00", 2) == ["25 02:30 +0200", "26 02:30 +0100"]


def test_hourly_jobs_run_every_real_hour() -> None:
    assert ticks("0 * * * *", BERLIN, "2026-03-29T00:30", 3) == ["29 01:00 +0100", "29 03:00 +0200", "29 04:00 +0200"]
    assert ticks("0 * * * *", BERLIN, "2026-10-25T00:30", 4) == [
        "25 01:00 +0200",
        "25 02:00 +0200",
        "25 02:00 +0100",
        "25 03:00 +0100",
    ]


def test_every_few_minutes_is_real_time_too() -> None:
    assert ticks("*/30 * * * *", BERLIN, "2026-10-25T01:40", 5) == [
        "25 02:00 +0200",
        "25 02:30 +0200",
        "25 02:00 +0100",
        "25 02:30 +0100",
        "25 03:00 +0100",
    ]


def test_ticks_that_daylight_saving_puts_together_are_one() -> None:
    assert ticks("30 2,3 * * *", BERLIN, "2026-03-29T00:00", 2) == ["29 03:30 +0200", "30 02:30 +0200"]


def test_a_jump_of_half_an_hour() -> None:
    """Lord Howe Island: 02:00 to 02:30 does not exist on 4 October 2026."""
    place = "Australia/Lord_Howe"
    assert ticks("10,35 2 * * *", place, "2026-10-04T00:00", 3) == [
        "04 02:35 +1100",
        "04 02:40 +1100",
        "05 02:10 +1100",
    ]


def test_a_midnight_that_does_not_exist() -> None:
    assert ticks("0 0 * * *", "Asia/Beirut", "2025-03-29T12:00", 2) == ["30 01:00 +0300", "31 00:00 +0300"]


def test_zones_differ() -> None:
    start = datetime(2026, 6, 1, tzinfo=UTC).timestamp()
    hours = {
        place: datetime.fromtimestamp(next_time("0 9 * * *", place, start), UTC).hour
        for place in ("UTC", BERLIN, "America/New_York", "Asia/Kolkata")
    }
    assert hours == {"UTC": 9, BERLIN: 7, "America/New_York": 13, "Asia/Kolkata": 3}


@settings(max_examples=60, deadline=None)
@given(
    cron=st.sampled_from(["*/7 * * * *", "5 * * * *", "0 2 * * *", "15,45 1-3 * * *", "0 */2 * * *", "0 0 1 * *"]),
    place=st.sampled_from([BERLIN, "America/New_York", "Australia/Lord_Howe", "UTC", "Asia/Kolkata"]),
    start=st.datetimes(datetime(2024, 1, 1), datetime(2028, 1, 1)),  # noqa: DTZ001 (hypothesis adds the zone)
)
def test_ticks_only_go_forward_and_none_is_left_out(cron: str, place: str, start: datetime) -> None:
    """From any moment: the next tick is later, and from just before it the same one is next."""
    moment = start.replace(tzinfo=UTC).timestamp()
    for _ in range(5):
        found = next_time(cron, place, moment)
        assert found > moment
        assert next_time(cron, place, found - 0.5) == found
        assert next_time(cron, place, (moment + found) / 2) == found
        moment = found


@pytest.mark.parametrize("place", [BERLIN, "America/New_York", "Australia/Lord_Howe"])
def test_a_year_of_days_and_a_year_of_hours(place: str) -> None:
    """A daily job runs on each day of the year, an hourly one as often as there are hours."""
    begin = datetime(2026, 1, 1, tzinfo=ZoneInfo(place))
    end = datetime(2027, 1, 1, tzinfo=ZoneInfo(place)).timestamp()
    for cron, expected in (("30 2 * * *", 365), ("0 * * * *", 365 * 24)):
        moment, count = begin.timestamp() - 1, 0
        while (moment := next_time(cron, place, moment)) < end:
            count += 1
        # Where the clocks change by half an hour, two full hours of the year are half ones.
        assert abs(count - expected) <= (1 if place == "Australia/Lord_Howe" else 0), cron


@pytest.mark.parametrize(
    "cron", ["", "x", "* * * *", "* * * * * *", "61 * * * *", "0 0 30 2 *", "R * * * *", "@reboot"]
)
def test_what_is_no_cron_string_is_refused(cron: str) -> None:
    with pytest.raises(InvalidArguments, match="no cron string"):
        check_cron(cron)


@pytest.mark.parametrize("cron", ["0 9 * mar-apr fri", "@hourly", "*/5 0-6 1,15 * *", "0 0 L * *"])
def test_cron_strings(cron: str) -> None:
    check_cron(cron)
    assert next_time(cron, "UTC", 0) > 0


def test_zones_have_names(monkeypatch: pytest.MonkeyPatch) -> None:
    for wrong in ("Nowhere/Land", "", "../etc/passwd", "Europe"):
        with pytest.raises(InvalidArguments, match="time zone"):
            zone(wrong)
    monkeypatch.setenv("TZ", "America/New_York")
    assert local_zone() == "America/New_York"
    assert datetime.fromtimestamp(0, zone("America/New_York")).utcoffset() == timedelta(hours=-5)
