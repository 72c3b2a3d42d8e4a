import datetime as dt

import chex
import numpy as np
import pytest

import fdl.data
from fdl.data.modalities.plan import Plan
from fdl.data.readers.find import find
from fdl.data.readers.memory import as_records
from fdl.data.readers.table_files import Reading

pandas = pytest.importorskip("pandas")


def frame(rows=300, seed=0):
    rng = np.random.default_rng(seed)
    ages = rng.integers(1, 90, rows).astype(float)
    ages[::17] = np.nan
    return pandas.DataFrame(
        {
            "id": range(1000, 1000 + rows),
            "age": ages,
            "rate": rng.normal(size=rows).round(3),
            "town": [None if i % 13 == 0 else ["Ulm", "NA", "kiel "][i % 3] for i in range(rows)],
            "member": [bool(i % 3) for i in range(rows)],
            "since": pandas.to_datetime([dt.datetime(2020, 1, 1, i % 24) + dt.timedelta(days=i) for i in range(rows)]),
            "zip": [f"{i % 7:05d}" for i in range(rows)],
            "y": rng.integers(0, 3, rows),
        }
    )


def saved(data, kind, tmp_path):
    path = tmp_path / f"a.{kind}"
    if kind == "csv" or kind == "csv.gz":
        data.to_csv(path, index=False)
    elif kind == "tsv":
        data.to_csv(path, index=False, sep="\t")
    elif kind == "parquet":
        data.to_parquet(path, index=False)
    elif kind == "feather":
        data.to_feather(path)
    elif kind == "xlsx":
        pytest.importorskip("openpyxl")
        data.to_excel(path, index=False)
    elif kind == "jsonl":
        data.to_json(path, orient="records", lines=True, date_format="iso")
    else:
        return data
    return find(str(path))


@pytest.mark.parametrize("kind", ["csv", "csv.gz", "tsv", "parquet", "feather", "jsonl", "xlsx"])
def test_every_form_of_a_table_gives_the_same_plan_and_the_same_bits(tmp_path, kind):
    expected = fdl.data.table(frame(), target="y")
    data = fdl.data.table(saved(frame(), kind, tmp_path), target="y")
    ours, theirs = (Plan.from_json(made.fitted["plan"]) for made in (expected, data))
    assert ours.columns == theirs.columns
    assert [column.role for column in ours.columns] == [
        *("left out", "number", "number", "category", "category", "date", "category", "target")
    ]
    for split in expected.spec.sizes:
        left, right = expected.load(split).arrays, data.load(split).arrays
        chex.assert_trees_all_equal(left, right)


def test_a_plan_is_json_and_encodes_new_rows_as_in_training(tmp_path):
    import json

    data = fdl.data.table(frame(), target="y")
    plan = Plan.from_json(json.loads(json.dumps(data.fitted))["plan"])
    assert plan.as_json() == data.fitted["plan"]
    new = as_records(frame(50, seed=1).assign(town="Rome"))
    inputs, counted = plan.encode_counted(new.read("train", np.arange(50), plan.inputs))
    assert inputs["inputs"].shape == (50, plan.width)
    assert counted["town"] == {"missing": 0, "unseen": 50}
    assert (inputs["categories"][:, 0] == 0).all()


def test_another_frame_is_another_set():
    first, same, other = (fdl.data.table(frame(seed=seed), target="y").contents() for seed in (0, 0, 1))
    assert first == same != other
    part = frame().iloc[::2]
    assert (
        fdl.data.table(part, target="y").contents()
        == fdl.data.table(part.reset_index(drop=True), target="y").contents()
    )


@pytest.mark.parametrize("shape", ["[n]", "[n, 1]", "one-hot", "float", "-1/+1", "1..N", "texts"])
def test_targets_are_understood_the_same_however_they_are_held(shape):
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(200, 4)), rng.integers(0, 2, 200)
    held = {
        "[n]": y,
        "[n, 1]": y[:, None],
        "one-hot": np.eye(2)[y],
        "float": y.astype(float),
        "-1/+1": 2 * y - 1,
        "1..N": y + 1,
        "texts": np.array(["no", "yes"])[y],
    }[shape]
    data = fdl.data.arrays(x, held)
    assert data.spec.classes == 2
    expected = fdl.data.arrays(x, y)
    for split in ("train", "validation", "test"):
        ours, theirs = data.load(split).arrays, expected.load(split).arrays
        chex.assert_trees_all_equal(list(ours), list(theirs))


