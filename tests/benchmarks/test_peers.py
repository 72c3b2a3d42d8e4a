"""The race: unequal losses are not timed, and the page says what was and what was not measured."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import peers, workloads

ABOUT = {
    "cpu": "a machine", "cores": 2, "load": "0.5", "python": "3.11", "date": "today", "rounds": 3, "seconds": 2.0,
    "versions": "jax==1",
}  # fmt: skip


def test_only_the_same_steps_agree():
    assert peers.agree([2.0, 1.0], [2.001, 1.0])
    assert not peers.agree([2.0, 1.0], [2.0, 1.01])


def test_the_page_gives_ratios_failures_and_what_was_not_run():
    results = {
        "W1": {
            "fdl": {"rate": 300.0, "low": 290.0, "high": 310.0, "cpu_ms": 4.0},
            "flax": {"rate": 200.0, "low": 190.0, "high": 210.0, "cpu_ms": 6.0},
            "haiku": {"failed": "losses differ"},
        }
    }
    text = peers.page(results, ABOUT)
    assert "300 [290, 310] · 4 ms" in text
    assert "losses differ" in text
    assert "not run" in text
    assert "1.50 · 1.50" in text
    assert "crowded" not in text.replace("crowded machine", "")
    assert "The machine was crowded" in peers.page(results, {**ABOUT, "load": "17"})


def test_every_epoch_shows_every_example_once(monkeypatch):
    monkeypatch.setattr(workloads, "N", 12)
    shuffle = workloads.Shuffle(4)
    first, second = ([row for _ in range(3) for row in shuffle()] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_weights_are_the_same_for_everyone():
    work = workloads.WORKLOADS["W0"]
    first, second = workloads.weights(work), workloads.weights(work)
    assert all((first[name] == second[name]).all() for name in first)
    assert sum(value.size for value in first.values()) == 30 * 64 + 64 + 64 * 64 + 64 + 64 + 1
