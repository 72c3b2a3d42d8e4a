import io
import os
from dataclasses import replace

import numpy as np
import pytest
from PIL import Image, ImageOps

from fdl.data import decoded_cache
from fdl.data.modalities.images import images
from fdl.data.pixels import decode_image
from fdl.data.readers import folders
from fdl.data.readers.find import find
from fdl.data.readers.image_folder import image_folder
from fdl.data.records import complete, keep_rows


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))


def noise(seed, shape=(6, 8, 3)):
    return np.random.default_rng(seed).integers(0, 256, shape, np.uint8)


def write(folder, classes=("cat", "dog"), count=12, suffix=".png", shape=(6, 8, 3)):
    for name in classes:
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            Image.fromarray(noise(i, shape)).save(folder / name / f"{i}{suffix}")
    return folder


def encoded(image, form="PNG", **options):
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def test_sixteen_bits_are_divided_and_never_clipped():
    deep = (np.arange(64).reshape(8, 8) * 1024).astype(np.uint16)
    for form in ("PNG", "TIFF"):
        assert np.array_equal(decode_image(encoded(Image.fromarray(deep), form), 1)[..., 0], deep >> 8)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_camera_was_held(orientation):
    picture = Image.fromarray(np.dstack([np.arange(96, dtype=np.uint8).reshape(8, 12) * 2] * 3))
    exif = picture.getexif()
    exif[0x0112] = orientation
    for form in ("JPEG", "PNG"):
        data = encoded(picture, form, exif=exif)
        seen = np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(data))))
        assert np.array_equal(decode_image(data, 3), seen)


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
def test_what_is_transparent_is_laid_on_white(mode):
    picture = Image.new("RGBA", (4, 4), (200, 0, 0, 0))
    picture.putpixel((1, 2), (0, 0, 90, 255))
    data = encoded(picture.convert(mode) if mode != "P" else picture.quantize(4))
    seen = decode_image(data, 3)
    assert seen[0, 0].tolist() == [255, 255, 255]
    assert seen[2, 1].max() < 200


def test_every_mode_of_a_folder_is_read_as_one(tmp_path):
    for i, mode in enumerate(["1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16"] * 2):
        (tmp_path / "ab"[i % 2]).mkdir(exist_ok=True)
        picture = Image.fromarray(noise(i))
        deep = Image.fromarray(noise(i, (6, 8)).astype(np.uint16) * 257)
        made = deep if mode == "I;16" else picture.convert(mode)
        made.save(tmp_path / "ab"[i % 2] / f"{i}.{'tif' if mode == 'CMYK' else 'png'}")
    records = image_folder(tmp_path)
    assert {image.shape for image in records.column("train", "image")} == {(6, 8, 3)}
    assert "gray pictures: 8, colour: 8; all are read as colour" in records.notes
    assert "pictures of 16 bits a channel, divided by 256 to 8 bits: 2" in records.notes
    assert "pictures with transparency, composited on white: 4" in records.notes


def test_colour_counts_where_it_is_rare_among_those_looked_at(tmp_path):
    write(tmp_path, count=100, shape=(6, 8))
    for i in (3, 50):
        Image.fromarray(noise(i)).save(tmp_path / "cat" / f"{i}.png")
    assert image_folder(tmp_path).fields["image"].shape == (6, 8, 3)


def test_sizes_are_said_and_a_size_that_nearly_all_have_is_that_of_all(tmp_path):
    write(tmp_path, count=20)
    Image.fromarray(noise(0, (1, 300, 3))).save(tmp_path / "cat" / "wide.png")
    records = image_folder(tmp_path)
    assert images(records).spec.inputs.shape == (6, 8, 3)
    assert any(
        note == "2 sizes, 1 to 6 high and 8 to 300 wide; 40 of 41 are 6 x 8 (height x width)" for note in records.notes
    )
    write(tmp_path, count=20, shape=(9, 9, 3), suffix=".bmp")
    assert images(image_folder(tmp_path)).spec.inputs.shape == (64, 64, 3)


