import io
import json
import pickle
import zipfile

import numpy as np
import pytest
from safetensors.numpy import save_file

from fdl.core.errors import UserError
from fdl.models.pretrained import published
from fdl.models.published.weight_files import read_tensors, weight_files


def archive(file, pickled, storages, compression=zipfile.ZIP_STORED):
    """Write a zip archive as torch lays one out."""
    with zipfile.ZipFile(file, "w", compression) as written:
        written.writestr("archive/data.pkl", pickled)
        for key, array in storages.items():
            written.writestr(f"archive/data/{key}", array.tobytes())


def program(value):
    """Pickle a value with `Global` objects as torch would: by the names of its modules, which need not be here."""
    found = io.BytesIO()

    class Pickler(pickle._Pickler):  # the one in Python, whose methods can be replaced
        def persistent_id(self, given):
            return ("storage", Global("torch", "FloatStorage"), *given[1:]) if is_storage(given) else None

        def save(self, given, save_persistent_id=True):
            if isinstance(given, Call):
                self.write(f"c{given.module}\n{given.name}\n".encode())
                super().save(given.arguments)
                self.write(b"R")
            elif isinstance(given, Global):
                self.write(f"c{given.module}\n{given.name}\n".encode())
            else:
                super().save(given, save_persistent_id)

    Pickler(found, 2).dump(value)
    return found.getvalue()


class Global:
    def __init__(self, module, name):
        self.module, self.name = module, name


class Call(Global):
    def __init__(self, module, name, *arguments):
        super().__init__(module, name)
        self.arguments = arguments


def is_storage(given):
    return isinstance(given, tuple) and len(given) == 4 and given[0] == "stored"


def tensor(key, numbers, offset, size, stride):
    stored = ("stored", key, "cpu", numbers)
    return Call("torch._utils", "_rebuild_tensor_v2", stored, offset, size, stride, False, {})


NUMBERS = np.arange(6, dtype=np.float32)


def test_a_torch_archive_is_read_without_torch(tmp_path):
    held = {"state_dict": {"w": tensor("0", 6, 0, (3, 2), (1, 3)), "tail": tensor("0", 6, 4, (2,), (1,))}, "epoch": 3}
    archive(tmp_path / "w.pth", program(held), {"0": NUMBERS})
    tensors = read_tensors(tmp_path / "w.pth")
    assert list(tensors) == ["w", "tail"]
    np.testing.assert_array_equal(tensors["w"], NUMBERS.reshape(2, 3).T)
    np.testing.assert_array_equal(tensors["tail"], [4, 5])


