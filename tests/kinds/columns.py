"""What columns hold."""

import datetime as dt

import numpy as np
import pandas as pd

from kinds.made import base, case, table


@case(("", "table", {"dataset": "a.csv", "target": "zip"}), ("_feature", "table", {"dataset": "a.csv", "target": "y"}))
def t25_leading_zeros(d):
    x = base()
    x["zip"] = [["02116", "2116", "00501", "501"][i % 4] for i in range(len(x))]
    x[["a", "zip", "y"]].to_csv(d / "a.csv", index=False)


@case(table())
def t26_hex_e_ids(d):
    x = base()
    x["hash"] = [f"{i % 90 + 10}e{i % 7 + 1}" for i in range(len(x))]
    x.loc[5, "hash"] = "12e4567"
    x[["a", "hash", "y"]].to_csv(d / "a.csv", index=False)


@case(("", "table", {"dataset": "a.csv", "target": "severity"}))
def t28_class_named_none(d):
    x = base()
    x["severity"] = [["none", "mild", "severe"][i % 3] for i in range(len(x))]
    x[["a", "b", "severity"]].to_csv(d / "a.csv", index=False)


@case(("", "table", {"dataset": "a.csv", "target": "country"}))
def t29_namibia(d):
    x = base()
    x["country"] = [["NA", "DE", "FR"][i % 3] for i in range(len(x))]
    x[["a", "b", "country"]].to_csv(d / "a.csv", index=False)


@case(table())
def t31_one_typo_in_number(d):
    x = base()
    x["a"] = x.a.astype(str)
    x.loc[7, "a"] = "1.2.3"
    x[["a", "b", "y"]].to_csv(d / "a.csv", index=False)


@case(table())
def t32_excel_errors(d):
    x = base()
    x["a"] = x.a.astype(str)
    x.loc[7, "a"] = "#N/A"
    x.loc[9, "a"] = "#DIV/0!"
    x[["a", "b", "y"]].to_csv(d / "a.csv", index=False)


@case(table())
def t34_only_dates_and_names(d):
    x = base()
    x["when"] = [str(dt.date(2020, 1, 1) + dt.timedelta(days=i)) for i in range(len(x))]
    x["name"] = [f"n{i}" for i in range(len(x))]
    x[["when", "name", "y"]].to_csv(d / "a.csv", index=False)


@case(table())
def t35_empty_and_constant_column(d):
    x = base()
    x["empty"] = ""
    x["const"] = 5
    x["constx"] = "x"
    x.to_csv(d / "a.csv", index=False)


@case(
    table(),
    ("_num", "table", {"dataset": "a.csv", "target": "c"}),
    ("_float", "table", {"dataset": "a.csv", "target": "k"}),
)
def t37_constant_target(d):
    x = base()
    x["y"] = "pos"
    x["c"] = 7
    x["k"] = 1.5
    x.to_csv(d / "a.csv", index=False)


@case(table())
def t38_two_rows(d):
    base(2).to_csv(d / "a.csv", index=False)


@case(
    table(),
    ("_01", "table", {"dataset": "a.csv", "target": "z"}),
    ("_v", "table", {"dataset": "a.csv", "target": "v"}),
)
def t41_target_missing(d):
    x = base()
    x["z"] = (x.y == "pos").astype(float)
    x["z"] = x.z.map("{:.0f}".format)
    x.loc[[3, 50], "y"] = None
    x.loc[[3, 50], "z"] = None
    x.loc[[3, 50], "v"] = np.nan
    x.to_csv(d / "a.csv", index=False)


@case(table())
def t43_int_coded_categories(d):
    x = base()
    x["sector"] = np.random.default_rng(0).integers(100, 110, 300)
    x[["sector", "a", "y"]].to_csv(d / "a.csv", index=False)


@case(("", "table", {"dataset": "a.csv", "target": "y", "epochs": 1}))
def t44_wide5000(d):
    r = np.random.default_rng(0)
    x = pd.DataFrame(r.normal(size=(300, 5000)).round(3), columns=[f"g{i}" for i in range(5000)])
    x["y"] = np.where(x.g0 > 0, "a", "b")
    x.to_csv(d / "a.csv", index=False)


