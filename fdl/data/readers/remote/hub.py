"""Sets of the Hugging Face Hub: read by its library, written as Parquet of a file for each split, and read as such."""

import hashlib
import json
import os
import shutil
from pathlib import Path
from typing import Any

from fdl.core.errors import UserError, brief
from fdl.core.log import name_folder
from fdl.data.readers.remote.address import HUB
from fdl.data.readers.remote.local_copy import Copy, check_size, held, make_room, read_index

_KEPT, _ROWS = ".kept.json", 1000  # rows that are digested together


def hub_copy(dataset: str) -> Copy:
    """Return the local copy of a set of the Hub: `hf:NAME`, `hf:NAME:CONFIGURATION`, `hf:NAME@REVISION`, or both.

    NAME may be a folder in the Hub's layout. Without a network what its library keeps is taken.
    """
    name, config, revision = parse(dataset)
    try:
        import datasets
    except ImportError:
        raise UserError(f"--dataset={dataset} needs datasets; pip install 'fdl[hub]'") from None
    datasets.disable_progress_bars()
    with held(dataset) as home:
        try:
            which = os.path.expanduser(name), config or None
            info = datasets.load_dataset_builder(*which, revision=revision or None).info
            check_size(info.dataset_size or info.download_size or 0, dataset)  # before it is copied
            made = datasets.load_dataset(*which, revision=revision or None)
        except UserError:
            raise
        except Exception as error:  # of many kinds: of the network, of the Hub, of the files
            raise _refusal(dataset, name, error) from None
        prints = " ".join(f"{split} {rows._fingerprint}" for split, rows in made.items())
        folder = home / (name.rstrip("/").rpartition("/")[2] or "set")
        kept, note = read_index(folder / _KEPT), ""
        if kept.get("fingerprints") != prints:
            note = make_room(sum(rows.dataset_size or 0 for rows in made.values()), home, dataset)
            kept = _write(made, folder, prints)
        os.utime(home)
        name_folder(folder, dataset)
        parts = ", ".join(f"{split} {rows.num_rows:,}" for split, rows in made.items())
        config = next(iter(made.values())).info.config_name
        line = f"{dataset}: configuration {config}, {parts} examples; as Parquet in {home}{note}"
        return Copy(folder, kept["digest"], line)


def parse(dataset: str) -> tuple[str, str, str]:
    """Return name, configuration and revision, "" where there is none.

    >>> parse("hf:nyu-mll/glue:sst2@main")
    ('nyu-mll/glue', 'sst2', 'main')
    """
    whole, _, revision = dataset.removeprefix(HUB).partition("@")
    name, _, config = whole.partition(":")
    if not name.strip("/"):
        raise UserError(f"--dataset={dataset} names no set; write hf:NAME, as in hf:stanfordnlp/imdb")
    return name, config, revision


def _write(made: Any, folder: Path, prints: str) -> dict[str, str]:
    """Write a Parquet file for each split, whole or not at all, and return what is kept beside them.

    The digest is of the values: bytes of Parquet depend on the version that writes them.
    """
    draft, seen = folder.with_name(".draft"), hashlib.blake2b(digest_size=16)
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir()
    for split, rows in made.items():
        rows.to_parquet(str(draft / f"{split}.parquet"))
        seen.update(f"{split} {rows.num_rows} {rows.features} ".encode())
        for table in rows.with_format("arrow").iter(_ROWS):
            for batch in table.combine_chunks().to_batches():
                seen.update(batch.serialize())
    kept = {"fingerprints": prints, "digest": seen.hexdigest()}
    (draft / _KEPT).write_text(json.dumps(kept), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    draft.rename(folder)
    return kept


def _refusal(dataset: str, name: str, error: Exception) -> UserError:
    text = brief(error)
    if "Config name is missing" in text:
        return UserError(f"{dataset} has several configurations; write hf:{name}:CONFIGURATION ({text})")
    if "BuilderConfig" in text and "not found" in text:
        return UserError(f"{dataset} has no such configuration: {text}")
    return UserError(
        f"{dataset} cannot be read ({text}); look at its spelling; a private set needs HF_TOKEN, one without network "
        "a copy made before"
    )
