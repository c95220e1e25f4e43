"""Two front ends of one platform, asked by turns: as behind a load balancer that knows no sessions."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import cycle

import httpx

from tests.acceptance.conftest import Platform
from tests.acceptance.front import Front, web_of


class Turns(httpx.BaseTransport):
    """Sends each request to the next front end."""

    def __init__(self, *urls: str) -> None:
        self._inner = httpx.HTTPTransport()
        self._next = cycle(httpx.URL(url) for url in urls)
        self.served = dict.fromkeys(urls, 0)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        url = next(self._next)
        self.served[str(url)] += 1
        is_ours = request.headers["host"] == request.url.netloc.decode()  # else the test's own
        request.url = request.url.copy_with(host=url.host, port=url.port)
        if is_ours:
            request.headers["host"] = request.url.netloc.decode()
        return self._inner.handle_request(request)

    def close(self) -> None:
        self._inner.close()


@contextmanager
def by_turns(platform: Platform) -> Iterator[httpx.Client]:
    """A second front end beside the platform's own, with its Redis, its workers and its home; both, by turns."""
    front = Front(platform.home, REDIS_PORT=platform.env["REDIS_PORT"]).start(make_key=False).wait()
    turns = Turns(platform.url, front.url)
    try:
        with web_of(platform.url, transport=turns) as opened:
            yield opened
        least, most = sorted(turns.served.values())
        assert most - least <= 1, turns.served
    finally:
        front.stop()
