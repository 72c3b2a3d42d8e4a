"""Run folders on object stores: a local working folder, written through at every commit and held by a lease."""
