import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from fdl.data.log_mel import LogMel
from fdl.data.modalities.audio import sounds
from fdl.data.modalities.videos import videos
from fdl.data.readers.find import find


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))


def tone(pitch, seconds=0.25, rate=16000):
    return (0.5 * np.sin(2 * np.pi * pitch * np.arange(int(seconds * rate)) / rate)).astype(np.float32)


def write_sounds(folder, suffix=".wav", rate=16000, count=8, **options):
    soundfile = pytest.importorskip("soundfile")
    for name, pitch in (("low", 300), ("high", 1200)):
        (folder / name).mkdir(parents=True, exist_ok=True)
        for i in range(count):
            soundfile.write(folder / name / f"{i}{suffix}", tone(pitch + i, rate=rate), rate, **options)
    return folder


@pytest.mark.parametrize("suffix", [".wav", ".flac", ".ogg", ".mp3", ".aiff"])
def test_a_folder_of_sounds_is_read_with_its_own_rate(tmp_path, suffix):
    records = find(str(write_sounds(tmp_path, suffix, rate=22050)), kind="audio")
    assert records.fields["audio"].rate == 22050
    assert records.fields["label"].names == ("high", "low")
    wave = np.asarray(records.read("train", np.arange(1), ("audio",))["audio"][0], np.float64)
    wave /= 2**15 if records.fields["audio"].dtype == np.int16 else 1
    middle = slice(2000, 4000)  # of MP3, which pads both ends
    spectrum = np.abs(np.fft.rfft(wave[middle] * np.hanning(2000)))
    assert spectrum.argmax() * 22050 / 2000 == pytest.approx(1200, abs=12)
    dataset = sounds(records)
    assert dataset.fitted["rate"] == 22050


@pytest.mark.parametrize("subtype", ["PCM_16", "PCM_24", "FLOAT", "PCM_U8"])
def test_no_sample_is_clipped_or_rounded_more_than_its_file_did(tmp_path, subtype):
    soundfile = pytest.importorskip("soundfile")
    write_sounds(tmp_path, subtype=subtype)
    if subtype == "FLOAT":
        soundfile.write(tmp_path / "low" / "0.wav", 3 * tone(300), 16000, subtype="FLOAT")
    records = find(str(tmp_path), kind="audio")
    field = records.fields["audio"]
    assert field.dtype == (np.int16 if subtype in ("PCM_16", "PCM_U8") else np.float32)
    first = records.read("train", np.array([8]), ("audio",))["audio"][0]
    expected = (3 if subtype == "FLOAT" else 1) * tone(300)
    step = {"PCM_16": 2**-15, "PCM_24": 2**-22, "FLOAT": 1e-6, "PCM_U8": 2**-6}[subtype]
    assert np.abs(first / (2**15 if field.dtype == np.int16 else 1) - expected).max() <= step