def test_arrays_are_held_out_evenly_or_given():
    x, y = np.arange(200.0), np.arange(200) % 2
    data = fdl.data.arrays(x, y, validation=0.2, test=(x[:30], y[:30]))
    assert data.spec.sizes == {"train": 160, "test": 30, "validation": 40}
    assert data.load("validation").arrays[1].sum() == 20
    assert np.array_equal(data.load("test").arrays[0], x[:30])
    for wrong in ({"validation": 1.5}, {"test": (x[:3], y[:4])}):
        with pytest.raises(ValueError, match="give"):
            fdl.data.arrays(x, y, **wrong)


@pytest.mark.parametrize("offset", [0.0, 1e6, 1.7e9])
def test_targets_far_from_zero_keep_their_digits(offset):
    x = np.random.default_rng(0).normal(size=400)
    data = fdl.data.arrays(x, offset + 3 * x)
    spec, y = data.spec, data.load("train").arrays[1].astype(np.float64)
    assert len(np.unique(y)) == spec.sizes["train"]
    whole = y + spec.offset
    assert abs(whole.mean() - offset) < 1
    assert np.corrcoef((y - spec.center) / spec.scale, data.load("train").arrays[0])[0, 1] > 1 - 1e-9


def test_several_targets_of_which_one_would_lose_its_digits_are_refused():
    x = np.random.default_rng(0).normal(size=400)
    with pytest.raises(ValueError, match=r"column 'y' of .* different values in 32 bits; take their mean off first"):
        fdl.data.arrays(x, np.stack([x, 1.7e9 + 3 * x], 1))


@pytest.mark.parametrize("kind", ["csv", "parquet", "jsonl", "frame"])
def test_a_new_file_is_read_as_the_one_of_training(tmp_path, kind):
    (tmp_path / "train").mkdir()
    trained = frame()
    trained["when"] = [f"{1 + i % 28:02d}/{1 + i % 12:02d}/2020" for i in range(300)]
    trained["price"] = [f"€ {1000 + i:,.2f}" for i in range(300)]
    trained.to_csv(tmp_path / "train" / "a.csv", index=False)
    data = fdl.data.table(str(tmp_path / "train" / "a.csv"), target="y")
    plan = Plan.from_json(data.fitted["plan"])
    new = trained.iloc[:20].drop(columns="y").assign(rate="unknown", town=[None, "Ulm"] * 10)
    new["when"] = ["03/02/2020"] * 20  # a day and a month: only training knows which is which
    new["zip"] = ["00001"] * 20
    source = saved(new, kind, tmp_path)
    how = Reading(schema=plan.schema)
    path = str(tmp_path / f"a.{kind}")
    records = as_records(source, schema=plan.schema) if kind == "frame" else find(path, how=how)
    rows = records.read("train", np.arange(20), plan.inputs)
    inputs, counted = plan.encode_counted(rows)
    assert np.array_equal(rows["when"], np.full(20, np.datetime64("2020-02-03", "us")))
    assert np.array_equal(rows["price"], 1000.0 + np.arange(20))
    assert list(rows["zip"]) == ["00001"] * 20
    assert counted["rate"] == {"missing": 20}
    assert counted["town"] == {"missing": 10, "unseen": 0}
    assert inputs["inputs"].shape == (20, plan.width)


def test_targets_of_false_and_true_are_two_classes_and_nested_lists_are_refused():
    x, y = np.ones((40, 2), np.float32), np.arange(40) % 2
    classes = fdl.data.arrays(x, y == 1).load("train").fetch(np.arange(32)).targets
    chex.assert_trees_all_equal(classes, fdl.data.arrays(x, y).load("train").fetch(np.arange(32)).targets)
    with pytest.raises(ValueError, match=r"give np\.asarray\(x\)"):
        fdl.data.arrays(x.tolist(), y)
