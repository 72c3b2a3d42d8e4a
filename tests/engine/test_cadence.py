import pytest

from fdl.engine.cadence import cadence_of


def calls(due, start=0):
    """The (step, count) of every call from a step to the end."""
    step, made = start, []
    while step < due.steps:
        made.append((step, due.call(step)))
        step += made[-1][1]
    assert step == due.steps
    return made


@pytest.mark.parametrize(
    ("log", "evaluate", "save", "size"), [(50, None, None, 50), (7, 21, 5, 4), (1, 0, 0, 8), (9, 0, 4, 3)]
)
def test_a_resumed_run_cuts_the_rest_into_the_same_calls(log, evaluate, save, size):
    due = cadence_of(103, log, evaluate, save, size)
    whole = calls(due)
    for index, (step, _) in enumerate(whole):
        assert calls(due, step) == whole[index:]


def test_no_call_jumps_over_what_is_due():
    due = cadence_of(103, 7, 21, 5, 4)
    for step, count in calls(due):
        assert not any(due.any(between) for between in range(step + 1, step + count))
    assert all(due.logs(s) and due.evaluates(s) and due.saves(s) for s in [103])
    assert not due.any(0)


def test_about_ten_evaluations_a_run_unless_said_otherwise():
    due = cadence_of(1000, 50, None, None, 1)
    assert sum(due.evaluates(step) for step in range(1, 1001)) == 10
    due = cadence_of(1000, 50, 0, None, 1)
    assert [step for step in range(1, 1001) if due.evaluates(step)] == [1000]
