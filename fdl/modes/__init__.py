"""Modes: train, evaluate, predict, generate, export, check, find_lr, bench …, one file each."""
