"""Datasets: where examples come from, in which order, and how they are split; one file each."""

from fdl.data.dataset import Dataset, LazySource, Source, Spec

__all__ = ["Dataset", "LazySource", "Source", "Spec"]
