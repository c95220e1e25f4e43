"""`python -m tests.chaos.wrong_clock SHIFT_SECONDS rq-arguments…`: RQ's command line with a clock that is off."""

from __future__ import annotations

import datetime
import sys
import time

_time = time.time
SHIFT_SECONDS = float(sys.argv[1]) if __name__ == "__main__" else 0.0


class Shifted(datetime.datetime):
    """datetime, as that machine sees it."""

    @classmethod
    def now(cls, tz: datetime.tzinfo | None = None) -> Shifted:
        return cls.fromtimestamp(_time() + SHIFT_SECONDS, tz)


if __name__ == "__main__":
    time.time = lambda: _time() + SHIFT_SECONDS
    datetime.datetime = Shifted  # type: ignore[misc]

    from rq.cli import main
    from rq.utils import current_timestamp

    assert current_timestamp() - _time() > SHIFT_SECONDS - 2
    sys.exit(main(sys.argv[2:]))