def test_hidden_folders_are_no_classes_and_whatever_is_not_read_is_counted(tmp_path):
    write(tmp_path)
    for name in (".ipynb_checkpoints", "__MACOSX", "_background_noise_"):
        (tmp_path / name).mkdir()
    (tmp_path / "cat" / "._0.png").write_bytes(b"\0")
    (tmp_path / "cat" / "list.csv").write_text("a")
    (tmp_path / "loose.png").write_bytes(encoded(Image.fromarray(noise(0))))
    records = image_folder(tmp_path)
    assert records.fields["label"].names == ("cat", "dog")
    assert records.notes[:2] == (
        "not read, hidden files and folders: .ipynb_checkpoints, __MACOSX, _background_noise_, ._0.png",
        "not read, files that are no pictures: 1 .csv",
    )
    assert records.notes[2].startswith("not read, pictures beside the class folders of")


@pytest.mark.parametrize(
    ("train", "validation", "test"),
    [("train", "val", "test"), ("Training", "Valid", "TESTING"), ("TRAIN", "dev", "Test"), ("train", "validation", "")],
)
def test_splits_are_known_by_their_names(tmp_path, train, validation, test):
    for name, count in ((train, 9), (validation, 3), (test, 2)):
        if name:
            write(tmp_path / name, count=count)
    sizes = image_folder(tmp_path).sizes
    assert sizes == {"train": 18, "validation": 6} | ({"test": 4} if test else {})
    assert next(iter(sizes)) == "train"


def test_a_class_may_be_called_train(tmp_path):
    write(tmp_path, ("train", "car"))
    assert image_folder(tmp_path).fields["label"].names == ("car", "train")


def test_classes_are_held_out_evenly(tmp_path):
    write(tmp_path, ("common",), 38)
    write(tmp_path, ("rare",), 12)
    dataset = images(image_folder(tmp_path))
    for split in ("validation", "test"):
        assert 1 in dataset.load(split).fetch(np.arange(dataset.spec.sizes[split])).targets


def test_nested_pictures_count_to_the_first_folder(tmp_path):
    write(tmp_path / "animals")
    write(tmp_path / "vehicles", ("car", "bus"))
    records = image_folder(tmp_path)
    assert records.fields["label"].names == ("animals", "vehicles")
    assert records.sizes == {"train": 48}
    assert "pictures in folders below a class count to that class: animals, vehicles" in records.notes


def test_links_are_followed_and_circles_end(tmp_path):
    write(tmp_path / "pool", ("x",))
    for name in "ab":
        (tmp_path / "d" / name).mkdir(parents=True)
        for i in range(12):
            (tmp_path / "d" / name / f"{i}.png").symlink_to(tmp_path / "pool" / "x" / f"{i}.png")
    (tmp_path / "d" / "a" / "round").symlink_to(tmp_path / "d" / "a")
    assert image_folder(tmp_path / "d").sizes == {"train": 24}


def test_all_that_cannot_be_read_is_listed_in_one_line(tmp_path):
    write(tmp_path, suffix=".jpg")
    cat = tmp_path / "cat"
    (cat / "1.jpg").write_bytes((cat / "1.jpg").read_bytes()[:300])
    (cat / "2.jpg").write_bytes(b"")
    (cat / "3.jpg").write_bytes(b"<html>404</html>")
    (cat / "4.jpg").unlink()
    (cat / "4.jpg").symlink_to("/nowhere/4.jpg")
    Image.new("1", (20000, 20000)).save(cat / "5.png")
    with pytest.raises(ValueError, match=r"^5 of 25 pictures cannot be read: ") as error:
        image_folder(tmp_path)
    for name, why in (
        ("1.jpg", "damaged"),
        ("2.jpg", "empty"),
        ("3.jpg", "no picture"),
        ("4.jpg", "no such file"),
        ("5.png", "more than 178,956,970 pixels"),
    ):
        assert f"{name} ({why}" in str(error.value)
    assert "\n" not in str(error.value)
    for name in ("1.jpg", "2.jpg", "3.jpg", "4.jpg", "5.png"):
        (cat / name).unlink()
    assert image_folder(tmp_path).sizes == {"train": 20}  # the way out works


