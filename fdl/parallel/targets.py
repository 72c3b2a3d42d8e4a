"""Chips that programs can be compiled for without having one: described TPU topologies and NVIDIA GPUs.

libtpu compiles for a TPU that is only described, and XLA's GPU compiler for the figures of a data sheet. Such a program
cannot run; what it needs and holds is real.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from fdl.core.errors import UserError

# Read when JAX and libtpu are loaded: there is no TPU, and no cloud to ask about one.
TPU_ENVIRONMENT = {
    "JAX_PLATFORMS": "cpu",
    "TPU_SKIP_MDS_QUERY": "1",
    "ALLOW_MULTIPLE_LIBTPU_LOAD": "1",
    "TPU_WORKER_HOSTNAMES": "localhost",
    "TPU_WORKER_ID": "0",
    "TPU_ACCELERATOR_TYPE": "v5litepod-1",
    "TF_CPP_MIN_LOG_LEVEL": "2",
}
GPU_ENVIRONMENT = {"JAX_PLATFORMS": "cpu", "TF_CPP_MIN_LOG_LEVEL": "2"}


@dataclass(frozen=True)
class Target:
    """What a program is compiled for.

    topology: as libtpu names it, or the GPUs as hosts x GPUs. options: libtpu's, where a host has fewer chips.
    memory:   bytes of one chip that a program may use. gpu: the data sheet's figures, in XLA's text form.
    """

    platform: Literal["tpu", "cuda"]
    topology: str
    memory: int
    options: Mapping[str, Any] = field(default_factory=dict)
    gpu: str = ""


@dataclass(frozen=True, kw_only=True)
class Gpu:
    """A GPU by its published figures: streaming multiprocessors, GHz, bytes, bytes/s."""

    name: str
    capability: tuple[int, int]
    cores: int
    clock: float
    memory: int
    bandwidth: float
    l2: int
    shared: int
    shared_block: int
    threads: int = 2048
    fpus: int = 64


def _described(gpu: Gpu) -> Target:
    """Return a GPU as XLA wants it described."""
    major, minor = gpu.capability
    text = f"""gpu_device_info {{
  threads_per_block_limit: 1024
  threads_per_warp: 32
  shared_memory_per_block: 49152
  shared_memory_per_core: {gpu.shared}
  threads_per_core_limit: {gpu.threads}
  core_count: {gpu.cores}
  fpus_per_core: {gpu.fpus}
  block_dim_limit_x: 2147483647
  block_dim_limit_y: 65535
  block_dim_limit_z: 65535
  memory_bandwidth: {gpu.bandwidth:.0f}
  l2_cache_size: {gpu.l2}
  clock_rate_ghz: {gpu.clock}
  device_memory_size: {gpu.memory}
  shared_memory_per_block_optin: {gpu.shared_block}
  cuda_compute_capability {{ major: {major} minor: {minor} }}
  registers_per_core_limit: 65536
  registers_per_block_limit: 65536
}}
platform_name: "CUDA"
dnn_version_info {{ major: 9 minor: 10 }}
runtime_version {{ major: 12 minor: 8 }}
device_description_str: "{gpu.name}"
"""
    return Target("cuda", "1x1x1", gpu.memory, gpu=text)


_ONE = {"chips_per_host_bounds": (1, 1, 1)}
_GIB = 2**30
TARGETS: Mapping[str, Target] = {
    "tpu-v5e-1": Target("tpu", "v5e:1x1", int(15.75 * _GIB), _ONE),
    "tpu-v5e-4": Target("tpu", "v5e:2x2", int(15.75 * _GIB)),
    "tpu-v5e-8": Target("tpu", "v5e:2x4", int(15.75 * _GIB)),
    "tpu-v6e-1": Target("tpu", "v6e:1x1", int(31.25 * _GIB), _ONE),
    "tpu-v6e-4": Target("tpu", "v6e:2x2", int(31.25 * _GIB)),
    "tpu-v6e-8": Target("tpu", "v6e:2x4", int(31.25 * _GIB)),
    "h100": _described(
        Gpu(
            name="NVIDIA H100 80GB HBM3", capability=(9, 0), cores=132, clock=1.98, memory=84942979072,
            bandwidth=3.35e12, l2=52428800, shared=233472, shared_block=232448, fpus=128,
        )
    ),
    "a100": _described(
        Gpu(
            name="NVIDIA A100-SXM4-40GB", capability=(8, 0), cores=108, clock=1.41, memory=42409000960,
            bandwidth=1.555e12, l2=41943040, shared=167936, shared_block=166912,
        )
    ),
    "l4": _described(
        Gpu(
            name="NVIDIA L4", capability=(8, 9), cores=58, clock=2.04, memory=23580639232,
            bandwidth=3.0e11, l2=50331648, shared=102400, shared_block=101376, threads=1536, fpus=128,
        )
    ),
    "t4": _described(
        Gpu(
            name="Tesla T4", capability=(7, 5), cores=40, clock=1.59, memory=15843721216,
            bandwidth=3.2e11, l2=4194304, shared=65536, shared_block=65536, threads=1024,
        )
    ),
}  # fmt: skip


def environment(name: str) -> dict[str, str]:
    """Return what must be in the environment before JAX is imported to compile for a target."""
    return dict(TPU_ENVIRONMENT if TARGETS[name].platform == "tpu" else GPU_ENVIRONMENT)


def devices(name: str) -> Sequence[Any]:
    """Return the described devices of a target; raise a ValueError where its compiler is not installed."""
    from jax.experimental import topologies

    target = TARGETS[name]
    try:
        if target.platform == "tpu":
            described = topologies.get_topology_desc(platform="tpu", topology_name=target.topology, **target.options)
        else:
            described = topologies.get_topology_desc(
                platform="cuda", target_config=target.gpu, topology=target.topology
            )
    except (RuntimeError, NotImplementedError, ImportError, KeyError) as error:
        install = "libtpu (fdl's extra tpu)" if target.platform == "tpu" else "jax[cuda12]"
        raise UserError(
            f"--chip={name} needs the compiler of that chip, without the chip: install {install} "
            f"({' '.join(str(error).split())[:120]})"
        ) from None
    return described.devices
