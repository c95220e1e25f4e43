"""`python -m api`: serve the front end until SIGTERM."""

from __future__ import annotations

import sys

import uvicorn

from api.app import create_app
from ltmc_jobs import logs
from ltmc_jobs.errors import LtmcError
from ltmc_jobs.settings import Settings


def main() -> int:
    """0 after a stop, 2 when a setting is wrong."""
    try:
        settings = Settings.load()
        logs.configure(settings.log_level, process="api")
        app = create_app(settings)
    except LtmcError as error:
        sys.stderr.write(f"{error.code}: {error}\n")
        return 2
    uvicorn.run(
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
    return 0


if __name__ == "__main__":
    sys.exit(main())
