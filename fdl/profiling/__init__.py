"""Measuring: what the hardware can do, the FLOPs of a program, honest timing, and traces."""
