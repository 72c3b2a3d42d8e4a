"""Pictures that are no folders of classes: arrays, tables, odd layouts."""

import io
import os

import numpy as np
import pandas as pd

from kinds.made import case, noise, pictures_and_labels


@case(("", "image", {"dataset": "a.npz"}))
def n01_keras_cifar_n1_labels(d):
    x, y = pictures_and_labels()
    np.savez(
        d / "a.npz", x_train=x, y_train=y[:, None].astype(np.uint8), x_test=x[:50], y_test=y[:50, None].astype(np.uint8)
    )


@case(("", "image", {"dataset": "a.npz"}))
def n02_onehot(d):
    x, y = pictures_and_labels()
    np.savez(d / "a.npz", x=x, y=np.eye(5, dtype=np.float32)[y])


@case(("", "image", {"dataset": "a.npz"}))
def n04_nchw(d):
    x, y = pictures_and_labels()
    np.savez(d / "a.npz", x=x.transpose(0, 3, 1, 2), y=y)


@case(("", "image", {"dataset": "a.npz"}))
def n05_hwcn_svhn(d):
    x, y = pictures_and_labels()
    np.savez(d / "a.npz", X=x.transpose(1, 2, 3, 0), y=y)


@case(("", "image", {"dataset": "a.npz"}))
def n07_medmnist(d):
    x, y = pictures_and_labels()
    y = y[:, None].astype(np.uint8)
    np.savez(
        d / "a.npz",
        train_images=x,
        train_labels=y,
        val_images=x[:20],
        val_labels=y[:20],
        test_images=x[:30],
        test_labels=y[:30],
    )


@case(("", "image", {"dataset": "a.npz"}))
def n08_keras_mnist(d):
    x, y = pictures_and_labels()
    np.savez(
        d / "a.npz",
        x_train=x[..., 0],
        y_train=y.astype(np.uint8),
        x_test=x[:50, ..., 0],
        y_test=y[:50].astype(np.uint8),
    )


@case(("", "image", {"dataset": "a.npz"}))
def n10_uint16_int64_images(d):
    x, y = pictures_and_labels()
    np.savez(d / "a.npz", x=x.astype(np.int64), y=y)


@case(("", "image", {"dataset": "a.npz"}))
def n11_scalar_meta(d):
    x, y = pictures_and_labels()
    np.savez(d / "a.npz", x=x, y=y, classes=np.array(list("abcde")))


@case(("", "image", {"dataset": "a.parquet", "target": "label"}))
def p08_hf_image_struct(d):
    from PIL import Image

    rows = []
    for i in range(40):
        f = io.BytesIO()
        Image.fromarray(noise(16, 16, 3, i)).save(f, "PNG")
        rows.append({"image": {"bytes": f.getvalue(), "path": f"{i}.png"}, "label": i % 2})
    pd.DataFrame(rows).to_parquet(d / "a.parquet", index=False)


@case(("", "image", {"dataset": "a.npz"}))
def u02_float32_0_1_mnist_hw(d):
    x, y = pictures_and_labels()
    np.savez(d / "a.npz", x=(x[..., 0] / 255).astype(np.float32), y=y)


@case(("", "image", {"dataset": "d"}))
def u04_i_mode_png_int32_and_f(d):
    from PIL import Image

    for k, c in enumerate(("a", "b")):
        (d / "d" / c).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(noise(24, 24, 1, i).astype(np.uint16) * (200 if k else 100)).save(d / "d" / c / f"{i}.png")


@case(("", "image", {"dataset": "d", "size": 32}))
def u05_mask_png_beside(d):
    """segmentation layout: images/ and masks/ — becomes two classes"""
    from PIL import Image

    for c in ("images", "masks"):
        (d / "d" / c).mkdir(parents=True)
        for i in range(20):
            Image.fromarray(noise(24, 24, 3 if c == "images" else 1, i)).save(d / "d" / c / f"{i}.png")


@case(("", "image", {"dataset": "d"}))
def u07_symlinks_and_dir_named_png(d):
    from PIL import Image

    (d / "pool").mkdir()
    for i in range(20):
        Image.fromarray(noise(24, 24, 3, i)).save(d / "pool" / f"{i}.png")
    for c in ("a", "b"):
        (d / "d" / c).mkdir(parents=True)
        [os.symlink(d / "pool" / f"{i}.png", d / "d" / c / f"{i}.png") for i in range(20)]
    (d / "d/a/odd.png").mkdir()


@case(("", "image", {"dataset": "d"}))
def u08_broken_symlink(d):
    from PIL import Image

    for c in ("a", "b"):
        (d / "d" / c).mkdir(parents=True)
        [Image.fromarray(noise(24, 24, 3, i)).save(d / "d" / c / f"{i}.png") for i in range(20)]
    os.symlink("/nowhere/x.png", d / "d/a/zz.png")


@case(("", "image", {"dataset": "d.csv", "target": "label"}))
def u41_fer2013_pixels(d):
    r = np.random.default_rng(0)
    pd.DataFrame(
        {
            "label": r.integers(0, 7, 100),
            "pixels": [" ".join(map(str, r.integers(0, 256, 48 * 48))) for _ in range(100)],
            "Usage": "Training",
        }
    ).to_csv(d / "d.csv", index=False)


@case(("", "video", {"dataset": "a.npz"}), ("_image", "image", {"dataset": "a.npz"}))
def v04_npz_gray_nthw(d):
    np.savez(
        d / "a.npz", x=np.random.default_rng(0).integers(0, 256, (40, 5, 16, 16), dtype=np.uint8), y=np.arange(40) % 2
    )