@case(("", "table", {"dataset": ".", "target": "y"}))
def t46_folder_codes_change_type(d):
    """ward: text in train (one row is 'ICU'), whole numbers with a hole in test"""
    x = base(400)
    x["ward"] = [str(i % 5 + 1) for i in range(400)]
    tr = x.iloc[:300].copy()
    tr.iloc[0, tr.columns.get_loc("ward")] = "ICU"
    te = x.iloc[300:].copy()
    te.iloc[0, te.columns.get_loc("ward")] = None
    tr[["ward", "a", "y"]].to_csv(d / "train.csv", index=False)
    te[["ward", "a", "y"]].to_csv(d / "test.csv", index=False)


@case(("", "table", {"dataset": ".", "target": "y"}))
def t47_folder_number_in_train_text_in_test(d):
    x = base(400)
    tr = x.iloc[:300]
    te = x.iloc[300:].copy()
    te["a"] = te.a.astype(str)
    te.iloc[5, te.columns.get_loc("a")] = "unknown"
    tr.to_csv(d / "train.csv", index=False)
    te.to_csv(d / "test.csv", index=False)


@case(("", "table", {"dataset": ".", "target": "y"}))
def t49_folder_train_val_csv(d):
    x = base(400)
    x.iloc[:300].to_csv(d / "train.csv", index=False)
    x.iloc[300:350].to_csv(d / "val.csv", index=False)
    x.iloc[350:].to_csv(d / "test.csv", index=False)


@case(("", "table", {"dataset": ".", "target": "y"}))
def t50_folder_train_dev_tsv(d):
    x = base(400)
    x.iloc[:300].to_csv(d / "train.tsv", index=False, sep="\t")
    x.iloc[300:350].to_csv(d / "dev.tsv", index=False, sep="\t")
    x.iloc[350:].to_csv(d / "test.tsv", index=False, sep="\t")


@case(table(), ("_int", "table", {"dataset": "a.csv", "target": "k"}))
def t56_rare_classes(d):
    x = base(100)
    x["y"] = [f"c{i}" if i < 3 else ["x", "z"][i % 2] for i in range(100)]
    x["k"] = [7 if i == 4 else i % 2 for i in range(100)]
    x.to_csv(d / "a.csv", index=False)


@case(table())
def t57_big_ids(d):
    x = base()
    x["tweet"] = [1234567890123456000 + i for i in range(300)]
    x[["tweet", "a", "y"]].to_csv(d / "a.csv", index=False)


@case(("", "table", {"dataset": "a.csv", "target": "y", "goal": "regress"}))
def u01_age_goal(d):
    x = base()
    x["y"] = np.random.default_rng(0).poisson(30, 300)
    x.to_csv(d / "a.csv", index=False)


@case(table())
def u28_fortran_exponent(d):
    x = base()
    x["a"] = [f"{q:.3f}D+00" for q in x.a]
    x[["a", "b", "y"]].to_csv(d / "a.csv", index=False)


@case(table())
def u29_unicode_minus_nbsp(d):
    x = base()
    x["a"] = [f"{q:.2f}".replace("-", "−") for q in x.a]
    x["n"] = [f"{int(1000 + abs(q) * 9000):,}".replace(",", "\u00a0") for q in x.b]
    x[["a", "n", "b", "y"]].to_csv(d / "a.csv", index=False)


@case(table())
def u31_category_na_vs_unknown(d):
    x = base()
    x["Alley"] = [["Grvl", "NA", "Pave"][i % 3] for i in range(300)]
    x["Mas"] = [["None", "BrkFace"][i % 2] for i in range(300)]
    x.to_csv(d / "a.csv", index=False)


@case(table())
def u32_time_of_day_duration(d):
    x = base()
    x["dur"] = [f"{i % 24:02d}:{i % 60:02d}" for i in range(300)]
    x[["dur", "a", "y"]].to_csv(d / "a.csv", index=False)
