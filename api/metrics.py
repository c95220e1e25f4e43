"""GET /metrics: Prometheus text; queues and workers under rq-exporter's names, so that its Grafana boards work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime

from prometheus_client import CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
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
        paused = GaugeMetricFamily("ltmc_queue_paused", "Whether a queue is paused", labels=("queue",))
        pauses = self._shared.queue.controls().pauses
        for queue, counted in self._shared.queue.counts().items():
            oldest.add_metric([queue], counted.pop("oldest_age_seconds"))
            paused.add_metric([queue], queue in pauses)
            for status, count in counted.items():
                jobs.add_metric([queue, status], count)
        yield from (jobs, oldest, paused)

    def _workers(self) -> Iterator[Metric]:
        whose = ("name", "queues")
        workers = GaugeMetricFamily("rq_workers", "Worker processes", labels=("name", "state", "queues"))
        done = CounterMetricFamily("rq_workers_success", "Runs that a worker ended well", labels=whose)
        failed = CounterMetricFamily("rq_workers_failed", "Runs that failed with a worker", labels=whose)
        worked = CounterMetricFamily("rq_workers_working_time", "Seconds that a worker ran jobs", labels=whose)
        heard = GaugeMetricFamily(
            "ltmc_worker_last_heartbeat_seconds", "When a worker was last heard of, in seconds since 1970", labels=whose
        )
        for worker in self._shared.queue.workers():
            queues = ",".join(worker["queues"])
            own = [worker["name"], queues]
            workers.add_metric([worker["name"], worker["state"], queues], 1)
            done.add_metric(own, worker["successful"])
            failed.add_metric(own, worker["failed"])
            worked.add_metric(own, worker["working_seconds"])
            if worker["heard_at"]:
                heard.add_metric(own, datetime.fromisoformat(worker["heard_at"]).timestamp())
        yield from (workers, done, failed, worked, heard)

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