@pytest.mark.parametrize(
    ("hostile", "refused"),
    [
        ({"w": Call("os", "system", "touch ran")}, "it names os.system"),
        ({"w": Call("builtins", "eval", "open('ran', 'w')")}, "it names builtins.eval"),
        ({"w": tensor("0", 6, 4, (6,), (1,))}, "a tensor of size"),
        ({"w": tensor("0", 6, 0, (2**40,), (0,))}, "a tensor of size"),
        ({"w": tensor("0", 6, -6, (6,), (1,))}, "a tensor whose size or strides are no counts"),
        ({"w": tensor("0", 7, 0, (6,), (1,))}, "that should have 7"),
        ({"w": tensor("0", 6, 0, ((6,),), (1,))}, "a tensor whose size or strides are no counts"),
        ({"w": {((1, 1), (1, 1)): 1}}, "a dictionary whose keys are no names"),
        ({"epoch": 3}, "holds no tensors by name"),
    ],
)
def test_a_hostile_archive_runs_nothing_and_is_refused_in_one_line(hostile, refused, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    archive("w.bin", program(hostile), {"0": NUMBERS})
    with pytest.raises(ValueError, match=refused) as raised:
        read_tensors("w.bin")
    assert "\n" not in str(raised.value)
    assert not (tmp_path / "ran").exists()


def test_entries_that_take_more_than_the_file_and_other_pickles_are_refused(tmp_path):
    held = program({"w": tensor("0", 6, 0, (6,), (1,))})
    archive(tmp_path / "bomb.pt", held, {"0": NUMBERS}, zipfile.ZIP_DEFLATED)
    with pytest.raises(ValueError, match="is compressed, as torch never does"):
        read_tensors(tmp_path / "bomb.pt")
    for content in (b"", b"not a file of torch", pickle.dumps({"w": 1}), held):
        (tmp_path / "other.pt").write_bytes(content)
        with pytest.raises(ValueError, match=r"holds more than tensors, or is damaged \(.*\); use safetensors"):
            read_tensors(tmp_path / "other.pt")


def legacy(pickled, keys, *storages):
    """Return a file as torch before 1.6 writes it."""
    header = [pickle.dumps(value, 2) for value in (0x1950A86A20F9469CFC6C, 1001, {"little_endian": True})]
    numbers = [len(array).to_bytes(8, "little") + array.tobytes() for array in storages]
    return b"".join([*header, pickled, pickle.dumps(keys, 2), *numbers])


def test_the_format_before_torch_1_6_is_read_and_a_damaged_file_of_it_is_refused(tmp_path):
    held = program({"b": tensor("1", 6, 0, (6,), (1,)), "a": tensor("0", 6, 1, (2,), (2,))})
    whole = legacy(held, ["0", "1"], NUMBERS, NUMBERS + 10)
    (tmp_path / "old.pth").write_bytes(whole)
    tensors = read_tensors(tmp_path / "old.pth")
    np.testing.assert_array_equal(tensors["a"], [1, 3])
    np.testing.assert_array_equal(tensors["b"], NUMBERS + 10)
    for damaged in (whole[:-1], whole[: len(whole) // 2], legacy(held, ["0", "1"], NUMBERS), legacy(held, ["2"])):
        (tmp_path / "old.pth").write_bytes(damaged)
        with pytest.raises(ValueError, match="holds more than tensors, or is damaged"):
            read_tensors(tmp_path / "old.pth")
    hostile = legacy(program({"w": Call("os", "system", "touch ran")}), [])
    (tmp_path / "old.pth").write_bytes(hostile)
    with pytest.raises(ValueError, match=r"it names os\.system"):
        read_tensors(tmp_path / "old.pth")


def sharded(folder, second="model-00002-of-00002.safetensors"):
    save_file({"a": NUMBERS}, folder / "model-00001-of-00002.safetensors")
    save_file({"b": NUMBERS + 1}, folder / "model-00002-of-00002.safetensors")
    index = {"metadata": {}, "weight_map": {"a": "model-00001-of-00002.safetensors", "b": second}}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))


def test_shards_are_read_by_their_index_or_their_folder_alone(tmp_path):
    sharded(tmp_path)
    for path in (tmp_path, tmp_path / "model.safetensors.index.json"):
        np.testing.assert_array_equal(read_tensors(path)["b"], NUMBERS + 1)
    start = published(tmp_path, lambda tensors: {"params": {"a": tensors["a"], "b": tensors["b"]}})
    before = start.contents()
    save_file({"b": NUMBERS + 2}, tmp_path / "model-00002-of-00002.safetensors")
    assert start.contents() != before  # the identity of a run sees every shard


@pytest.mark.parametrize("name", ["../other.safetensors", "/etc/passwd", "model-00009.safetensors"])
def test_an_index_that_leaves_its_folder_or_names_an_absent_shard_is_refused(name, tmp_path):
    sharded(tmp_path, name)
    with pytest.raises(ValueError, match=r"index.json names the shard"):
        read_tensors(tmp_path)


def test_a_folder_says_what_it_lacks(tmp_path):
    with pytest.raises(ValueError, match=r"has no file of weights; give one of model\.safetensors\.index\.json"):
        weight_files(tmp_path)
    for index in ("[]", '{"weight_map": {"a": 7, "b": "c"}}'):
        (tmp_path / "model.safetensors.index.json").write_text(index)
        with pytest.raises(ValueError, match="is no index of shards"):
            weight_files(tmp_path)
    for name in ("a.bin", "b.bin"):
        (tmp_path / name).touch()
    (tmp_path / "model.safetensors.index.json").unlink()
    with pytest.raises(ValueError, match="has 2 files of weights"):
        weight_files(tmp_path)


@pytest.mark.parametrize("address", ["s3://b/model", "az://b/model.bin", "https://h/model.safetensors", "hf:bert"])
def test_an_address_is_one_line_before_anything_is_read(address):
    with pytest.raises(UserError, match=f"--weights={address} is an address, and weights are files: copy them here"):
        published(address, lambda tensors: tensors)
