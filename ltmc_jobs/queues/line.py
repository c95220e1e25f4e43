"""Line: a connection kept at hand for scripts that are run often.

Around each command redis-py's pool looks at a connection twice, with a system call, and counts it four times: that
costs more than most scripts do. What goes wrong here is left to redis-py, which connects and tries again as it is told
to: each script is safe to send twice.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Sequence
from typing import Any

import redis
from hiredis import pack_command
from redis import Redis
from redis.exceptions import NoScriptError

from ltmc_jobs.queues.scripts import Script


class Line:
    """One connection beside a client's others; a second thread at the same moment takes one of those."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._idle: deque[Any] = deque()
        self._pid = 0

    def run(self, script: Script, arguments: Sequence[Any]) -> Any:
        """The script's answer; raises as `Script.run` does."""
        connection = self._taken()
        if connection is None:
            return script.run(self._client, arguments)
        clean = False
        try:
            packed = pack_command(("EVALSHA", script.digest, 0, *arguments))
            connection.send_packed_command([packed], check_health=False)
            answer = connection.read_response()
            clean = True
        except (redis.ConnectionError, redis.TimeoutError):
            pass
        except NoScriptError:
            clean = True
        except redis.ResponseError:
            clean = True
            raise
        else:
            return answer
        finally:
            if not clean:  # also where the caller was interrupted: an answer that nobody reads would be the next one's
                connection.disconnect()
            self._idle.append(connection)
        return script.run(self._client, arguments)

    def _taken(self) -> Any:
        if self._pid != os.getpid():  # at first, and after a fork
            try:
                connection = self._client.connection_pool.get_connection()
            except (redis.ConnectionError, redis.TimeoutError):
                return None
            self._idle, self._pid = deque(), os.getpid()
            return connection
        try:
            return self._idle.pop()
        except IndexError:
            return None
