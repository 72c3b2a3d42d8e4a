"""Kernels in C++ for the CPU, where XLA has no fast ones: compiled on first use, called through XLA's FFI."""
