"""What people look at: where a job is and why, what it did so far, and the fleet."""
