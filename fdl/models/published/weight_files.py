"""Files of published weights: safetensors, and files of `torch.save`, whole or in shards with an index."""

import json
import os
import re
from pathlib import Path

import numpy as np

from fdl.core.errors import UserError, brief
from fdl.models.published.torch_file import read_torch

# What a folder of the Hub holds, the best first: an index of shards, or all tensors in one file.
NAMES = (
    "model.safetensors.index.json",
    "model.safetensors",
    "pytorch_model.bin.index.json",
    "pytorch_model.bin",
)
TORCH = (".bin", ".pth", ".pt")


def weight_files(path: Path | str) -> list[Path]:
    """Return the files of weights that a path means: itself, the shards of an index, or what a Hub folder holds."""
    file = local_path(path)
    if file.is_dir():
        names = [name for name in NAMES if (file / name).is_file()]
        others = sorted(other for other in file.iterdir() if other.suffix in (".safetensors", *TORCH))
        if not names and len(others) != 1:
            named = f"has {len(others)} files of weights" if others else "has no file of weights"
            raise UserError(f"{path} {named}; give one of {', '.join(NAMES)}, or the file itself")
        file = file / names[0] if names else others[0]
    if not file.is_file():
        raise UserError(f"there is no file {path}; give a .safetensors or .bin file, or the folder of a model")
    return _shards(file) if file.name.endswith(".index.json") else [file]


def local_path(path: Path | str) -> Path:
    """Return the path of weights; raise a UserError for an address, or a name of the Hub."""
    if re.match(r"hf:|[A-Za-z][A-Za-z0-9+.-]+://", str(path)):
        raise UserError(f"--weights={path} is an address, and weights are files: copy them here, and give the folder")
    return Path(os.path.expanduser(path))


def _shards(index: Path) -> list[Path]:
    try:
        names = sorted(set(json.loads(index.read_bytes())["weight_map"].values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{index} is no index of shards ({brief(error)}); copy it again") from error
    for name in names:
        if not isinstance(name, str) or Path(name).name != name:  # an index never leaves its own folder
            raise UserError(f"{index} names the shard {name!r}, which is not a file beside it; copy the model again")
        if not (index.parent / name).is_file():
            raise UserError(f"{index} names the shard {name}, which is not there; copy it beside the index")
    return [index.parent / name for name in names]


def read_tensors(path: Path | str) -> dict[str, np.ndarray]:
    """Return every tensor of a file, of an index's shards or of a Hub folder by name; raise a UserError."""
    tensors: dict[str, np.ndarray] = {}
    for file in weight_files(path):
        tensors |= read_torch(file) if file.suffix in TORCH else _read_safetensors(file)
    return tensors


def _read_safetensors(file: Path) -> dict[str, np.ndarray]:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return load_file(file)
    except (SafetensorError, KeyError, TypeError) as error:
        raise UserError(f"{file} is no safetensors file of floats that NumPy knows ({error}); convert it") from error
