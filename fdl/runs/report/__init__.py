"""The HTML report of a run, with plots and visualised examples."""
