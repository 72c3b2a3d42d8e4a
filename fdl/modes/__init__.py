"""Modes: train, evaluate, predict, generate, describe, bench, doctor, sweep and study, one file each."""
