"""How text tables are written."""

import gzip

import numpy as np

from kinds.made import base, case, table, write


@case(table())
def t01_semicolon_decimal_comma(d):
    base().to_csv(d / "a.csv", sep=";", decimal=",", index=False)


@case(
    ("", "table", {"dataset": "a.csv", "target": "v"}),
    ("_goal", "table", {"dataset": "a.csv", "target": "v", "goal": "regress"}),
)
def t02_decimal_comma_target(d):
    base().to_csv(d / "a.csv", sep=";", decimal=",", index=False)


@case(
    ("", "table", {"dataset": "a.csv", "target": "price"}),
    ("_goal", "table", {"dataset": "a.csv", "target": "price", "goal": "regress"}),
)
def t04_currency_target(d):
    x = base()
    x["price"] = [f"${q * 1000 + 20000:,.0f}" for q in x.v]
    x[["a", "b", "price"]].to_csv(d / "a.csv", index=False)


@case(table())
def t05_percent_features(d):
    x = base()
    x["rate"] = [f"{int(50 + q)}%" for q in x.v]
    x["amount"] = [f"€ {q * 7 + 300:.2f}" for q in x.v]
    x[["rate", "amount", "y"]].to_csv(d / "a.csv", index=False)


@case(table())
def t07_old_mac_cr(d):
    write(d / "a.csv", base().to_csv(index=False, lineterminator="\r"))


@case(table())
def t08_utf16_excel(d):
    write(d / "a.csv", base().to_csv(index=False, sep="\t"), "utf-16")


@case(table())
def t10_pipe(d):
    base().to_csv(d / "a.csv", sep="|", index=False)


@case(table())
def t11_spaces(d):
    write(d / "a.csv", base().to_string(index=False))


@case(("", "table", {"dataset": "a.tsv", "target": "y"}))
def t13_tsv_commas_in_header(d):
    x = base().rename(columns={"a": "length (cm), left, outer", "b": "b"})
    x[["length (cm), left, outer", "b", "y"]].to_csv(d / "a.tsv", sep="\t", index=False)


@case(table())
def t14_one_comment_line(d):
    write(d / "a.csv", "# exported 2024-05-01\n" + base().to_csv(index=False))


@case(table())
def t16_trailing_comma(d):
    write(d / "a.csv", "\n".join(line + "," for line in base().to_csv(index=False).splitlines()) + "\n")


@case(table())
def t17_trailing_delim_no_header(d):
    lines = base().to_csv(index=False).splitlines()
    write(d / "a.csv", "\n".join([lines[0]] + [line + "," for line in lines[1:]]) + "\n")


@case(table())
def t19_pandas_index_sorted(d):
    x = base().sort_values("y").reset_index(drop=True)
    x[["a", "b"]] = np.random.default_rng(1).normal(size=(300, 2))
    x[["a", "b", "y"]].to_csv(d / "a.csv")


@case(table())
def t20_id_column_sorted(d):
    x = base().sort_values("y").reset_index(drop=True)
    x[["a", "b"]] = np.random.default_rng(1).normal(size=(300, 2))
    x.insert(0, "id", range(1000, 1300))
    x[["id", "a", "b", "y"]].to_csv(d / "a.csv", index=False)


@case(table())
def t22_stray_quote(d):
    lines = base().assign(size="11 in").to_csv(index=False).splitlines()
    lines[20] = lines[20].replace("11 in", '"11 in')
    write(d / "a.csv", "\n".join(lines) + "\n")


@case(("", "table", {"dataset": "a.tsv", "target": "y"}))
def t23_stray_quote_last_column_tsv(d):
    x = base()
    x["note"] = "fine"
    lines = x[["a", "y", "note"]].to_csv(index=False, sep="\t").splitlines()
    lines[250] = lines[250].replace("fine", '"quoted and never closed')
    write(d / "a.tsv", "\n".join(lines) + "\n")


@case(table())
def t40_empty_file(d):
    write(d / "a.csv", "")


@case(table())
def t52_gz_named_csv(d):
    write(d / "a.csv", gzip.compress(base().to_csv(index=False).encode()))


@case(table())
def t53_nul_bytes(d):
    write(d / "a.csv", base().to_csv(index=False).replace("pos", "p\0os", 1))


@case(table())
def u22_multiline_header_two_rows(d):
    write(d / "a.csv", "a,b,y,v\nmm,kg,-,eur\n" + "\n".join(base().to_csv(index=False).splitlines()[1:]) + "\n")


@case(table())
def u23_footer_total(d):
    write(d / "a.csv", base()[["a", "y"]].to_csv(index=False) + "Total,\n")


@case(table())
def u25_space_then_quote(d):
    x = base()
    write(d / "a.csv", "a, note, y\n" + "\n".join(f'{a}, "x, z", {y}' for a, y in zip(x.a, x.y, strict=False)) + "\n")


@case(table())
def u26_single_quotes(d):
    x = base()
    write(
        d / "a.csv", "'a','note','y'\n" + "\n".join(f"{a},'x z','{y}'" for a, y in zip(x.a, x.y, strict=False)) + "\n"
    )
