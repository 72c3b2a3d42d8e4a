"""Parallelism: devices, executors, sharding, and several processes as one run. Steps know nothing of it."""