def test_several_channels_are_averaged_and_other_rates_resampled_and_both_are_said(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    write_sounds(tmp_path)
    soundfile.write(tmp_path / "low" / "a.wav", np.stack([tone(300), np.zeros(4000)], 1), 16000)
    soundfile.write(tmp_path / "low" / "b.wav", tone(300, rate=8000), 8000)
    records = find(str(tmp_path), kind="audio")
    assert "1 of 8,000 samples a second are resampled to 16,000, which most have" in records.notes
    assert "1 of 18 sounds have several channels: they are averaged" in records.notes
    stereo, slow = records.read("train", np.array([16, 17]), ("audio",))["audio"]
    assert np.abs(stereo / 2**14 - tone(300)).max() < 1e-3
    assert np.abs(slow[200:-200] / 2**15 - tone(300)[200:-200]).max() < 0.01


def test_another_rate_resamples_what_a_set_declares(tmp_path):
    dataset = sounds(find(str(write_sounds(tmp_path)), kind="audio"), spectrogram=LogMel(rate=8000))
    wave = dataset.load("train").resident().arrays[0][0]
    assert len(wave) == dataset.fitted["length"] == 2000
    spectrum = np.abs(np.fft.rfft(wave * np.hanning(2000)))
    assert min(abs(spectrum.argmax() * 4 - pitch) for pitch in (303, 1203)) < 8


def test_sounds_that_cannot_be_read_are_listed_together(tmp_path):
    write_sounds(tmp_path)
    (tmp_path / "low" / "0.wav").write_bytes(b"no sound")
    (tmp_path / "high" / "1.wav").write_bytes(b"")
    with pytest.raises(
        ValueError, match=r"^2 of 16 sounds cannot be read: .*high/1\.wav .*low/0\.wav .*; mend"
    ) as error:
        find(str(tmp_path), kind="audio")
    assert "\n" not in str(error.value)


def test_a_missing_library_is_named_with_its_extra(tmp_path, monkeypatch):
    (tmp_path / "a").mkdir()
    (tmp_path / "b").mkdir()
    for kind, suffix, module in (("audio", ".wav", "soundfile"), ("video", ".mp4", "av")):
        for name in "ab":
            (tmp_path / name / f"0{suffix}").write_bytes(b"x")
        monkeypatch.setitem(sys.modules, module, None)
        with pytest.raises(ValueError, match=rf"run: pip install 'fdl\[{kind}\]'"):
            find(str(tmp_path), kind=kind)


def film(seed, count=5, size=(32, 48)):
    """Return frames that a lossy codec keeps apart: each has one brightness."""
    return [np.full((*size, 3), 20 + 40 * ((seed + i) % 5), np.uint8) for i in range(count)]


def write_gifs(folder):
    for name in "ab":
        (folder / name).mkdir(parents=True)
        for i in range(10):
            first, *others = map(Image.fromarray, film(i, 4 + i % 2))
            first.save(folder / name / f"{i}.gif", save_all=True, append_images=others)
    return folder


def test_gifs_are_videos_to_the_page_of_videos_and_pictures_to_that_of_pictures(tmp_path):
    write_gifs(tmp_path)
    records = find(str(tmp_path), kind="video")
    dataset = videos(records, frames=4)
    assert dataset.spec.inputs.shape == (4, 32, 48, 3)
    clip = records.read("train", np.array([1]), ("video",))["video"][0]
    assert len(clip) == 5
    assert clip[np.array([4, 0])][:, 0, 0, 0].tolist() == [20, 60]
    assert find(str(tmp_path), kind="image").fields["image"].shape == (32, 48, 3)


def test_films_give_the_frames_that_are_wanted(tmp_path):
    av = pytest.importorskip("av")
    for name in "ab":
        (tmp_path / name).mkdir()
        for i in range(6):
            with av.open(str(tmp_path / name / f"{i}.mp4"), "w") as container:
                stream = container.add_stream("mpeg4", rate=5)
                stream.width, stream.height = 48, 32
                for frame in film(i):
                    container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
                container.mux(stream.encode())
    dataset = videos(find(str(tmp_path), kind="video"))
    assert dataset.spec.inputs.shape == (5, 32, 48, 3)
    batch = dataset.load("train").fetch(np.arange(dataset.spec.sizes["train"]))
    steps = np.diff(batch.inputs.astype(int).mean((2, 3, 4)), axis=1)
    assert (np.abs(steps - np.where(steps > 0, 40, -160)) < 8).all()  # each frame once, in order
    data = (tmp_path / "a" / "0.mp4").read_bytes()
    (tmp_path / "a" / "0.mp4").write_bytes(data[: len(data) // 3])
    (tmp_path / "b" / "1.mp4").write_bytes(b"")
    with pytest.raises(ValueError, match=r"^2 of 12 videos cannot be read: .*a/0\.mp4 .*b/1\.mp4 "):
        find(str(tmp_path), kind="video")


def test_folders_of_frames_are_videos_in_the_order_of_their_numbers(tmp_path):
    for name in "ab":
        for clip in range(6):
            (tmp_path / name / f"clip{clip}").mkdir(parents=True)
            for i in range(12):
                Image.fromarray(np.full((4, 4, 3), 10 * i, np.uint8)).save(tmp_path / name / f"clip{clip}" / f"{i}.png")
    dataset = videos(find(str(tmp_path), kind="video"))
    assert dataset.spec.names == ("a", "b")
    assert dataset.load("train").fetch(np.arange(1)).inputs[0, :, 0, 0, 0].tolist() == list(range(0, 120, 10))


def test_a_sound_of_bytes_is_that_of_the_file(tmp_path):
    soundfile = pytest.importorskip("soundfile")
    from fdl.data.readers.recordings import sound, sound_info

    file = io.BytesIO()
    soundfile.write(file, tone(300), 16000, format="WAV")
    assert sound_info(file.getvalue()).samples == 4000
    assert len(sound(file.getvalue(), rate=16000, dtype=np.dtype(np.int16))) == 4000


def test_libraries_are_imported_where_a_file_needs_them_and_not_before():
    code = (
        "import sys, fdl.data.readers.find, fdl.data.modalities.audio, fdl.data.modalities.videos\n"
        "print({'soundfile', 'av', 'pandas', 'pyarrow', 'PIL', 'scipy.signal', 'tokenizers'} & set(sys.modules))"
    )
    root = Path(__file__).parents[3]
    assert subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True).stdout == "set()\n"
