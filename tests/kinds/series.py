"""Series in time."""

import numpy as np
import pandas as pd

from kinds.made import case, days, series, write


@case(series(target="v", time="date"))
def s01_us_dates(d):
    x = days()
    x["date"] = [f"{q.month}/{q.day}/{q.year}" for q in x.date]
    x.to_csv(d / "a.csv", index=False)


@case(series(target="v", time="date"))
def s02_month_names(d):
    x = days()
    x["date"] = [q.strftime("%d-%b-%Y") for q in x.date]
    x.to_csv(d / "a.csv", index=False)


@case(series(target="sales", time="date"))
def s04_panel_store_item(d):
    x = days(120)
    pd.concat([x.assign(store=s, sales=x.v + 1000 * s) for s in range(5)])[["date", "store", "sales"]].to_csv(
        d / "a.csv", index=False
    )


@case(series(target="sales"))
def s05_panel_no_time(d):
    x = days(120)
    pd.concat([x.assign(store=s, sales=x.v + 1000 * s) for s in range(5)])[["date", "store", "sales"]].to_csv(
        d / "a.csv", index=False
    )


@case(series(target="v", time="date"))
def s07_gaps(d):
    x = days()
    x = x[(x.index % 30) < 20]
    x.to_csv(d / "a.csv", index=False)


@case(series(target="v", time="date"))
def s08_missing_values(d):
    x = days()
    x.loc[0:2, "v"] = np.nan
    x.to_csv(d / "a.csv", index=False)


@case(series(target="v", time="date"))
def s10_decimal_comma(d):
    days().to_csv(d / "a.csv", index=False, sep=";", decimal=",")


@case(series(target="v", time="date"))
def s11_duplicate_dates(d):
    x = days()
    pd.concat([x, x]).to_csv(d / "a.csv", index=False)


@case(("", "series", {"dataset": "a.csv", "target": "v", "length": 12}))
def s13_m4_wide(d):
    r = np.random.default_rng(0)
    pd.DataFrame(r.normal(size=(5, 300)), columns=[f"V{i}" for i in range(1, 301)]).assign(
        id=[f"Y{i}" for i in range(5)]
    ).to_csv(d / "a.csv", index=False)


@case(series(target="v", time="date"))
def s14_timezones(d):
    x = days()
    x["date"] = [f"{q}T00:00:00{'+02:00' if 90 < i < 300 else '+01:00'}" for i, q in enumerate(x.date)]
    x.to_csv(d / "a.csv", index=False)


@case(("", "series", {"dataset": "a.ts", "target": "v"}))
def s16_sktime_ts(d):
    write(d / "a.ts", "@problemName X\n@data\n1,2,3:a\n")


@case(("", "series", {"dataset": "a.csv", "target": "v", "length": 12}))
def s17_negative_first_col_two_numbers(d):
    x = days()
    x["w"] = x.v * 2
    x.to_csv(d / "a.csv", index=False)


@case(("", "series", {"dataset": "a.csv", "target": "v", "time": "date", "length": 12}))
def u16_german_dates(d):
    x = days()
    x["date"] = [q.strftime("%d.%m.%Y") for q in x.date]
    x.to_csv(d / "a.csv", index=False)


@case(("", "series", {"dataset": "a.csv", "target": "v", "length": 12}))
def u17_one_outlier_text(d):
    x = days()
    x["v"] = x.v.astype(str)
    x.loc[9, "v"] = "-"
    x.to_csv(d / "a.csv", index=False)


@case(("", "series", {"dataset": "a.csv", "length": 12}))
def u19_no_target_two(d):
    x = days()
    x["w"] = 1.0
    x.to_csv(d / "a.csv", index=False)


@case(("", "series", {"dataset": "a.csv", "target": "v", "time": "date", "length": 12}))
def u20_last_partial_and_zero(d):
    x = days(40)
    x.to_csv(d / "a.csv", index=False)
