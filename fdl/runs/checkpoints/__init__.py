"""Checkpoints: atomic commits, verified by digests."""
