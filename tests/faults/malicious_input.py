"""Hostile input: text, checkpoints, run folders and datasets made to run code or to write elsewhere."""

import io
import json
import os
import pickle
import random
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

import runs
from runs import Row

TEXTS = (
    "../../CANARY",
    "$(touch CANARY)",
    "`touch CANARY`",
    "; touch CANARY",
    "__import__('os').mkdir('CANARY')",
    "!!python/object/apply:os.mkdir [CANARY]",
    "{{7*7}}CANARY",
    "%s%n CANARY",
    "CANARY\n--mode=x",
    "/CANARY",
)
PRECIOUS = "years of work"


class Exploit:
    """What makes a folder when it is unpickled."""

    def __init__(self, canary: Path):
        self.canary = canary

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.canary),)


def hostile(row: Row, tries: int, rng: random.Random, folder: Path) -> None:
    """Give payload after payload; nothing runs, nothing lands elsewhere, and no secret of the environment is kept."""
    secret = f"secret-{rng.random()}"
    os.environ["FDL_TEST_API_TOKEN"] = secret
    os.environ["FDL_CACHE"] = str(folder / "cache")
    home = folder / "home"
    home.mkdir()
    os.chdir(home)
    whole = folder / "whole"
    ended = runs.run(runs.command(whole, "mlp", "jit", "--steps=40"), folder / "log")
    assert ended.code == 0, ended.said
    payloads = [*texts(folder), *run_folders(folder, whole), *datasets(folder)]
    used = 0
    while not row.over(tries) or used < len(payloads):
        name, argv = payloads[used % len(payloads)](str(used))
        (folder / "precious").write_text(PRECIOUS)
        (folder / "archive").mkdir(exist_ok=True)
        (folder / "archive" / "precious").write_text(PRECIOUS)
        before = seen(folder)
        ended = runs.run(argv, folder / "log")
        used += 1
        row.attempt(problem(folder, before, secret, ended, name))
    row.note = f"{len(payloads)} payloads: text, run folders, checkpoints, datasets; a secret looked for in every file"


def seen(folder: Path) -> set[Path]:
    """Return what lies in the folder where no run has any business."""
    return {path for name in ("archive", "data") for path in (folder / name).rglob("*")}


def problem(folder: Path, before: set[Path], secret: str, ended: runs.Ended, name: str) -> str | None:
    """Say what a payload did that it must not, if anything."""
    home = folder / "home"
    canaries = [
        str(path) for path in folder.rglob("*CANARY*") if path.is_dir() and not {"runs", "data"} & set(path.parts)
    ]
    files = [path for root in (home, folder / "hurt") for path in root.rglob("*") if path.is_file()]
    leaked = [str(path) for path in files if secret.encode() in path.read_bytes()]
    strange = [str(path) for path in home.iterdir() if path.name not in ("runs", "predictions.jsonl")]
    changed = [str(path) for path in (folder / "precious", folder / "archive" / "precious") if not kept(path)]
    new = sorted(map(str, seen(folder) - before))
    if canaries or leaked or strange or changed or new or Path("/CANARY").exists():
        return f"{name}: {canaries=} {leaked=} {strange=} {changed=} {new=}"
    if ended.code not in (0, 1, 2) or "Traceback" in ended.said or "Zen of Python" in ended.said:
        return f"{name}: exit {ended.code}: {ended.said[-600:]}"
    return None


def kept(path: Path) -> bool:
    """Say whether a file is as it was."""
    return path.is_file() and path.read_text() == PRECIOUS


Payload = Callable[[str], tuple[str, list[str]]]


def texts(folder: Path) -> list[Payload]:
    """Put text where knobs, pages, choices and the names of flags go."""
    page = folder / "worded.py"
    text = Path(runs.PAGE).read_text().replace("    width: int = 16,", "    width: int = 16,\n    word: str = 'x',")
    page.write_text(text)
    places: list[Callable[[str], list[str]]] = [
        lambda payload: [f"--experiment={page}", f"--word={payload}", "--steps=10"],
        lambda payload: [f"--experiment={payload}"],
        lambda payload: [f"--experiment={runs.PAGE}", f"--family={payload}"],
        lambda payload: [f"--experiment={runs.PAGE}", f"--{payload}=1"],
    ]

    def made(payload: str, place: Callable[[str], list[str]]) -> Payload:
        return lambda _: (f"text {payload!r}", place(payload))

    return [made(payload, places[i % len(places)]) for i, payload in enumerate([*TEXTS, *TEXTS[::-1]])]


