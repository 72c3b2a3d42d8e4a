"""What JAX reads only once, at its start: platform, devices, memory, kernels, caches; and how quiet it is."""

import logging
import os
import sys
import threading
from collections.abc import Mapping
from importlib import metadata
from typing import Any

from fdl.core import kernel_choice
from fdl.core.errors import UserError
from fdl.parallel import compile_cache, memory


def prepare_jax(settings: Mapping[str, Any], distributed: Mapping[str, Any] | None) -> None:
    """Set what JAX reads only once, at its start: kernels, platform, devices, memory, compile cache, processes."""
    fake_devices, kernels = settings.get("fake_devices"), settings.get("kernels")
    keep_memory, accelerator = settings.get("keep_memory", True), settings.get("accelerator")
    if kernels is not None:
        kernel_choice.parse(kernels)
        os.environ[kernel_choice.VARIABLE] = kernels
    if fake_devices:
        if accelerator not in (None, "any", "cpu"):
            raise UserError(f"--fake_devices={fake_devices} are CPU devices; leave out --accelerator={accelerator}")
        os.environ["XLA_FLAGS"] = (
            f"{os.environ.get('XLA_FLAGS', '')} --xla_force_host_platform_device_count={fake_devices}"
        )
    if metadata.version("jaxlib").startswith("0.10."):  # only there: its new convolutions are a third slower
        extra = "--xla_cpu_experimental_ynn_fusion_type=-individual_convolution"
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} {extra}"
    if fake_devices or accelerator == "cpu":
        os.environ["JAX_PLATFORMS"] = "cpu"
    compile_cache.configure()
    hush()
    import_jax()
    if keep_memory:
        memory.keep_freed_memory()
    compile_cache.repair_on_read()
    if distributed is not None:
        from fdl.parallel.processes import join

        join(distributed["coordinator"], distributed["processes"], distributed["process"])


def import_jax() -> None:
    """Import JAX; raise a ValueError where the environment keeps it from starting."""
    try:
        import jax  # noqa: F401
    except ValueError as error:
        raise UserError(f"JAX does not start: {error}; unset or mend that variable of the environment") from None


def hush() -> None:
    """Silence the tracebacks of Orbax's threads, whose errors are reported in one line by the checkpoints."""
    for name in ("absl", "asyncio"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

    def unraisable(seen: "sys.UnraisableHookArgs") -> None:
        if str(seen.exc_value) != "Event loop is closed":
            sys.__unraisablehook__(seen)

    def thread_failed(seen: "threading.ExceptHookArgs") -> None:
        if not type(seen.thread).__module__.startswith("orbax"):
            threading.__excepthook__(seen)

    sys.unraisablehook, threading.excepthook = unraisable, thread_failed
