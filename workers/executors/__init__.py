"""Where a job runs in its worker process: inline, on threads, on an event loop, or in a process of its own."""
