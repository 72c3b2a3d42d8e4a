import pytest
from tqdm import tqdm

from fdl.pages import names
from fdl.runs.progress_bar import FORMAT, evaluated, headline

METRICS = {"loss": 1.453, "accuracy": 0.60264, "top5": 0.8818, "confusion": [[1]]}


@pytest.mark.parametrize("name", names())
def test_the_bar_keeps_its_metric_inside_80_columns(name):
    meter = {"n": 80_000, "total": 100_000, "elapsed": 3600.0, "unit": "step", "ncols": 80, "bar_format": FORMAT}
    shown = tqdm.format_meter(**meter, prefix=name, postfix=headline(METRICS, "accuracy"))
    assert len(shown) <= 80
    assert "loss=1.453 accuracy=0.6026" in shown


def test_a_headline_is_the_loss_and_what_the_task_is_judged_by():
    assert headline(METRICS, "top5") == "loss=1.453 top5=0.8818"
    assert headline({"loss/0": 1.0, "loss/1": 2.0, "loss/2": 3.0}, "accuracy") == "loss/0=1 loss/1=2"


def test_a_kept_line_aligns_with_those_above_it_and_marks_the_best():
    names, last = ("loss", "top5", "loss", "confusion"), (1000, 20.0)
    assert evaluated((400, 8.0), last, METRICS, names, True) == "step  400 epoch  8.0 val loss 1.453 top5 0.8818 ★"
    assert evaluated(last, last, {"loss": 21550.0}, names, False) == "step 1000 epoch 20.0 val loss 2.155e+04"
