"""Modes: what can be done with an experiment, one file each. Here clocks, files, data and devices meet."""
