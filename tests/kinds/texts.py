"""Texts and pairs of texts."""

import numpy as np
import pandas as pd

from kinds.made import case, docs, sentences, write


@case(("", "pairs", {"dataset": "deu.tsv"}), ("_txt", "pairs", {"dataset": "deu.txt"}))
def q01_tatoeba_3col(d):
    lines = "\n".join(
        f"{a}\t{b}\tCC-BY 2.0 (France) Attribution: tatoeba.org #{i}" for i, (a, b) in enumerate(sentences())
    )
    write(d / "deu.tsv", lines + "\n")
    write(d / "deu.txt", lines + "\n")


@case(("", "pairs", {"dataset": "a.tsv", "inputs": "en", "target": "de"}))
def q02_tsv_quotes(d):
    lines = ["en\tde"] + [
        (f'"{a}" he said.\t"{b}", sagte er.' if i % 5 == 0 else f'"{a}\t„{b}"' if i % 23 == 1 else f"{a}\t{b}")
        for i, (a, b) in enumerate(sentences())
    ]
    write(d / "a.tsv", "\n".join(lines) + "\n")


@case(("", "pairs", {"dataset": "m"}))
def q04_moses_parallel(d):
    (d / "m").mkdir()
    t = sentences()
    write(d / "m/train.en", "\n".join(a for a, _ in t) + "\n")
    write(d / "m/train.de", "\n".join(b for _, b in t) + "\n")


@case(
    ("", "pairs", {"dataset": "a.parquet", "inputs": "en", "target": "de"}),
    ("_nested", "pairs", {"dataset": "b.parquet"}),
)
def q05_hf_translation_struct(d):
    t = sentences()
    pd.DataFrame(t, columns=["en", "de"]).to_parquet(d / "a.parquet")
    pd.DataFrame({"translation": [{"en": a, "de": b} for a, b in t]}).to_parquet(d / "b.parquet")


@case(("", "pairs", {"dataset": "a.csv", "inputs": "q", "target": "a"}))
def q07_numbers_as_text(d):
    r = np.random.default_rng(0)
    pd.DataFrame([(f"{x}+{y}", x + y) for x, y in r.integers(0, 500, (200, 2))], columns=["q", "a"]).to_csv(
        d / "a.csv", index=False
    )


@case(("", "text", {"dataset": "a.parquet", "inputs": "text", "target": "label"}))
def u10_text_categorical_large_string(d):
    import pyarrow as pa
    import pyarrow.parquet as pq

    x = docs()
    pq.write_table(
        pa.table({"text": pa.array(x.text, pa.large_string()), "label": pa.array(x.label).dictionary_encode()}),
        d / "a.parquet",
    )


@case(("", "text", {"dataset": "a.csv", "target": "label"}))
def u11_text_with_id(d):
    x = docs()
    x.insert(0, "id", [f"t3_{i}" for i in range(200)])
    x.to_csv(d / "a.csv", index=False)


@case(("", "text", {"dataset": "d"}))
def u13_folder_of_txt(d):
    (d / "d").mkdir()
    [write(d / "d" / f"{i}.txt", "some text " * 20) for i in range(10)]


@case(("", "text", {"dataset": "a.txt", "target": "label"}))
def u14_fasttext(d):
    write(d / "a.txt", "\n".join(f"__label__{y} {t}" for t, y in zip(docs().text, docs().label, strict=False)))


@case(("", "pairs", {"dataset": "a.csv", "inputs": "en", "target": "de"}))
def u38_one_empty_pair(d):
    t = sentences()
    t[7] = ("", t[7][1])
    pd.DataFrame(t, columns=["en", "de"]).to_csv(d / "a.csv", index=False)


@case(("", "text", {"dataset": "a.csv", "inputs": "text", "target": "label"}))
def x01_crlf_multiline(d):
    x = docs()
    x["text"] = [t.replace(" ", "\r\n", 1) for t in x.text]
    write(d / "a.csv", x.to_csv(index=False, lineterminator="\r\n"))


@case(("", "text", {"dataset": "a.csv", "inputs": "text", "target": "label"}))
def x02_latin1(d):
    x = docs()
    x.loc[3, "text"] = "café noir"
    write(d / "a.csv", x.to_csv(index=False), "latin-1")


@case(("", "text", {"dataset": "a.csv", "inputs": "text", "target": "label"}))
def x04_empty_doc(d):
    x = docs()
    x.loc[5, "text"] = ""
    x.to_csv(d / "a.csv", index=False)


@case(("", "text", {"dataset": "a.csv", "inputs": "text", "target": "label"}))
def x05_doc_says_none(d):
    x = docs()
    x.loc[5, "text"] = "None"
    x.loc[9, "text"] = "n/a"
    x.to_csv(d / "a.csv", index=False)


@case(
    ("", "text", {"dataset": "SMSSpamCollection.tsv", "inputs": "text", "target": "label"}),
    ("_named", "text", {"dataset": "h.tsv", "inputs": "text", "target": "label"}),
)
def x07_sms_spam_quotes(d):
    """UCI SMSSpamCollection: no header, tab, some texts begin with a quote that is never closed"""
    x = docs(400)
    x["text"] = ['"' + t if i % 40 == 7 else t for i, t in enumerate(x.text)]
    lines = [f"{y}\t{t}" for t, y in zip(x.text, x.label, strict=False)]
    write(d / "SMSSpamCollection.tsv", "\n".join(lines) + "\n")
    write(d / "h.tsv", "label\ttext\n" + "\n".join(lines) + "\n")


@case(("", "text", {"dataset": "aclImdb"}))
def x08_imdb_folder(d):
    for s in ("train", "test"):
        for c in ("pos", "neg"):
            (d / "aclImdb" / s / c).mkdir(parents=True)
            [write(d / "aclImdb" / s / c / f"{i}_7.txt", t) for i, t in enumerate(docs(20).text)]


@case(("", "text", {"dataset": "a.csv", "inputs": "text", "target": "stars"}))
def x10_stars_float(d):
    x = docs()
    x["stars"] = np.random.default_rng(0).integers(1, 6, 200).astype(float)
    x.to_csv(d / "a.csv", index=False)


@case(("", "text", {"dataset": "a.csv", "inputs": "text", "target": "label"}))
def x11_numeric_texts(d):
    x = docs()
    x["text"] = [str(1000 + i) for i in range(200)]
    x.to_csv(d / "a.csv", index=False)


@case(("", "text", {"dataset": "a.csv", "inputs": "text", "target": "label"}))
def x13_cp1252_quotes(d):
    x = docs()
    x.loc[3, "text"] = "it’s “fine”"
    write(d / "a.csv", x.to_csv(index=False), "cp1252")


@case(("", "text", {"dataset": "a.csv", "inputs": "text", "target": "labels"}))
def x14_multilabel(d):
    x = docs()
    x["labels"] = ["['a', 'b']" if i % 2 else "['a']" for i in range(200)]
    x[["text", "labels"]].to_csv(d / "a.csv", index=False)


@case(("", "text", {"dataset": "a.csv", "inputs": "text", "target": "label"}))
def x16_chinese_no_spaces(d):
    r = np.random.default_rng(0)
    y = r.integers(0, 2, 200)
    pd.DataFrame(
        {
            "text": ["".join(r.choice(list("的一是不了在人有我他这"), 20)) + ("好" if q else "坏") + "。" for q in y],
            "label": y,
        }
    ).to_csv(d / "a.csv", index=False)
