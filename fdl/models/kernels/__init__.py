"""Ops: the few computations that XLA compiles badly as they stand, each in a faster form beside the plain one.

Every op is one pure function. Its plain form is what anyone would write, and what the tests hold the own form to:
values and gradients agree to 1e-5. Which form runs is decided in `fdl.core.kernel_choice`, and models need not know.
"""