def run_folders(folder: Path, whole: Path) -> list[Payload]:
    """Plant links, pickles and paths that lead out in a run folder, then go on in it, evaluate or predict with it."""
    precious, archive, canary = folder / "precious", folder / "archive", folder / "CANARY"

    def link(name: str, target: Path) -> Callable[[Path], None]:
        def plant(run: Path) -> None:
            (run / name).parent.mkdir(parents=True, exist_ok=True)
            if (run / name).is_dir():
                shutil.rmtree(run / name)
            (run / name).unlink(missing_ok=True)
            (run / name).symlink_to(target)

        return plant

    def text(name: str, words: str) -> Callable[[Path], None]:
        return lambda run: (run / name).write_text(words) and None

    def commit(change: Callable[[Path, dict], None]) -> Callable[[Path], None]:
        def plant(run: Path) -> None:
            from fdl.runs.checkpoints.digest import digest_of_file, digest_of_json

            step = run / "checkpoints" / "40"
            held = json.loads((step / "meta.json").read_text())["commit"]
            change(step, held)
            held["files"] |= {
                str(file.relative_to(step)): digest_of_file(file)
                for file in step.rglob("*")
                if file.is_file() and file.name != "meta.json"
            }
            (step / "meta.json").write_text(json.dumps({"digest": digest_of_json(held), "commit": held}))

        return plant

    def outside(step: Path, held: dict) -> None:
        held["files"] |= {"../../../precious": "0", str(precious): "0"}

    def pickled(step: Path, held: dict) -> None:
        (step / "pieces-0").mkdir()
        held["pieces"] = {"pieces-0": []}
        for i, (name, leaf) in enumerate(held["leaves"].items()):
            np.save(step / "pieces-0" / f"{i}.npy", np.array([Exploit(canary)], object), allow_pickle=True)
            place = [[0, size] for size in leaf["shape"]]
            held["pieces"]["pieces-0"].append({"name": name, "place": place, **leaf})

    def pieces_outside(step: Path, held: dict) -> None:
        held["pieces"] = {"../../../archive": [{"name": name, "place": []} for name in held["leaves"]]}

    def stranger(step: Path, held: dict) -> None:
        held["leaves"] = {"__import__('os').mkdir('CANARY')": {"dtype": "object", "shape": [1], "digest": "0"}}

    def arrays(step: Path, held: dict) -> None:
        for file in (step / "state").rglob("*"):
            if file.is_file():
                file.write_bytes(pickle.dumps(Exploit(canary)))

    nested = "[" * 100_000
    plants: dict[str, Callable[[Path], None]] = {
        "a lock that is a link": link(".lock", precious),
        "a draft that is a link": link(".report.json.draft", precious),
        "drafts of the record and the starts that are links": lambda run: (
            [link(f".{name}.draft", precious)(run) for name in ("metrics.jsonl", "starts.json", "evaluation.json")]
            and None
        ),
        "a record that is a link": link("metrics.jsonl", precious),
        "events that are a link": link("events.out.tfevents.1.vm.1", precious),
        "a report that is a link": link("report.html", precious),
        "predictions that are a link": link("predictions-test.jsonl", precious),
        "checkpoints that are a link": link("checkpoints", archive),
        "a step that is a link": link("checkpoints/50", archive),
        "a draft of a step that is a link": link("checkpoints/.saving-50", archive),
        "a removal that is a link": link("checkpoints/.removing-30", archive),
        "a damaged step that is a link": link("checkpoints/damaged-40", archive),
        "a state that is a link": link("checkpoints/40/state", archive),
        "files outside a commit": commit(outside),
        "pickles as pieces": commit(pickled),
        "pieces outside a commit": commit(pieces_outside),
        "leaves that are code": commit(stranger),
        "pickles as a state": commit(arrays),
        "an endless experiment.json": text("experiment.json", nested),
        "an endless meta.json": text("checkpoints/40/meta.json", nested),
        "an endless record": text("metrics.jsonl", nested + "\n{}\n"),
        "starts that are none": text("starts.json", '[{"at": "$(touch CANARY)"}, 3, null]'),
        "a report that is none": text("report.json", '{"step": "`touch CANARY`"}'),
    }
    modes = ([], ["--mode=evaluate"], ["--mode=predict"])

    def make(name: str, plant: Callable[[Path], None], more: list[str]) -> Payload:
        def payload(number: str) -> tuple[str, list[str]]:
            run = folder / "hurt" / number
            shutil.rmtree(folder / "hurt", ignore_errors=True)
            shutil.copytree(whole, run)
            (run / "report.json").unlink()
            plant(run)
            return f"{name}, {more}", [*runs.command(run, "mlp", "jit", "--steps=40"), *more]

        return payload

    return [make(name, plant, modes[i % 3]) for i, (name, plant) in enumerate(plants.items())]


