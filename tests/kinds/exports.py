"""What other programs and habits leave in files: units, totals, titles, pointers, several classes, half a format."""

import json

import numpy as np
import pandas as pd

from kinds.made import audio, base, case, classes, docs, image, noise, table, tone, write


def lines_of(frame):
    return frame.to_csv(index=False).splitlines()


@case(("", "text", {"dataset": "a.tsv"}))
def e01_headerless_tsv(d):
    write(d / "a.tsv", "".join(f"{row.text}\t{row.label}\n" for row in docs().itertuples()))


@case(("", "image", {"dataset": "a.csv", "target": "emotion"}))
def e02_fer2013(d):
    r = np.random.default_rng(0)
    pixels = [" ".join(map(str, r.integers(0, 256, 48 * 48))) for _ in range(60)]
    usage = ["Training"] * 40 + ["PublicTest"] * 10 + ["PrivateTest"] * 10
    pd.DataFrame({"emotion": r.integers(0, 7, 60), "pixels": pixels, "Usage": usage}).to_csv(d / "a.csv", index=False)


@case(("", "image", {"dataset": "a.npz"}))
def e03_medmnist_multilabel(d):
    r = np.random.default_rng(0)
    found = {}
    for split, n in (("train", 100), ("val", 20), ("test", 20)):
        found[f"{split}_images"] = r.integers(0, 256, (n, 28, 28), dtype=np.uint8)
        found[f"{split}_labels"] = r.integers(0, 2, (n, 14)).astype(np.uint8)
    np.savez(d / "a.npz", **found)


@case(table(), ("_target", "table", {"dataset": "a.csv", "target": "rate"}))
def e04_percent_beside_share(d):
    x = base()
    x["rate"] = [f"{int(50 + v)} %" if i % 3 else f"{(50 + v) / 100:.2f}" for i, v in enumerate(x.v)]
    x[["a", "rate", "y"]].to_csv(d / "a.csv", index=False)


@case(table())
def e05_two_currencies(d):
    x = base()
    x["price"] = [f"{'$' if i % 2 else '€'}{500 + v:.2f}" for i, v in enumerate(x.v)]
    x.to_csv(d / "a.csv", index=False)


@case(("", "text", {"dataset": "a.log", "goal": "next_token"}))
def e06_log_of_nul_bytes(d):
    with open(d / "a.log", "wb") as file:
        file.write(b"12:00 started\n12:01 stopped\n")
        file.truncate(3 * 2**30)  # a hole: it takes no disk


@case(("", "text", {"dataset": "a.log", "goal": "next_token", "length": 32}))
def e07_log(d):
    write(d / "a.log", "".join(f"12:{i % 60:02d} GET /page/{i % 7} 200\n" for i in range(400)))


@case(("", "table", {"dataset": "a.csv", "target": "v"}))
def e08_total_row(d):
    x = base().drop(columns="y")
    x.insert(0, "region", [f"R{i % 30}" for i in range(300)])
    write(d / "a.csv", x.to_csv(index=False) + f"Total,{x.a.sum()},{x.b.sum()},{x.v.sum()}\n")


@case(("", "table", {"dataset": "a.csv", "target": "v"}))
def e09_class_named_total(d):
    x = base()
    x["sex"] = ["f", "m", "total"] * 100
    x.to_csv(d / "a.csv", index=False)


@case(table())
def e10_below_detection(d):
    x = base()
    x["lead"] = ["<0.01" if i % 4 == 0 else f"{abs(v):.2f}" for i, v in enumerate(x.v)]
    x.to_csv(d / "a.csv", index=False)


@case(table())
def e11_classes_in_two_cases(d):
    x = base()
    x["y"] = [y if i % 2 else y.upper() for i, y in enumerate(x.y)]
    x.to_csv(d / "a.csv", index=False)


@case(table(target="y class"))
def e12_header_with_line_breaks(d):
    write(d / "a.csv", '"a\n(mm)",b,"y\nclass",v\n' + base().to_csv(index=False, header=False))


@case(("", "table", {"dataset": "a.xlsx", "target": "y"}))
def e13_excel_with_title(d):
    base().to_excel(d / "a.xlsx", index=False, startrow=2)
    import openpyxl

    book = openpyxl.load_workbook(d / "a.xlsx")
    book.active["A1"] = "Report of 2024"
    book.save(d / "a.xlsx")


@case(("", "table", {"dataset": "a.dta", "target": "y"}))
def e14_stata(d):
    base().to_stata(d / "a.dta")


