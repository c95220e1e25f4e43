"""GET /metrics: Prometheus text; queues under rq-exporter's names, so that its Grafana boards work."""

from __future__ import annotations

from collections.abc import Iterator

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.metrics_core import Metric

from api.health import probe_of
from ltmc_jobs.shared import Shared


def render(shared: Shared) -> bytes:
    """One scrape of the whole installation, all processes."""
    shared.metrics.flush()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(_Collector(shared))
    return generate_latest(registry)


class _Collector:
    def __init__(self, shared: Shared) -> None:
        self._shared = shared

    def collect(self) -> Iterator[Metric]:
        yield from self._shared.metrics.collect()
        yield from self._queues()
        yield from self._workers()
        yield from self._state()

    def _queues(self) -> Iterator[Metric]:
        jobs = GaugeMetricFamily("rq_jobs", "Jobs by queue and status", labels=("queue", "status"))
        oldest = GaugeMetricFamily(
            "ltmc_queue_oldest_job_age_seconds", "How long the oldest waiting job has waited", labels=("queue",)
        )
        for queue, counted in self._shared.queue.counts().items():
            oldest.add_metric([queue], counted.pop("oldest_age_seconds"))
            for status, count in counted.items():
                jobs.add_metric([queue, status], count)
        yield jobs
        yield oldest

    def _workers(self) -> Iterator[Metric]:
        family = GaugeMetricFamily("rq_workers", "Worker processes", labels=("name", "queues", "state"))
        for worker in self._shared.queue.workers():
            family.add_metric([worker["name"], ",".join(worker["queues"]), worker["state"]], 1)
        yield family

    def _state(self) -> Iterator[Metric]:
        yield GaugeMetricFamily("ltmc_active_agents", "Agents heard of lately", value=self._shared.agents.active())
        probe = probe_of(self._shared.redis)
        components = probe["components"] if probe else {}
        size = GaugeMetricFamily("ltmc_vector_index_size", "Vectors that a search looks at")
        vectors = components.get("vector_store", {}).get("vectors")
        if vectors is not None:
            size.add_metric([], vectors)
        yield size
        up = GaugeMetricFamily("ltmc_component_up", "Whether a part answers its probe", labels=("component",))
        for name, component in components.items():
            up.add_metric([name], component["status"] == "healthy")
        yield up
