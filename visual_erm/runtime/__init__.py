"""Tools for caches, concurrency and processes. They know nothing of tasks, images or rewards."""
