"""The report of a run: one self-contained page, its plots and its pictures of examples."""