@case(
    ("_columns", "table", {"dataset": "a.json", "target": "y"}),
    ("_split", "table", {"dataset": "b.json", "target": "y"}),
    ("_inside", "table", {"dataset": "c.json", "target": "y"}),
)
def e15_one_json_object(d):
    x = base()
    x.to_json(d / "a.json")
    x.to_json(d / "b.json", orient="split")
    write(d / "c.json", json.dumps({"data": x.to_dict("records"), "count": len(x)}))


@case(table())
def e16_web_page_named_csv(d):
    write(d / "a.csv", "<!DOCTYPE html>\n<html><head><title>Sign in</title></head>\n<body></body></html>\n")


@case(table(), ("_parquet", "table", {"dataset": "a.parquet", "target": "y"}), ("_txt", "text", {"dataset": "a.txt"}))
def e17_pointer_of_git_lfs(d):
    for name in ("a.csv", "a.parquet", "a.txt"):
        write(d / name, "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a214614ab2935\nsize 12345\n")


@case(table())
def e18_years_as_names(d):
    r = np.random.default_rng(0)
    x = pd.DataFrame(
        {"country": [f"C{i}" for i in range(99)], **{str(y): r.normal(size=99) for y in range(2000, 2010)}}
    )
    x["y"] = np.where(x["2009"] > 0, "up", "down")
    x.to_csv(d / "a.csv", index=False)


@case(table())
def e19_two_lines_of_names(d):
    write(d / "a.csv", "\n".join(["size,size,class,value", *lines_of(base())]) + "\n")


@case(table())
def e20_title_lines(d):
    write(d / "a.csv", "Report of things\nCreated 2024-01-01\n\n" + base().to_csv(index=False))


@case(table())
def e21_names_repeated_inside(d):
    lines = lines_of(base())
    write(d / "a.csv", "\n".join([*lines[:150], *lines]) + "\n")


@case(table())
def e22_footnotes(d):
    write(d / "a.csv", base().to_csv(index=False) + "\nSource: Office of Statistics\n")


@case(("", "text", {"dataset": "a.jsonl", "target": "label"}))
def e23_label_null(d):
    rows = [{"text": row.text, "label": row.label if row.Index % 9 else None} for row in docs().itertuples()]
    write(d / "a.jsonl", "".join(json.dumps(row) + "\n" for row in rows))


@case(("", "text", {"dataset": "a.jsonl"}))
def e24_chat(d):
    row = {"messages": [{"role": "user", "content": "hi"}, {"role": "assistant", "content": "hello"}]}
    write(d / "a.jsonl", (json.dumps(row) + "\n") * 100)


@case(table())
def e25_mixed_line_ends(d):
    write(d / "a.csv", "".join(line + ("\r\n" if i % 2 else "\n") for i, line in enumerate(lines_of(base()))))


@case(table())
def e26_ranges_and_yes_no(d):
    x = base()
    x["age"] = [f"{10 * (i % 6)}-{10 * (i % 6) + 9}" for i in range(300)]
    x["smokes"] = np.where(x.a > 0, "Ja", "Nein")
    x.to_csv(d / "a.csv", index=False)


@case(table())
def e27_zones_differ(d):
    x = base()
    x["at"] = [f"2020-01-{1 + i // 24:02d}T{i % 24:02d}:00:00{'+02:00' if i % 2 else 'Z'}" for i in range(300)]
    x.to_csv(d / "a.csv", index=False)


@case(image())
def e28_modes_of_pictures(d):
    from PIL import Image

    def save(picture, path):
        kind = int(path.stem) % 5
        if kind == 0:
            picture.convert("CMYK").save(path.with_suffix(".jpg"))
        elif kind == 1:
            picture.convert("P").save(path)
        elif kind == 2:
            picture.save(path.with_suffix(".gif"), save_all=True, append_images=[picture])
        elif kind == 3:
            picture.save(path.with_suffix(".webp"))
        else:
            Image.fromarray(np.asarray(picture.convert("L")).astype(np.uint16) * 256).save(path)

    classes(d, root="d", save=save)


@case(image())
def e29_half_a_gif(d):
    classes(d, root="d", save=lambda picture, path: picture.save(path.with_suffix(".gif")))
    file = d / "d" / "cat" / "003.gif"
    file.write_bytes(file.read_bytes()[:40])


