"""Checkpoints: whole and proven, or not there."""
