"""When something recurs: cron strings in real time zones, daylight saving included; times are seconds since 1970."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from pathlib import Path
from zoneinfo import ZoneInfo

from croniter import CroniterError, croniter

from ltmc_jobs.errors import InvalidArguments

DAY = timedelta(days=1)
ALIASES = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
EPOCH = datetime(2001, 1, 1, tzinfo=UTC)


@lru_cache(maxsize=256)
def check_cron(cron: str) -> None:
    """Refuse what is no cron string of five fields, or names no day that ever comes, as InvalidArguments."""
    fields = ALIASES.get(cron, cron)
    if len(fields.split()) != 5 or "r" in fields.lower().replace("mar", "").replace("apr", "").replace("fri", ""):
        raise InvalidArguments(
            f"{cron!r} is no cron string: write minute, hour, day of month, month, day of week (or @daily, …)"
        )
    try:
        croniter(fields, EPOCH).get_next(datetime)
    except (CroniterError, ValueError) as error:
        raise InvalidArguments(f"{cron!r} is no cron string: {error}") from None


@lru_cache(maxsize=64)
def zone(name: str) -> tzinfo:
    """The time zone of an IANA name; InvalidArguments for any other."""
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (OSError, ValueError, LookupError):
        raise InvalidArguments(f"there is no time zone {name!r}: write one such as Europe/Berlin, or UTC") from None


def local_zone() -> str:
    """The name of this host's time zone: TZ, or what /etc/localtime leads to."""
    name = os.environ.get("TZ", "").removeprefix(":")
    if not name:
        name = str(Path("/etc/localtime").resolve()).partition("zoneinfo/")[2]
    if not name:
        raise InvalidArguments("this host does not say its time zone by name: give timezone='Europe/Berlin' or such")
    zone(name)
    return name


@lru_cache(maxsize=4096)  # many schedules share their times: all that run at midnight
def next_time(cron: str, timezone_name: str, after: float) -> int:
    """The first tick later than `after`.

    Where every hour is asked for, ticks follow real time: in the hour that daylight saving repeats they come twice,
    in the one that it leaves out not at all. Where hours are named, each tick comes once a day: in the repeated hour
    the first time, and out of the left-out hour as much later as the clock jumps (02:30 becomes 03:30).
    """
    cron, place = ALIASES.get(cron, cron), zone(timezone_name)
    every_hour = croniter.expand(cron)[0][1] == ["*"]
    start = datetime.fromtimestamp(after, place)
    best: datetime | None = None
    limit: datetime | None = None
    for wall in _walls(cron, start.replace(tzinfo=None, fold=0) - _jump(start)):
        if limit is not None and wall > limit:
            break
        for moment in _moments(wall, place, every_hour):
            if moment.timestamp() > after and (best is None or moment < best):
                # A tick out of a left-out hour may come later than the one after it.
                limit = wall + _jump(moment.astimezone(place)) if best is None else limit
                best = moment
    assert best is not None
    return int(best.timestamp())


def _walls(cron: str, after: datetime) -> Iterator[datetime]:
    """The times of a cron string as a clock on the wall shows them, later than `after`."""
    found = croniter(cron, after)
    while True:
        yield found.get_next(datetime)


def _moments(wall: datetime, place: tzinfo, every_hour: bool) -> Iterator[datetime]:
    """When a clock there shows, or would have shown, this time; in UTC."""
    first = wall.replace(tzinfo=place).astimezone(UTC)
    if not every_hour:
        yield first
        return
    for moment in (first, wall.replace(tzinfo=place, fold=1).astimezone(UTC)):
        if moment.astimezone(place).replace(tzinfo=None, fold=0) == wall:
            yield moment


def _jump(moment: datetime) -> timedelta:
    """By how much the clocks change within a day of this moment."""
    place, utc = moment.tzinfo, moment.astimezone(UTC)
    before, later = ((utc + days).astimezone(place).utcoffset() for days in (-DAY, DAY))
    return abs((later or timedelta()) - (before or timedelta()))
