"""Files of the kinds that people have: each trains rightly, or is refused in one line whose way out works."""

import re
import warnings
from importlib import import_module

import jax
import numpy as np
import pytest

from fdl.core.errors import UserError
from fdl.data.validate import check_source
from fdl.experiment import maker

pytest.importorskip("pandas")
pytest.importorskip("pyarrow")
from kinds.made import CASES

for module in (
    "dialects",
    "columns",
    "typed_files",
    "series",
    "pictures",
    "picture_arrays",
    "media",
    "texts",
    "exports",
):
    import_module(f"kinds.{module}")

NEEDED = {"a": ["soundfile"], "v": ["imageio", "av"], "e13": ["openpyxl"], "v40": ["av"], "v41": ["av"]}
# What is refused: what matters of the line, and the knobs that follow its way out (None: the file is to be mended).
REFUSED = {
    "a02_files_file": ("one example; give a folder", None),
    "a02_files_flac": ("one example; give a folder", None),
    "a02_files_mp3": ("one example; give a folder", None),
    "a07_npz_object_ragged": ("holds Python objects", None),
    "e01_headerless_tsv": (
        r"its first line \(.*, pos\) may be names or a row; give --dialect=header=yes, header=no",
        {"dialect": "header=text,label", "inputs": "text"},
    ),
    "e03_medmnist_multilabel": (r"holds 14 zeros and ones a row, several classes each", {"goal": "regress"}),
    "e04_percent_beside_share": (r"line 2: rate holds '49 %' and '0\.52', numbers of two", {"roles": ("rate:number",)}),
    "e04_percent_beside_share_target": (r"rate holds '49 %' and '0\.52', numbers of", {"roles": ("rate:number",)}),
    "e05_two_currencies": (r"line 2: price holds '\$.*' and '€.*', numbers of two units", {"drop": ("price",)}),
    "e06_log_of_nul_bytes": ("line 3 holds a NUL byte", None),
    "e08_total_row": (r"line 302: region is 'Total'; it is the sum of the rows above: remove the line", None),
    "e13_excel_with_title": (r"no column 'y' .*Report of 2024.*--dialect=skip=2", {"dialect": "skip=2"}),
    "e14_stata": (r"pandas\.read_stata\('a\.dta'\)\.to_parquet\('a\.parquet'\)", None),
    "e15_one_json_object_columns": (r"one JSON object that holds the rows \(a, b, y, v\); write", None),
    "e15_one_json_object_split": (r"one JSON object that holds the rows \(data\); write an object per line", None),
    "e15_one_json_object_inside": (r"one JSON object that holds the rows \(data\); write an object per line", None),
    "e16_web_page_named_csv": (r"a\.csv is a web page \(HTML\), no table", None),
    "e17_pointer_of_git_lfs": (r"a\.csv is a pointer of Git LFS.*git lfs pull", None),
    "e17_pointer_of_git_lfs_parquet": (r"a\.parquet is a pointer of Git LFS", None),
    "e17_pointer_of_git_lfs_txt": (r"a\.txt is a pointer of Git LFS", None),
    "e18_years_as_names": (r"its first line \(country, 2000.* may be names or a row", {"dialect": "header=yes"}),
    "e19_two_lines_of_names": ("has 'size' twice; rename one, or give how many.*skip=1", {"dialect": "skip=1"}),
    "e20_title_lines": (r"its columns are Report of things .*--dialect=skip=1", {"dialect": "skip=3"}),
    "e21_names_repeated_inside": (r"line 151: a is 'a', no number as the rest", None),
    "e22_footnotes": (r"line 303 has 1 cells for 4 columns .*mend the line", None),
    "e23_label_null": ("line 1: label is missing; leave such examples out with --missing=drop", {"missing": "drop"}),
    "e24_chat": (r"no column is text: messages \(other\); .*give another --dataset", None),
    "e29_half_a_gif": (r"1 of 40 pictures cannot be read: .*003\.gif", None),
    "e35_splits_within_classes": (r"holds splits within classes \(cat/train, …\); put classes within splits", None),
    "e36_archives": (r"a\.tar\.gz holds a\.tar, no \.csv.*; unpack it", None),
    "e36_archives_txt": (r"b\.txt\.gz holds b\.txt, no \.csv.*; unpack it", None),
    "e37_other_delimiter": (r"no column 'y'.*--dialect=delimiter=X", {"dialect": "delimiter=~"}),
    "i11_truncated": (r"1 of 80 pictures cannot be read: .*013\.jpg \(damaged", None),
    "i13_html_named_jpg": (r"1 of 80 pictures cannot be read: .*013\.jpg \(no picture", None),
    "i23_bomb": (r"1 of 41 pictures cannot be read: .*huge\.png \(more than", None),
    "i34_flat_names": ("holds 20 pictures and no folders of classes", None),
    "n16_npy": ("holds one array without a name", None),
    "s04_panel_store_item": (r"line 122: date is 2020-01-01, as in .*line 2 .*--group=store", {"group": "store"}),
    "s05_panel_no_time": (r"line 122: date is 2020-01-01, as in .*line 2 .*--group=store", {"group": "store"}),
    "s11_duplicate_dates": (r"line 402: date is 2020-01-01, as in .*line 2 .*keep one row for each time", None),
    "s13_m4_wide": (r"no column 'v' for --target; its columns are V1 \(number\)", None),
    "s16_sktime_ts": (r"a\.ts is no \.csv", None),
    "t31_one_typo_in_number": (r"line 9: a is '1\.2\.3', no number", {"roles": ("a:number",)}),
    "t37_constant_target": ("has 1 class: nothing to learn; give another --target", {"target": "v"}),
    "t37_constant_target_num": ("has 1 class: nothing to learn; give another --target", {"target": "v"}),
    "t37_constant_target_float": (r"is 1\.5 throughout train; give another --target", {"target": "v"}),
    "t38_two_rows": ("has 2 training examples, too few", None),
    "t40_empty_file": (r"is empty \(0 bytes\)", None),
    "t41_target_missing": (r"line 5: y is missing, in 2 of 300 rows.*--missing=drop", {"missing": "drop"}),
    "t41_target_missing_01": (r"line 5: z is missing, in 2 of 300 rows.*--missing=drop", {"missing": "drop"}),
    "t41_target_missing_v": (r"line 5: v is missing, in 2 of 300 rows.*--missing=drop", {"missing": "drop"}),
    "t46_folder_codes_change_type": (r"train\.csv line 2: ward is 'ICU', no number", {"roles": ("ward:category",)}),
    "t53_nul_bytes": (r"line 2 holds a NUL byte; mend the line", None),
    "u05_mask_png_beside": ("holds images, masks: pictures beside their masks", None),
    "u08_broken_symlink": (r"1 of 41 pictures cannot be read: .*zz\.png", None),
    "u11_text_with_id": ("several columns fit: id, text; name one", {"inputs": "text"}),
    "u19_no_target_two": ("several columns fit: v, w; name one", {"target": "v"}),
    "u22_multiline_header_two_rows": (r"line 2: a is 'mm', no number", None),
    "u23_footer_total": (r"line 302: y is missing", {"missing": "drop", "roles": ("a:number",)}),
    "u34_multiindex_columns_and_dup": (r"no column 'y' .*\('g', 'y'\) \(text\)", {"target": "('g', 'y')"}),
    "u35_bool_null_target": ("row 5: y is missing, in 1 of 300 rows", {"missing": "drop"}),
    "u38_one_empty_pair": ("line 9: en is empty", {"missing": "drop"}),
    "v02_mp4_folder_file": ("one example; give a folder", None),
    "v04_npz_gray_nthw_image": (r"x of uint8\[40, 5, 16, 16\]", None),
    "x02_latin1": (r"line 5 is not UTF-8 \(byte 0xe9\)", {"dialect": "encoding=cp1252"}),
    "x04_empty_doc": ("line 7: text is empty", {"missing": "drop"}),
    "x07_sms_spam_quotes": ("may be names or a row; give --dialect=header=", {"dialect": "header=label,text"}),
    "x13_cp1252_quotes": (r"line 5 is not UTF-8 \(byte 0x92\)", {"dialect": "encoding=cp1252"}),
    "x14_multilabel": (r"holds lists, as \"\['a', 'b'\]\"", None),
}
# What a plan says of columns, where that is the point of the case: what must stand in the lines that are logged.
SAID = {
    "a40_subtypes_and_rates": ["are resampled to 16,000, which most have", "they are averaged"],
    "e02_fer2013": ["2,304 numbers a cell are a gray picture of 48 x 48"],
    "e09_class_named_total": ["sex +category +3 values: f, m, total"],
    "e10_below_detection": ["lead +left out.*mostly numbers: '<0.01' is none, 75% are; --roles=lead:number"],
    "e11_classes_in_two_cases": [r"4 classes \(NEG, POS, neg, …\); NEG and neg differ in case alone"],
    "e12_header_with_line_breaks": [r"a \(mm\) +number"],
    "e25_mixed_line_ends": ["300 rows of 301 lines"],
    "e26_ranges_and_yes_no": ["age +category +6 values: 0-9, 10-19", "smokes +category +2 values: Ja, Nein"],
    "e27_zones_differ": ["at +date +2020-01-01 to 2020-01-13T10:00:00"],
    "e28_modes_of_pictures": ["gray pictures: 8, colour: 32; all are read as colour", "divided by 256 to 8 bits: 8"],
    "e30_currency_codes_and_minus_behind": [
        "chf +number +1005 to 4221",
        r"sap +number +-32\.21 to 30\.52",
        "lakh +number +110100 to 999279",
    ],
    "e31_french_thousands": [r"prix +number +1002\.5 to 2610\.5"],
    "e32_units_in_cells": ["weight +left out.*a word beside them, as '52.5 kg': write them alone", "lat +left out.*°"],
    "e33_index_written_twice": ["Unnamed: 0.1 +left out +row numbers", "Unnamed: 0 +left out +row numbers"],
    "e34_npz_of_records_and_dates": [r"data\.a +number", "when +date +2020-01-01 to 2020-10-26"],
    "v41_held_upright": [r"12 videos of 4 frames, 48 x 32 \(height x width\)"],
    "v40_frame_rates_differ": ["12 videos of 8 to 24 frames", "of every video 8 frames are taken"],
    "t01_semicolon_decimal_comma": ["decimal comma", r"a +number +-3\.\d+ to 3\.\d+"],
    "t04_currency_target": [r"price: \d+ whole numbers, read as a number; --goal=classify"],
    "t05_percent_features": [r"rate +number.*as '52%'", "amount +number"],
    "t16_trailing_comma": ["each line ends with a delimiter"],
    "t19_pandas_index_sorted": ["Unnamed: 0 +left out +row numbers: each of 0 to 299 once"],
    "t20_id_column_sorted": ["id +left out +row numbers: each of 1000 to 1299 once"],
    "t22_stray_quote": ["300 rows of 301 lines", "a quote in line 21 pairs with none"],
    "t23_stray_quote_last_column_tsv": ["300 rows of 301 lines"],
    "t25_leading_zeros": ["4 classes.*00501"],
    "t26_hex_e_ids": ["hash +left out +240 different texts in 240 rows, codes"],
    "t28_class_named_none": [r"3 classes \(mild, none, severe\)"],
    "t29_namibia": [r"3 classes \(DE, FR, NA\)"],
    "t32_excel_errors": ["a +number.*2 missing as '#N/A', '#DIV/0!'"],
    "t34_only_dates_and_names": ["when +date +2020-01-01 to 2020-10-26", "name +left out +240 different texts"],
    "t35_empty_and_constant_column": ["empty +left out +empty", "const +left out +constant: 5", "constx +left out"],
    "t47_folder_number_in_train_text_in_test": ["a +number.*1 missing as 'unknown'"],
    "t57_big_ids": ["tweet +left out +row numbers"],
    "u01_age_goal": ["29 whole numbers, read as a number; --goal=classify for classes"],
    "u28_fortran_exponent": ["a +number.*300 as '0.126D"],
    "u29_unicode_minus_nbsp": ["a +number", "n +number"],
    "u31_category_na_vs_unknown": [
        "Alley +category +3 values: Grvl, NA, Pave",
        "Mas +category +2 values: BrkFace, None",
    ],
    "u32_time_of_day_duration": ["dur +number +0 to 1439, in minutes"],
    "p02_list_of_strings": ["tags +left out +lists of string"],
    "p04_pandas_index": ["__index_level_0__ +left out +row numbers"],
    "p10_bool_csv_vs_parquet": ["f +category +2 values: false, true"],
    "s07_gaps": ["13 gaps in date"],
    "s08_missing_values": ["3 rows are left out: nothing is known before them"],
    "u17_one_outlier_text": ["1 missing values of v take the one before; none is a target"],
}
COMMANDS = {
    name + suffix: (name, page, knobs) for name, (_, commands) in CASES.items() for suffix, page, knobs in commands
}


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Return the function that makes the files of a case, once."""
    folders = {}

    def make(name):
        if name not in folders:
            folder = tmp_path_factory.mktemp("kinds") / name
            whole = any(knobs["dataset"] == "." for _, _, knobs in CASES[name][1])
            inside = folder / "data_dir" if whole else folder
            inside.mkdir(parents=True)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                CASES[name][0](inside)
            folders[name] = (folder, inside)
        return folders[name]

    return make


@pytest.mark.parametrize("command", COMMANDS)
def test_every_kind_of_file_trains_or_is_refused_in_one_line(command, made, tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))
    name, page, knobs = COMMANDS[command]
    for library in NEEDED.get(name[:3], NEEDED.get(name[0], [])):
        pytest.importorskip(library)
    folder, inside = made(name)
    where = inside if knobs["dataset"] == "." else folder / knobs["dataset"]
    knobs = {**knobs, "dataset": str(where)}
    if command in REFUSED:
        said, way_out = REFUSED[command]
        with pytest.raises(UserError, match=said) as error:
            loaded(page, knobs)
        assert "\n" not in str(error.value)
        if way_out is None:
            return
        knobs.update(way_out)
    dataset = loaded(page, knobs)
    lines = "\n".join(dataset.notes)
    for line in SAID.get(command, []):
        assert re.search(line, lines), lines
    assert all("\n" not in line for line in dataset.notes)


def loaded(page, knobs):
    """Return the dataset of a page, every row of it read and checked, and a batch of the shapes that are promised."""
    dataset = maker(page)(**knobs).dataset
    for split, size in dataset.spec.sizes.items():
        source = dataset.load(split).resident()
        check_source(source, dataset.spec, dataset.name, split)
        batch = source.fetch(np.arange(min(2, size)))
        seen = jax.tree.map(lambda leaf: leaf.shape[1:], (batch.inputs, batch.targets))
        assert seen == jax.tree.map(lambda leaf: leaf.shape, (dataset.spec.inputs, dataset.spec.targets))
    return dataset


def test_the_lists_name_cases_that_there_are():
    assert set(REFUSED) | set(SAID) <= set(COMMANDS)
    assert len(CASES) == 191
