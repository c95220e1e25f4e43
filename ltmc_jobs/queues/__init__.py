"""RQ's wire, both directions: the only place that knows RQ's keys."""
