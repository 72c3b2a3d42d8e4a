"""The engine: an experiment bound to devices and data. Its program, loader, cadence, population and checks."""
