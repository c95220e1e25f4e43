"""`python -m api`: serve the front end until SIGTERM."""

from __future__ import annotations

import asyncio
import gc
import socket
import sys
from contextlib import suppress
from types import FrameType

import uvicorn

from api.app import create_app
from ltmc_jobs import logs
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.settings import Settings

NOT_STARTED = 3  # as uvicorn's own command ends


def main() -> int:
    """0 after a stop, 2 when a setting is wrong, 3 when it could not start."""
    try:
        settings = Settings.load()
        logs.configure(settings.log_level, process="api")
        app = create_app(settings)
    except LtmcError as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return 2
    config = uvicorn.Config(
        app,
        host=settings.http_host,
        port=settings.http_port,
        log_config=None,
        access_log=False,
        server_header=False,
        proxy_headers=False,  # a proxy's word about the caller is not to be believed without the token
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=64 * 1024,
    )
    server = Server(config)
    with suppress(KeyboardInterrupt):  # uvicorn raises the signal anew when all is done
        server.run()
    return 0 if server.started else NOT_STARTED


class Server(uvicorn.Server):
    """Tells the application at the first signal that it ends, so that it can answer those who wait before it must."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().startup(sockets)
        # What is there now stays: a full collection would look through all of it, 90 ms in which nobody is answered.
        gc.collect()
        gc.freeze()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        self._loop.call_soon_threadsafe(self.config.app.state.drain)  # type: ignore[union-attr]
        super().handle_exit(sig, frame)


if __name__ == "__main__":
    sys.exit(main())
