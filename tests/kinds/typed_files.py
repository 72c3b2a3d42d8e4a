"""Files that say what they hold: Parquet and NPZ."""

import datetime as dt

import numpy as np
import pandas as pd

from kinds.made import base, case, write


@case(("", "table", {"dataset": "a.npz", "target": "y"}))
def n13_int16_features(d):
    r = np.random.default_rng(0)
    np.savez(d / "a.npz", x=r.integers(-99, 99, (200, 12)).astype(np.int16), y=r.integers(0, 3, 200))


@case(("", "table", {"dataset": "a.npz", "target": "y"}))
def n14_uint8_3d_features(d):
    r = np.random.default_rng(0)
    np.savez(
        d / "a.npz", x=r.integers(0, 9, (200, 12, 3)).astype(np.uint8), z=r.normal(size=200), y=r.integers(0, 3, 200)
    )


@case(("", "table", {"dataset": "a.npy", "target": "y"}))
def n16_npy(d):
    np.save(d / "a.npy", np.random.default_rng(0).normal(size=(200, 3)))


@case(("", "table", {"dataset": "a.parquet", "target": "y"}))
def p01_types(d):
    import decimal

    import pyarrow as pa
    import pyarrow.parquet as pq

    x = base()
    n = len(x)
    t = pa.table(
        {
            "cat": pa.array(np.where(x.a > 0, "A", "B")).dictionary_encode(),
            "date": pa.array([dt.date(2020, 1, 1) + dt.timedelta(days=i) for i in range(n)]),
            "ts": pa.array([dt.datetime(2020, 1, 1) + dt.timedelta(hours=i) for i in range(n)]),
            "dur": pa.array([dt.timedelta(seconds=i) for i in range(n)]),
            "tm": pa.array([dt.time(i % 24) for i in range(n)]),
            "dec": pa.array([decimal.Decimal(f"{q:.2f}") for q in x.a]),
            "nint": pa.array([None if i % 7 == 0 else i for i in range(n)]),
            "nbool": pa.array([None if i % 7 == 0 else bool(i % 2) for i in range(n)]),
            "half": pa.array(x.a.to_numpy().astype(np.float16)),
            "st": pa.array([{"p": 1.0, "q": "u"}] * n),
            "ls": pa.array([[1.0, 2.0]] * n),
            "nul": pa.nulls(n),
            "b": pa.array([b"xx"] * n),
            "u64": pa.array(np.arange(n, dtype=np.uint64) + 2**60),
            "y": x.y,
        }
    )
    pq.write_table(t, d / "a.parquet")


@case(("", "table", {"dataset": "a.parquet", "target": "y"}))
def p02_list_of_strings(d):
    x = base()
    x["tags"] = [["a", "b"]] * len(x)
    x.to_parquet(d / "a.parquet", index=False)


@case(("", "table", {"dataset": "a.parquet", "target": "y"}))
def p04_pandas_index(d):
    x = base().sort_values("y")
    x.index = np.arange(1000, 1300)
    x[["a", "b"]] = np.random.default_rng(1).normal(size=(300, 2))
    x = x[x.a > -9]
    x.sample(frac=1, random_state=0)[["a", "b", "y"]].to_parquet(d / "a.parquet")


@case(
    ("", "table", {"dataset": "a.parquet", "target": "z"}),
    ("_goal", "table", {"dataset": "a.parquet", "target": "z", "goal": "classify"}),
    ("_bool", "table", {"dataset": "a.parquet", "target": "t"}),
)
def p05_float_labels(d):
    x = base()
    x["z"] = (x.y == "pos").astype(float)
    x["t"] = x.y == "pos"
    x[["a", "b", "z", "t"]].to_parquet(d / "a.parquet", index=False)


@case(("", "table", {"dataset": ".", "target": "y"}))
def p07_spark_part_files(d):
    x = base(400)
    x[:200].to_parquet(d / "part-00000-abc.snappy.parquet", index=False)
    x[200:].to_parquet(d / "part-00001-abc.snappy.parquet", index=False)
    write(d / "_SUCCESS", "")


@case(("", "table", {"dataset": ".", "target": "y"}))
def p10_bool_csv_vs_parquet(d):
    x = base(400)
    x["f"] = x.a > 0
    x[:300][["f", "b", "y"]].to_parquet(d / "train.parquet", index=False)
    x[300:][["f", "b", "y"]].assign(f=lambda q: q.f.map({True: "true", False: "false"})).to_csv(
        d / "test.csv", index=False
    )


@case(("", "table", {"dataset": "a.parquet", "target": "y"}))
def u34_multiindex_columns_and_dup(d):
    x = base()
    x.columns = pd.MultiIndex.from_product([["g"], ["a", "b", "y", "v"]])
    x.to_parquet(d / "a.parquet")


@case(("", "table", {"dataset": "a.parquet", "target": "y"}))
def u35_bool_null_target(d):
    x = base()
    x["y"] = pd.array([None if i == 5 else bool(i % 2) for i in range(300)], dtype="boolean")
    x.to_parquet(d / "a.parquet")


@case(("", "table", {"dataset": "a.parquet", "target": "y"}))
def u37_null_only_and_empty_list(d):
    x = base()
    x["e"] = [[] for _ in range(300)]
    x["n"] = None
    x.to_parquet(d / "a.parquet")
