"""The race: unequal losses are not timed, and the page says what was and what was not measured."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from benchmarks import inputs, page, peers, workloads

MACHINE = {"cpu": "a machine", "cores": 2, "python": "3.11", "date": "today", "versions": ["jax==1"]}


def windows(*rates: float) -> list[dict]:
    return [{"steps_per_second": rate, "cpu_ms": 1e3 / rate, "cpu_seconds": 1.0} for rate in rates]


def ran(*rates: float) -> dict:
    return {"windows": windows(*rates), **peers.summary(windows(*rates))}


def record(others: float = 0.0) -> dict:
    contenders = {"fdl": ran(290.0, 300.0, 310.0), "flax": ran(190.0, 200.0, 210.0), "haiku": {"failed": "too odd"}}
    return {
        "machine": MACHINE,
        "workloads": {"W1": {"contenders": contenders, "others": others, "rounds": 3, "seconds": 2.0}},
    }


def test_only_the_same_steps_agree():
    assert peers.agree([2.0, 1.0], [2.001, 1.0])
    assert not peers.agree([2.0, 1.0], [2.0, 1.01])


def test_the_page_gives_ratios_failures_and_what_was_not_run():
    text = "\n".join(peers.section(record()))
    assert "300 [290, 310]" in text
    assert "too odd" in text
    assert "not run" in text
    assert "| W1 | bar ≥ 1.1 × best peer | Flax linen, hand-written loop | 1.50 [1.48, 1.53] | 1.50 | holds |" in text
    assert "Crowded" not in text
    assert "Crowded" in "\n".join(peers.section(record(others=0.5)))


def test_a_missed_bar_says_by_how_much():
    rows = peers.verdicts(workloads.WORKLOADS["W2"], record()["workloads"]["W1"]["contenders"])
    assert "**misses by 55%**" in rows[0]
    assert "not run" in rows[1]


def test_a_section_is_rewritten_and_the_others_stay(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "PAGE", tmp_path / "page.md")
    monkeypatch.setattr(page, "BOOK", tmp_path / "page.json")
    page.keep("growth", {"a": 1}, ["## Growth"])
    page.keep("race", {"b": 1}, ["## Race, at first"])
    page.keep("race", {"b": 2}, ["## Race"])
    assert page.kept("race") == {"b": 2}
    text = page.PAGE.read_text()
    assert text.index("## Race") < text.index("## Growth")
    assert "at first" not in text


def test_every_epoch_shows_every_example_once(monkeypatch):
    monkeypatch.setattr(inputs, "N", 12)
    shuffle = inputs.Shuffle(4)
    first, second = ([row for _ in range(3) for row in shuffle()] for _ in range(2))
    assert sorted(first) == sorted(second) == list(range(12))
    assert first != second


def test_weights_are_the_same_for_everyone():
    work = workloads.WORKLOADS["W0"]
    first, second = inputs.weights(work), inputs.weights(work)
    assert all((first[name] == second[name]).all() for name in first)
    assert sum(value.size for value in first.values()) == 30 * 64 + 64 + 64 * 64 + 64 + 64 + 1


def test_parameter_counts_are_the_published_ones():
    def count(name: str) -> int:
        return sum(value.size for value in inputs.weights(workloads.WORKLOADS[name]).values())

    assert count("W2b") == 269_722  # ResNet-20 of He et al. with shortcuts that have no parameters
