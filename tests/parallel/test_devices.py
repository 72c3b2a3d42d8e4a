"""What the kernel shows of accelerators, whatever JAX sees."""

import pytest

from fdl.parallel.devices import overlooked, present


@pytest.mark.parametrize(
    ("files", "seen"),
    [
        ({}, []),
        ({"proc/driver/nvidia/version": "NVRM"}, ["gpu"]),
        ({"dev/accel0": ""}, ["tpu"]),
        ({"dev/vfio/0": "", "sys/bus/pci/devices/0000:00:04.0/vendor": "0x1ae0\n"}, ["tpu"]),
        ({"dev/vfio/0": "", "sys/bus/pci/devices/0000:00:04.0/vendor": "0x8086\n"}, []),
        ({"dev/vfio/vfio": "", "sys/bus/pci/devices/0000:00:04.0/vendor": "0x1ae0\n"}, []),
        ({"sys/bus/pci/devices/0000:00:04.0/vendor": "0x1ae0\n"}, []),
    ],
)
def test_accelerators_are_found_by_what_the_kernel_shows(tmp_path, monkeypatch, files, seen):
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert [name for name, _ in present(tmp_path)] == seen
    monkeypatch.delenv("JAX_PLATFORMS", raising=False)
    warning = overlooked(tmp_path)
    assert (seen[0] in warning and "jax sees only the cpu" in warning) if seen else warning is None