def datasets(folder: Path) -> list[Payload]:
    """Make files and folders of data whose names, cells, arrays and descriptions are hostile."""
    data, canary, precious = folder / "data", folder / "CANARY", folder / "precious"
    data.mkdir()
    rows = "".join(f"{i},{['$(touch CANARY)', '../../CANARY'][i % 2]},{i % 3}\n" for i in range(60))
    (data / "words.csv").write_text(f"a,`touch CANARY`,../../CANARY\n{rows}")
    (data / "formula.csv").write_text("a,b\n" + "".join(f"{i},=cmd|'/C touch CANARY'!A{i % 2}\n" for i in range(60)))
    np.savez(data / "objects.npz", x=np.array([Exploit(canary)] * 9, object), y=np.arange(9))
    with zipfile.ZipFile(data / "outside.npz", "w") as archive:
        for name in ("../../CANARY/x.npy", "/CANARY/y.npy"):
            held = io.BytesIO()
            np.save(held, np.arange(9))
            archive.writestr(name, held.getvalue())
    (data / "junk.npz").write_bytes(pickle.dumps(Exploit(canary)))
    (data / "junk.parquet").write_bytes(pickle.dumps(Exploit(canary)))
    parquet(data / "words.parquet")
    np.save(data / "objects.npy", np.array([Exploit(canary)] * 9, object), allow_pickle=True)
    (data / "pickle.npy").write_bytes(pickle.dumps(Exploit(canary)))
    images(data / "images", folder / "archive")
    described = {
        "a module": {"pythonClassName": "this.Zen", "featuresDict": {"features": {}}},
        "a call": {"pythonClassName": "os.system('touch CANARY')"},
        "a module in a text": {
            "pythonClassName": "tensorflow_datasets.core.features.features_dict.FeaturesDict",
            "jsonFeature": {"json": json.dumps({"x": {"type": "this.Zen", "content": "{}"}})},
        },
        "nothing": "[" * 100_000,
    }
    prepared = []
    for name, features in described.items():
        version = data / name.replace(" ", "-") / "1.0.0"
        version.mkdir(parents=True)
        (version / "features.json").write_text(features if isinstance(features, str) else json.dumps(features))
        split = {"name": "train", "shardLengths": ["9"], "filepathTemplate": f"{precious}", "numBytes": "9"}
        told = {"name": "../../CANARY", "version": "1.0.0", "fileFormat": "array_record", "splits": [split]}
        (version / "dataset_info.json").write_text(json.dumps(told))
        prepared.append((f"a prepared folder of {name}", ["--experiment=table", f"--dataset={version}"]))
    at = f"--dataset={data}"
    given = [
        ("words as columns and cells", ["--experiment=table", f"{at}/words.csv", "--target=../../CANARY"]),
        ("a column that is not there", ["--experiment=table", f"{at}/words.csv", "--target=$(touch CANARY)"]),
        ("cells that are formulas", ["--experiment=table", f"{at}/formula.csv", "--target=b"]),
        ("a file outside", ["--experiment=table", "--dataset=../../../../etc/passwd"]),
        ("pickled arrays", ["--experiment=table", f"{at}/objects.npz", "--target=y"]),
        ("names that lead out", ["--experiment=table", f"{at}/outside.npz", "--target=/CANARY/y"]),
        ("a pickle as arrays", ["--experiment=table", f"{at}/junk.npz", "--target=y"]),
        ("a pickle as Parquet", ["--experiment=table", f"{at}/junk.parquet", "--target=y"]),
        ("words in Parquet", ["--experiment=table", f"{at}/words.parquet", "--target=../../CANARY"]),
        ("classes that are links", ["--experiment=image", f"{at}/images", "--model=mlp"]),
        *prepared,
    ]
    short = ["--epochs=1", "--seed=1"]
    payloads: list[Payload] = [lambda _, name=name, argv=argv: (name, [*argv, *short]) for name, argv in given]
    whole = runs.command(folder / "whole", "mlp", "jit", "--steps=40")
    for file in ("objects.npy", "pickle.npy", "objects.npz", "words.csv"):
        argv = [*whole, "--mode=predict", f"--input={data / file}", "--output=predictions.jsonl"]
        payloads.append(lambda _, name=file, argv=argv: (f"predict {name}", argv))
    return payloads


def parquet(file: Path) -> None:
    """Write a Parquet file with hostile names and values."""
    import pyarrow
    from pyarrow import parquet

    columns = {"../../CANARY": [i % 2 for i in range(60)], "`touch CANARY`": ["$(touch CANARY)", "/CANARY"] * 30}
    parquet.write_table(pyarrow.table(columns).replace_schema_metadata({"pandas": "__import__('os')"}), file)


def images(folder: Path, outside: Path) -> None:
    """Make classes with hostile names, one of them a link that leads out."""
    from PIL import Image

    outside.mkdir(exist_ok=True)
    for i, name in enumerate(("$(touch CANARY)", "-rf", "<script>", "a\nb")):
        (folder / name).mkdir(parents=True)
        for j in range(12):
            Image.fromarray(np.full((8, 8, 3), 9 * i + j, np.uint8)).save(folder / name / f"`touch CANARY {j}`.png")
    (folder / "linked").symlink_to(outside)
