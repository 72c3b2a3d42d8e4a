"""Sounds and videos."""

import io

import numpy as np
import pandas as pd

from kinds.made import audio, case, noise, tone, wav


@case(audio())
def a01_wav_folder(d):
    for k, c in enumerate(("low", "high")):
        (d / "d" / c).mkdir(parents=True)
        for i in range(20):
            wav(d / "d" / c / f"{i}.wav", tone(300 + 900 * k + i))


@case(
    ("_file", "audio", {"dataset": "a.wav"}),
    ("_flac", "audio", {"dataset": "a.flac"}),
    ("_mp3", "audio", {"dataset": "a.mp3"}),
)
def a02_files(d):
    wav(d / "a.wav", tone(300))
    wav(d / "a.flac", tone(300))
    import soundfile

    soundfile.write(str(d / "a.mp3"), tone(300), 16000)


@case(("", "audio", {"dataset": "a.npz"}))
def a04_npz_stereo_int16(d):
    np.savez(
        d / "a.npz",
        x=np.stack([(np.stack([tone(300 + i * 9)] * 2, -1) * 32767).astype(np.int16) for i in range(40)]),
        y=np.arange(40) % 2,
    )


@case(("", "audio", {"dataset": "a.npz"}))
def a05_npz_int32_24bit(d):
    np.savez(
        d / "a.npz", x=np.stack([(tone(300 + i * 9) * 2**31).astype(np.int32) for i in range(40)]), y=np.arange(40) % 2
    )


@case(("", "audio", {"dataset": "a.npz"}))
def a07_npz_object_ragged(d):
    o = np.empty(40, object)
    for i in range(40):
        o[i] = (tone(300, seconds=0.1 + i * 0.01) * 32767).astype(np.int16)
    np.savez(d / "a.npz", x=o, y=np.arange(40) % 2)


@case(("", "audio", {"dataset": "a.npz"}), ("_rate", "audio", {"dataset": "a.npz", "rate": 44100}))
def a08_npz_44k_rate_key(d):
    np.savez(
        d / "a.npz",
        x=np.stack([(tone(300 + i * 9, rate=44100) * 32767).astype(np.int16) for i in range(40)]),
        y=np.arange(40) % 2,
        rate=np.array(44100),
    )


@case(("", "audio", {"dataset": "a.parquet"}))
def a10_hf_audio_parquet(d):
    import soundfile

    rows = []
    for i in range(40):
        f = io.BytesIO()
        soundfile.write(f, tone(300 + i), 16000, format="WAV")
        rows.append({"audio": {"bytes": f.getvalue(), "path": f"{i}.wav"}, "label": i % 2})
    pd.DataFrame(rows).to_parquet(d / "a.parquet", index=False)


@case(("", "audio", {"dataset": "meta/esc50.csv", "target": "category"}))
def a11_esc50_layout(d):
    (d / "audio").mkdir()
    (d / "meta").mkdir()
    [wav(d / "audio" / f"{i}.wav", tone(300 + i)) for i in range(20)]
    pd.DataFrame(
        {
            "filename": [f"{i}.wav" for i in range(20)],
            "fold": [i % 5 + 1 for i in range(20)],
            "target": [i % 2 for i in range(20)],
            "category": [["dog", "rain"][i % 2] for i in range(20)],
        }
    ).to_csv(d / "meta/esc50.csv", index=False)


@case(("", "audio", {"dataset": "a.npz", "target": "y"}))
def a13_npz_int16_one_long(d):
    np.savez(
        d / "a.npz", x=(np.random.default_rng(0).normal(size=(24, 480000)) * 3000).astype(np.int16), y=np.arange(24) % 2
    )


@case(("", "video", {"dataset": "a.npz", "target": "y"}))
def u40_moving_mnist_tnhw(d):
    np.savez(
        d / "a.npz",
        arr_0=np.random.default_rng(0).integers(0, 256, (20, 50, 16, 16), dtype=np.uint8),
        y=np.arange(20) % 2,
    )


@case(("", "video", {"dataset": "d"}))
def v01_gif_folder(d):
    from PIL import Image

    for c in ("a", "b"):
        (d / "d" / c).mkdir(parents=True)
        for i in range(12):
            fr = [Image.fromarray(noise(16, 16, 3, i + j)) for j in range(4)]
            fr[0].save(d / "d" / c / f"{i}.gif", save_all=True, append_images=fr[1:])


@case(("", "video", {"dataset": "d"}), ("_file", "video", {"dataset": "d/a/0.mp4"}))
def v02_mp4_folder(d):
    import imageio.v3 as iio

    for c in ("a", "b"):
        (d / "d" / c).mkdir(parents=True)
        for i in range(3):
            iio.imwrite(
                d / "d" / c / f"{i}.mp4",
                np.stack([noise(32, 32, 3, i + j) for j in range(5)]),
                plugin="pyav",
                codec="mpeg4",
                fps=5,
            )


@case(("", "video", {"dataset": "a.npz"}))
def v05_npz_ncthw(d):
    np.savez(
        d / "a.npz",
        x=np.random.default_rng(0).integers(0, 256, (40, 3, 5, 16, 16), dtype=np.uint8),
        y=np.arange(40) % 2,
    )
