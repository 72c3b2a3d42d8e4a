"""Profiling: hardware peaks, FLOPs of a program, timing and traces."""
