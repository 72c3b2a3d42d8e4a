"""The other sections of the benchmarks' page: what misses its bar says by how much, what did not run says so."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import gpu, growth, overheads

MACHINE = {"cpu": "a machine", "cores": 2, "python": "3.11", "date": "today", "versions": ["jax==1"]}


def test_overheads_are_held_against_their_bars():
    save = {"waited": 2e-3, "beside": 6e-3, "whole": 70e-3}
    costs = {"ten": 5e-6, "loop": 40e-6, "log": 100e-6, "save": save, "bytes": 2**20}
    costs |= {"writers": 30e-6, "extras": 5e-3, "waiting": 1e-6, "tracker": 2e-6}
    starts = {"cold": [5.0, 7.0, 6.6], "warm": [2.0, 2.1, 2.2], "--help": [0.4]}
    text = "\n".join(overheads.section({"costs": costs, "starts": starts, "others": 0.0, "machine": MACHINE}))
    assert "| loop, 10 steps a call | 5 µs a step | 0.10% | 1.00% | holds |" in text
    assert "| loop, one step a call | 40 µs a step | 0.80% | 1.00% | holds |" in text
    assert "| a log line every step | 100 µs | 2.00% | 1.00% | **misses by 100%** |" in text
    assert "input wait, every 50 steps (the default) | 5000 µs | 2.00% | 1.00% | **misses by 100%** |" in text
    assert "| a tracker (`--track`) of a log line every step | 2 µs | 0.04% | 1.00% | holds |" in text
    assert "2.0 ms, 6.0 ms of a core beside, on the disk after 70 ms | 1.00% | 2.00% | holds |" in text
    assert "| cold start | 5.00 to 7.00 s | 6.60 s | 6.00 s | **misses by 10%** |" in text


def test_growth_says_how_much_more_each_size_costs():
    point = {"ms": 2.0, "low": 1.9, "high": 2.1, "mib": 3.0, "peak_mib": 400.0, "data_mib": 1.0, "order_us": 50.0}
    points = [{"value": 8, **point}, {"value": 32, **point, "ms": 7.0}]
    text = "\n".join(growth.section({"sweeps": {"batch": points}, "machine": MACHINE}))
    assert "| 32 | 7 [1.9, 2.1] | 3.50 | 3.0 MiB | 400 MiB |" in text
    assert "growth-batch.svg" in text
    assert "growth-width.svg" not in text


def test_rows_of_a_gpu_give_ratios_and_failures():
    rows = {
        "W1": {"parameters": 7, "rates": {"fdl": [9.0, 10.0, 11.0], "torch": [5.0, 5.0, 5.0]}},
        "LSTM": {"failed": "torch did not start"},
    }
    text = "\n".join(gpu.section({"rows": rows, "machine": MACHINE, "device": "a GPU"}))
    assert "| 7 | 1,280 [1,152, 1,408] | 640 [640, 640] | 2.00 | 1.2 | holds |" in text
    assert "torch did not start" in text
    assert "not run" in text


def test_a_side_that_does_not_learn_is_not_raced():
    assert gpu.learns({"losses": [2.0, 1.0]})
    assert not gpu.learns({"losses": [1.0, 1.0]})
