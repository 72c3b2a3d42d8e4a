"""Prepare and read TFDS sets where TensorFlow is not installed.

TFDS 4.9 reads array_record files without TensorFlow, but its `Image`, `Audio` and `Video` features and its builders
call a handful of TensorFlow functions through one lazy module. `install` gives that module (and nothing else:
`sys.modules` stays as it is, so nobody else believes TensorFlow to be there) these functions, done with NumPy, Pillow
and the file system. With TensorFlow installed it does nothing but hide the accelerators from it.
"""

import glob
import importlib.util
import io
import os
import shutil
from functools import cache, partial
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from fdl.core.errors import UserError


@cache
def install() -> None:
    """Make TFDS work without TensorFlow, or keep TensorFlow off the accelerators where it is installed."""
    if importlib.util.find_spec("tensorflow") is not None:
        import tensorflow

        for kind in ("GPU", "TPU"):
            tensorflow.config.set_visible_devices([], kind)
        return
    from tensorflow_datasets.core.utils import lazy_imports_utils

    # The lazy module keeps what it stands for under this name (etils.epy.lazy_imports); tests import every feature.
    vars(lazy_imports_utils.tensorflow)["_module"] = _stand_in()


class _Bytes(bytes):
    """What an encoder returns: bytes with the `numpy()` of an eager tensor."""

    def numpy(self) -> bytes:
        """Return the bytes themselves."""
        return bytes(self)


class _Image(np.ndarray):
    """What a decoder returns: an array with the `numpy()` of an eager tensor."""

    def numpy(self) -> np.ndarray:
        """Return the plain array."""
        return self.view(np.ndarray)


class _Never:
    """A TensorFlow class of which nothing here is ever an instance."""


class _StandIn(ModuleType):
    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        raise NotImplementedError(
            f"this set calls tf.{name} while it is prepared or read, which needs it; run: pip install tensorflow"
        )


def _stand_in() -> ModuleType:
    tf = _StandIn("tensorflow")
    dtypes = {
        name: getattr(np, name)
        for name in (
            "uint8",
            "uint16",
            "uint32",
            "uint64",
            "int8",
            "int16",
            "int32",
            "int64",
            "float16",
            "float32",
            "float64",
        )
    }
    dtypes |= {"bool": np.bool_, "string": np.object_}
    gfile = SimpleNamespace(
        GFile=_open,
        exists=lambda path: os.path.exists(path),
        isdir=lambda path: os.path.isdir(path),
        listdir=lambda path: os.listdir(path),
        glob=lambda pattern: sorted(glob.glob(os.fspath(pattern))),
        walk=os.walk,
        makedirs=lambda path: os.makedirs(path, exist_ok=True),
        mkdir=os.mkdir,
        remove=os.remove,
        rename=os.replace,
        rmtree=shutil.rmtree,
        copy=lambda source, target, overwrite=False: shutil.copyfile(source, target),
    )
    parts: dict[str, Any] = {
        "__version__": "2.99.0",
        **dtypes,
        "dtypes": SimpleNamespace(as_dtype=_as_dtype, DType=_Never, **dtypes),
        "executing_eagerly": lambda: True,
        "enable_v2_behavior": lambda: None,
        "Tensor": _Never,
        "RaggedTensor": _Never,
        "TensorShape": _Never,
        "compat": SimpleNamespace(
            as_text=lambda text: text.decode() if isinstance(text, bytes) else str(text),
            as_bytes=lambda text: text if isinstance(text, bytes) else str(text).encode(),
        ),
        "image": SimpleNamespace(
            encode_png=partial(_encode, "PNG"),
            encode_jpeg=_encode_jpeg,
            decode_image=_decode,
            decode_png=_decode,
            decode_jpeg=_decode,
        ),
        "io": SimpleNamespace(gfile=gfile, encode_jpeg=_encode_jpeg, decode_image=_decode, decode_jpeg=_decode),
    }
    for name, part in parts.items():
        setattr(tf, name, part)
    return tf


def _as_dtype(dtype: Any) -> Any:
    from tensorflow_datasets.core.utils import dtype_utils

    return dtype_utils.cast_to_numpy(dtype)


def _open(path: Any, mode: str = "r") -> Any:
    return open(path, mode) if "b" in mode else open(path, mode, encoding="utf-8")


def _encode(form: str, image: np.ndarray, **options: Any) -> _Bytes:
    from PIL import Image

    image = np.asarray(image)
    picture = image[..., 0] if image.shape[-1] == 1 else image
    if image.dtype == np.uint16 and picture.ndim == 3:
        raise UserError("a 16-bit image with several channels cannot be encoded without TensorFlow; give 8 bits")
    file = io.BytesIO()
    Image.fromarray(picture).save(file, format=form, **options)
    return _Bytes(file.getvalue())


def _encode_jpeg(image: np.ndarray, *, format: str = "", quality: int = 95) -> _Bytes:
    return _encode("JPEG", image, quality=quality)


def _decode(data: Any, channels: int = 0, **_: Any) -> _Image:
    from PIL import Image

    with Image.open(io.BytesIO(bytes(data))) as picture:
        image = np.asarray(picture.convert({1: "L", 3: "RGB", 4: "RGBA"}[channels]) if channels else picture)
    return (image[..., None] if image.ndim == 2 else image).view(_Image)
