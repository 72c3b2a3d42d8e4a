"""Small TFDS folders, prepared by the tests in a process without TensorFlow."""

from pathlib import Path
from typing import Any

from fdl.data.readers.tensorflow_stub import install


def prepare(
    folder: Path, name: str, features: dict[str, Any], splits: dict[str, list[dict[str, Any]]], **info: Any
) -> Path:
    """Prepare these examples as TFDS set `name` under `folder` and return its version folder."""
    install()
    import tensorflow_datasets as tfds

    class Builder(tfds.core.GeneratorBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
        VERSION = tfds.core.Version("1.0.0")

        def _info(self) -> Any:
            return tfds.core.DatasetInfo(
                builder=self, features=tfds.features.FeaturesDict(features), disable_shuffling=True, **info
            )

        def _split_generators(self, manager: Any) -> Any:
            return {split: enumerate(examples) for split, examples in splits.items()}

        def _generate_examples(self) -> Any:
            raise AssertionError

    Builder.name = name
    builder = Builder(data_dir=str(folder), file_format="array_record")
    builder.download_and_prepare()
    return Path(builder.data_dir)
