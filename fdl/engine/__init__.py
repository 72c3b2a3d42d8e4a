"""The engine: an experiment's program, data loader, cadence, population and checks."""
