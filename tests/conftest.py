import os

# Eight simulated devices; and little time spent on optimising programs that run for a millisecond.
os.environ["XLA_FLAGS"] = " ".join(
    [
        os.environ.get("XLA_FLAGS", ""),
        "--xla_force_host_platform_device_count=8",
        "--xla_backend_optimization_level=0",
    ]
)

import jax

jax.config.update("jax_numpy_rank_promotion", "raise")
