"""Folders of pictures."""

import shutil

import numpy as np
import pandas as pd

from kinds.made import case, classes, image, noise, write


@case(image())
def i01_plain(d):
    classes(d / "d")


@case(image())
def i02_train_val(d):
    classes(d / "d", 20, root="train")
    classes(d / "d", 6, root="val")


@case(image())
def i04_train_valid_fastai(d):
    classes(d / "d", 20, root="train")
    classes(d / "d", 6, root="valid")


@case(image())
def i05_training_testing(d):
    classes(d / "d", 20, root="Training")
    classes(d / "d", 6, root="Testing")


@case(image())
def i07_hidden(d):
    classes(d / "d")
    (d / "d/.ipynb_checkpoints").mkdir()
    (d / "d/__MACOSX").mkdir()
    write(d / "d/.DS_Store", b"\0\0")
    write(d / "d/cat/.DS_Store", b"\0")
    write(d / "d/cat/Thumbs.db", b"\0")


@case(image())
def i08_appledouble(d):
    classes(d / "d")
    write(d / "d/cat/._000.png", b"\0\x05\x16\x07" + b"\0" * 200)


@case(image())
def i10_only_nested(d):
    classes(d / "d/animals", 15, names=("cat", "dog"))
    classes(d / "d/vehicles", 15, names=("car", "bus"))


@case(image())
def i11_truncated(d):
    classes(d / "d", 40, ext=".jpg")
    f = d / "d/cat/013.jpg"
    f.write_bytes(f.read_bytes()[:300])


@case(image())
def i13_html_named_jpg(d):
    classes(d / "d", 40, ext=".jpg")
    (d / "d/cat/013.jpg").write_bytes(b"<html>404</html>")


@case(image())
def i14_gif_tiff_ignored(d):
    classes(d / "d", 20, names=("cat", "dog"))
    classes(d / "d", 20, names=("bird",), ext=".tif")
    classes(d / "d", 10, names=("cat",), ext=".gif")


@case(image())
def i16_animated_webp(d):
    from PIL import Image

    classes(d / "d", 20, ext=".webp")
    fr = [Image.fromarray(noise(24, 24, 3, i)) for i in range(3)]
    fr[0].save(d / "d/cat/anim.webp", save_all=True, append_images=fr[1:])


@case(image())
def i17_cmyk(d):
    classes(d / "d", 20, ext=".jpg", save=lambda im, p: im.convert("CMYK").save(p))


@case(image())
def i19_png16(d):
    from PIL import Image

    for k, c in enumerate(("cat", "dog")):
        (d / "d" / c).mkdir(parents=True)
        for i in range(20):
            a = (np.random.default_rng(i).integers(0, 60000 if k else 20000, (24, 24))).astype(np.uint16)
            Image.fromarray(a).save(d / "d" / c / f"{i}.png")


@case(image())
def i20_gray_rgb_mixture_late(d):
    """1 in 30 pictures is RGB, none among the 16 looked at"""
    from PIL import Image

    for c in ("cat", "dog"):
        (d / "d" / c).mkdir(parents=True)
        for i in range(100):
            Image.fromarray(noise(24, 24, 3 if i in (3, 50) else 1, i)).save(d / "d" / c / f"{i:03d}.png")


@case(image())
def i22_one_pixel_and_wide(d):
    from PIL import Image

    classes(d / "d", 20)
    Image.fromarray(noise(1, 1)).save(d / "d/cat/z1.png")
    Image.fromarray(noise(2, 3000)).save(d / "d/dog/zw.png")


@case(image())
def i23_bomb(d):
    from PIL import Image

    classes(d / "d", 20)
    Image.new("1", (20000, 20000)).save(d / "d/cat/huge.png")


@case(image())
def i25_one_class_one_picture(d):
    classes(d / "d", 40, names=("cat", "dog"))
    classes(d / "d", 1, names=("owl",))


@case(image())
def i26_unicode_spaces(d):
    classes(d / "d", 20, names=("Löwe 🦁", "мой кот"))


@case(image())
def i28_csv_plus_images(d):
    classes(d / "d", 40, names=("images",))
    pd.DataFrame({"file": [f"{i:03d}.png" for i in range(40)], "label": [i % 2 for i in range(40)]}).to_csv(
        d / "d/labels.csv", index=False
    )


@case(image())
def i29_hf_metadata_csv(d):
    classes(d / "d", 40, names=("train",))
    pd.DataFrame({"file_name": [f"{i:03d}.png" for i in range(40)], "label": [i % 2 for i in range(40)]}).to_csv(
        d / "d/train/metadata.csv", index=False
    )


@case(image())
def i31_imbalanced_strata(d):
    classes(d / "d", 190, names=("a_common",))
    classes(d / "d", 10, names=("b_rare",))


@case(image())
def i32_class_numbers_1_to_12(d):
    classes(d / "d", 6, names=tuple(str(i) for i in range(1, 13)))


@case(image())
def i34_flat_names(d):
    classes(d / "d", 20, names=("x",))
    [shutil.move(f, d / "d" / ("cat_" + f.name)) for f in list((d / "d/x").iterdir())]
    (d / "d/x").rmdir()


@case(image())
def i35_different_sizes_no_size(d):
    classes(d / "d", 20, size=(500, 700), names=("cat",), ext=".jpg")
    classes(d / "d", 20, size=(640, 480), names=("dog",), ext=".jpg")


@case(image())
def i37_same_size_large(d):
    classes(d / "d", 20, size=(600, 800), ext=".jpg")


@case(image())
def i38_upper_ext(d):
    classes(d / "d", 20, ext=".JPG", save=lambda im, p: im.save(p, "JPEG"))
