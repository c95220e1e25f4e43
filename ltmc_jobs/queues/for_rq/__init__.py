"""For code that was written for RQ: its Queue, Scheduler and Job, whose jobs are declared, signed, and JSON."""
