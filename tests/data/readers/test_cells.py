import numpy as np
import pytest

from fdl.data.readers.find import find
from fdl.data.readers.table_files import reading

pytest.importorskip("pyarrow")


def column(tmp_path, cells, *, dialect="", roles=(), name="a", sep=";"):
    path = tmp_path / "a.csv"
    path.write_text("\n".join([f"{name}{sep}z", *(f"{cell}{sep}w" for cell in cells)]) + "\n")
    return find(str(path), how=reading(dialect, roles))


ODD = ["unknown", "-", "#N/A", "1,500", "45 %", "€ 3", "\u22122", "($5)", "1.5D+02", "1 234", "NULL", " 7 ", "-$5"]
READ = [np.nan, np.nan, np.nan, 1500, 45, 3, -2, -5, 150, 1234, np.nan, 7, -5]


@pytest.mark.parametrize(("cell", "value"), list(zip(ODD, READ, strict=True)))
def test_one_odd_cell_leaves_a_column_of_numbers_what_it_is(tmp_path, cell, value):
    records = column(tmp_path, [*(f"{i / 4 + 0.25}" for i in range(50)), cell])
    assert records.fields["a"].kind == "number"
    assert not records.fields["a"].refusal
    np.testing.assert_equal(np.asarray(records.column("train", "a"))[-1], value)
    assert cell.strip() in records.fields["a"].note or cell.strip() == "7"


def test_a_cell_that_is_no_number_is_named_with_its_line_and_each_way_out_works(tmp_path):
    cells = [*(f"{i / 4}" for i in range(50)), "1.2.3"]
    assert "a.csv line 52: a is '1.2.3', no number" in column(tmp_path, cells).fields["a"].refusal
    number = column(tmp_path, cells, roles=["a:number"])
    assert np.isnan(number.column("train", "a")[50])
    assert column(tmp_path, cells, roles=["a:text"]).column("train", "a")[50] == "1.2.3"
    assert "a" not in find(str(tmp_path / "a.csv"), how=reading(drop=["a"])).fields


@pytest.mark.parametrize(
    "cells", [["02116", "12345"], ["2019_01"] * 3, ["12e45", "10e1"], ["0x1f", "12"], ["1-2", "3-4"]]
)
def test_codes_are_text(tmp_path, cells):
    records = column(tmp_path, cells * 3)
    assert records.fields["a"].kind == "text"
    assert list(records.column("train", "a")) == cells * 3


def test_a_code_far_below_the_first_cells_is_seen(tmp_path):
    records = column(tmp_path, [*(str(20_000 + i % 70) for i in range(30_000)), "02116"])
    assert records.column("train", "a")[-1] == "02116"
    assert records.column("train", "a")[0] == "20000"


@pytest.mark.parametrize("words", [["none", "NA", "Na"], ["unknown", "-", "?"]])
def test_words_for_missing_ones_are_words_where_no_numbers_are(tmp_path, words):
    records = column(tmp_path, [*words, "mild", ""] * 4)
    assert list(records.column("train", "a"))[:5] == [*words, "mild", None]


def test_commas_are_decimals_thousands_or_asked_about(tmp_path):
    assert list(column(tmp_path, ["0,5", "1,25", "2.000,5"]).column("train", "a")) == [0.5, 1.25, 2000.5]
    assert "1,500 may be a decimal or thousands" in column(tmp_path, ["1,500", "2,250"]).fields["a"].refusal
    as_decimal = column(tmp_path, ["1,500", "2,250"], dialect="decimal=,")
    assert list(as_decimal.column("train", "a")) == [1.5, 2.25]
    as_thousands = column(tmp_path, ["1,500", "2,250"], dialect="decimal=.")
    assert list(as_thousands.column("train", "a")) == [1500, 2250]


def test_days_in_one_number_are_dates_and_other_numbers_are_not(tmp_path):
    records = column(tmp_path, ["20240131", "20240229", "20240301"])
    assert records.column("train", "a")[1] == np.datetime64("2024-02-29")
    assert column(tmp_path, ["20240131", "20240230", "20240301"]).fields["a"].kind == "number"


def test_what_a_split_holds_is_typed_by_all_of_them(tmp_path):
    for split, codes in (("train", ["01", "A1", "3"] * 9), ("test", ["01", "3"] * 3)):
        lines = [f"{code},{'ab'[i % 2]}" for i, code in enumerate(codes)]
        (tmp_path / f"{split}.csv").write_text("\n".join(["code,y", *lines]))
    records = find(str(tmp_path))
    assert list(records.column("test", "code"))[:2] == ["01", "3"]


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
def test_lines_are_counted_however_they_end(tmp_path, end):
    text = end.join(["a,b", "1.5,x", '2.5,"y', 'z"', "", "bad,q", *(f"{i}.5,x" for i in range(20))])
    (tmp_path / "a.csv").write_bytes(text.encode())
    records = find(str(tmp_path / "a.csv"))
    assert "a.csv line 6: a is 'bad'" in records.fields["a"].refusal
    assert records.notes[0].startswith("a.csv: 23 rows of 26 lines")


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("delimiter", "give NAME=VALUE of"),
        ("delimiter=;;", "give one character, tab, space, comma or none"),
        ("encoding=klingon", "which is unknown; give one as"),
        ("skip=some", "give the number of lines"),
        ("header=a", "names 1 columns, .* has 2"),
    ],
)
def test_a_dialect_that_says_nothing_is_refused_in_one_line(tmp_path, given, said):
    with pytest.raises(ValueError, match=said) as error:
        column(tmp_path, ["1", "2"], dialect=given)
    assert "\n" not in str(error.value)
