"""Kernels: operations that XLA compiles badly from plain JAX, each with a faster custom form.

Every kernel is one pure function. Tests compare the values and gradients of its custom form with those of the
reference form, plain JAX, to 1e-5. `fdl.core.kernel_choice` selects the form; models do not depend on the choice.
"""
