"""WHO DOES THE WORK: processes that take jobs from Redis, and the one that keeps them all running."""
