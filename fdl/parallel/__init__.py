"""Parallelism: devices, executors, sharding and multi-process runs. Step functions are independent of it."""