@case(audio())
def a40_subtypes_and_rates(d):
    import soundfile

    for k, name in enumerate(("hi", "lo")):
        (d / "d" / name).mkdir(parents=True)
        for i in range(20):
            rate = (16000, 8000, 44100)[i % 3]
            x = tone(300 + 400 * k, 0.3, rate)
            sound = np.stack([x, x / 2], 1) if i % 2 else x
            subtype = ("FLOAT", "PCM_24", "ULAW", "PCM_16", "PCM_U8")[i % 5]
            soundfile.write(d / "d" / name / f"{i}.wav", sound, rate, subtype=subtype)


@case(("", "video", {"dataset": "d"}))
def v40_frame_rates_differ(d):
    import av

    for k, name in enumerate("ab"):
        (d / "d" / name).mkdir(parents=True)
        for i in range(6):
            with av.open(str(d / "d" / name / f"{i}.mp4"), "w") as film:
                stream = film.add_stream("mpeg4", rate=(8, 24)[k])
                stream.width, stream.height, stream.pix_fmt = 32, 24, "yuv420p"
                for shot in range((8, 24)[k]):
                    picture = av.VideoFrame.from_ndarray(noise(24, 32, 3, i + shot) // 4, format="rgb24")
                    film.mux(stream.encode(picture))
                film.mux(stream.encode())


@case(table())
def e30_currency_codes_and_minus_behind(d):
    x = base()
    x["chf"] = [f"CHF {1000 + abs(v) * 100:,.2f}".replace(",", "'") for v in x.v]
    x["sap"] = [f"{abs(v):.2f}-" if v < 0 else f"{v:.2f}" for v in x.v]
    x["lakh"] = [f"{i % 9 + 1},{i % 90 + 10},{i % 900 + 100}" for i in range(300)]
    x.to_csv(d / "a.csv", index=False)


@case(table())
def e31_french_thousands(d):
    x = base()
    shown = [f"{1000 + abs(v) * 50:,.2f}".replace(",", "\u202f").replace(".", ",") for v in x.v]
    x["prix"] = [f"{price}\u00a0€" for price in shown]
    write(d / "a.csv", x.to_csv(index=False, sep=";", decimal=","))


@case(table())
def e32_units_in_cells(d):
    x = base()
    x["weight"] = [f"{50 + v:.1f} kg" for v in x.v]
    x["lat"] = [f"{48 + a / 10:.4f}°" for a in x.a]
    x.to_csv(d / "a.csv", index=False)


@case(table())
def e33_index_written_twice(d):
    base().to_csv(d / "once.csv")
    pd.read_csv(d / "once.csv").to_csv(d / "a.csv")
    (d / "once.csv").unlink()


@case(("", "table", {"dataset": "a.npz", "target": "y"}))
def e34_npz_of_records_and_dates(d):
    x = base()
    when = pd.date_range("2020-01-01", periods=300).to_numpy()
    np.savez(d / "a.npz", data=x[["a", "b"]].to_records(index=False), when=when, y=(x.a > 0).to_numpy().astype(int))


@case(image())
def e35_splits_within_classes(d):
    for name in ("cat", "dog"):
        classes(d, n=10, names=("train", "test"), root=f"d/{name}")


@case(
    ("", "image", {"dataset": "a.tar.gz"}),
    ("_txt", "table", {"dataset": "b.txt.gz"}),
)
def e36_archives(d):
    import gzip
    import shutil

    classes(d, n=10, root="d")
    shutil.make_archive(str(d / "a"), "gztar", d / "d")
    (d / "b.txt.gz").write_bytes(gzip.compress(b"good film\n" * 50))


@case(table())
def e37_other_delimiter(d):
    base().to_csv(d / "a.csv", index=False, sep="~")


@case(("", "video", {"dataset": "d"}))
def v41_held_upright(d):
    import struct

    import av

    turned, plain = ((0, 1, 0, -1, 0, 0, 0, 0), (1, 0, 0, 0, 1, 0, 0, 0))
    matrix = {cells: struct.pack(">9i", *(65536 * cell for cell in cells), 2**30) for cells in (turned, plain)}
    for name in "ab":
        (d / "d" / name).mkdir(parents=True)
        for i in range(6):
            path = d / "d" / name / f"{i}.mp4"
            with av.open(str(path), "w") as film:
                stream = film.add_stream("mpeg4", rate=8)
                stream.width, stream.height, stream.pix_fmt = 48, 32, "yuv420p"
                for shot in range(4):
                    film.mux(stream.encode(av.VideoFrame.from_ndarray(noise(32, 48, 3, i + shot), format="rgb24")))
                film.mux(stream.encode())
            head, found, tail = path.read_bytes().partition(b"tkhd")  # as telephones write it: a track's matrix
            path.write_bytes(head + found + tail.replace(matrix[plain], matrix[turned], 1))