def test_pictures_whose_pixels_alone_are_damaged_are_listed_when_they_are_decoded(tmp_path):
    write(tmp_path)
    for name in ("cat/1.png", "dog/2.png"):
        data = bytearray((tmp_path / name).read_bytes())
        data[-20] ^= 1
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ValueError, match=r"^2 of 24 pictures cannot be read: .*cat/1\.png .*dog/2\.png "):
        images(image_folder(tmp_path)).load("train").resident()


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda d: [write(d, ("images", "masks"))], "images, masks: pictures beside their masks or boxes, not classes"),
        (lambda d: [write(d / "train", ("images",)), (d / "train" / "labels").mkdir()], "images, labels: pictures be"),
        (lambda d: [write(d, ("cat",)), (d / "dog").mkdir()], "dog holds no pictures but nothing; remove that folder"),
        (lambda d: [write(d), (d / "c").mkdir(), (d / "c" / "a.xyz").touch()], r"c holds no pictures but 1 \.xyz"),
        (lambda d: [write(d, ("",))], "holds 12 pictures and no folders of classes; make a folder for each class"),
        (lambda d: [write(d, ("train", "val"))], "train holds 12 pictures and no folders of classes"),
        (lambda d: [write(d / "train"), write(d / "val"), write(d / "dev")], "dev, val, all of which mean validation"),
        (
            lambda d: [write(d / "val"), write(d / "test")],
            "holds test, val and no folder to train on; name one of them",
        ),
        (lambda d: [write(d / "inner")], "one folder of pictures, inner: .*; give --dataset=.*inner"),
        (lambda d: [write(d / "train"), write(d / "test", ("cow",))], "has a class 'cow' that train does not have"),
        (lambda d: [d.mkdir(exist_ok=True)], "holds no pictures in folders of classes but nothing; give a folder"),
    ],
)
def test_layouts_that_mean_something_else_are_refused_with_what_was_seen(tmp_path, make, said):
    make(tmp_path / "d")
    with pytest.raises(ValueError, match=said) as error:
        image_folder(tmp_path / "d")
    assert "\n" not in str(error.value)


def test_only_formats_of_32_bits_are_refused(tmp_path):
    write(tmp_path)
    Image.fromarray(np.ones((6, 8), np.float32)).save(tmp_path / "cat" / "f.tif")
    with pytest.raises(ValueError, match=r"f\.tif \(32 bits a pixel, Pillow's mode F: save it with 8 or 16 bits\)"):
        image_folder(tmp_path)


def test_one_picture_is_no_set(tmp_path):
    write(tmp_path)
    with pytest.raises(ValueError, match=r"0\.png is one example; give a folder"):
        find(str(tmp_path / "cat" / "0.png"), kind="image")


def test_pipes_are_no_pictures(tmp_path):
    write(tmp_path)
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    records = image_folder(tmp_path)
    assert records.sizes == {"train": 24}
    assert "not read, files that are no pictures: 1 .png" in records.notes


def test_rows_that_are_held_out_otherwise_are_decoded_anew(tmp_path):
    write(tmp_path, count=20)
    records = image_folder(tmp_path)
    shares = [complete(records, labels=labels) for labels in (None, records.column("train", "label"))]
    assert (
        shares[0].fingerprint()
        != shares[1].fingerprint()
        == complete(records, labels=[0] * 20 + [1] * 20).fingerprint()
    )
    kept = [keep_rows(records, {"train": np.arange(10) + start}).fingerprint() for start in (0, 1)]
    assert len({*kept, records.fingerprint()}) == 3


def test_large_pictures_are_decoded_few_at_a_time(tmp_path, monkeypatch):
    write(tmp_path, count=20)
    monkeypatch.setattr(decoded_cache, "_BLOCK_BYTES", 3 * 6 * 8 * 3 + 20)
    records, seen = image_folder(tmp_path), []
    read = lambda split, rows, names: seen.append(len(rows)) or records.read(split, rows, names)  # noqa: E731
    whole = images(replace(records, read=read)).load("train").resident().arrays[0]
    assert len(whole) == 32
    assert max(seen[-11:]) == 3


def test_all_files_are_read_once_to_know_them(tmp_path, monkeypatch):
    write(tmp_path, count=20)
    read = []
    monkeypatch.setattr(folders, "fingerprint", lambda files: read.append(len(list(files))) or "known")
    dataset = images(image_folder(tmp_path))
    assert dataset.contents() == "known"
    for split in dataset.spec.sizes:
        dataset.load(split).resident()
    assert read == [40]
