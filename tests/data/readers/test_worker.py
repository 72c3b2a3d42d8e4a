import numpy as np
import pytest
from PIL import Image

from fdl.data.modalities.images import images
from fdl.data.readers.image_folder import image_folder
from fdl.data.readers.worker import Decoder, Gone


@pytest.fixture
def folder(tmp_path):
    rng = np.random.default_rng(0)
    for i in range(24):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        side = 4 if i < 20 else 6
        Image.fromarray(rng.integers(0, 255, (side, 4, 3), np.uint8)).save(tmp_path / "ab"[i % 2] / f"{i}.png")
    return tmp_path


def test_another_process_reads_the_same_rows_and_its_end_is_not_noticed(folder, monkeypatch):
    started = []
    monkeypatch.setattr(
        Decoder, "__init__", lambda self, *given, made=Decoder.__init__: started.append(self) or made(self, *given)
    )
    source, rows = images(image_folder(folder), size=4).load("train"), np.array([3, 1, 15, 2])
    read = source.in_subprocess()
    for _ in range(2):
        np.testing.assert_equal(read(rows), source.fetch(rows))
    started[0].process.kill()
    np.testing.assert_equal(read(rows), source.fetch(rows))


def test_columns_of_every_kind_pass_through_a_decoder(folder):
    records, decoder = image_folder(folder), Decoder({})
    rows = np.arange(24)
    there = records.in_subprocess(decoder)("train", rows, ("image", "label"))  # of two shapes
    np.testing.assert_equal(there, records.read("train", rows, ("image", "label")))
    (folder / "b" / "1.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"1 of 24 pictures cannot be read: .*1\.png \(no picture\); mend"):
        records.in_subprocess(decoder)("train", rows, ("image",))
    with pytest.raises(RuntimeError, match="KeyError"):
        decoder("nothing that is known")
    decoder.process.kill()
    with pytest.raises(Gone):
        records.in_subprocess(decoder)("train", rows, ("image",))
