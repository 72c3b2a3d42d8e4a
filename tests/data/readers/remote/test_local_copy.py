"""Data at an address is copied once, whole, within a bound, and read as a local file is."""

import json
import os
import re
import shutil
import socket
import threading
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest

import fdl
import tcp_proxy
from fdl.core import object_store
from fdl.core.errors import Fault, UserError
from fdl.data import find
from fdl.data.modalities.new_examples import NewRows, rows_at
from fdl.data.readers.remote import local_copy as copies
from fdl.data.readers.remote import transfer
from fdl.data.readers.remote.address import files_of
from fdl.data.readers.remote.local_copy import local_copy
from fdl.modes.predict import predict_new
from fdl.trained import restored_experiment
from tests.data.prepared import prepare

pytest.importorskip("aiohttp")
TABLE = "a,b,y\n" + "".join(f"{i % 7},{i % 5},{'yes' if i % 7 > 3 else 'no'}\n" for i in range(200))


class Site:
    """A web site. files: path -> content; asked: the requests; breaks: connections that end early, in the middle."""

    def __init__(self):
        self.files, self.asked, self.breaks, self.ranges, self.status, self.changes = {}, [], 0, True, 0, False
        site = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *args):
                pass

            def do_HEAD(self):
                self.answer(body=False)

            def do_GET(self):
                self.answer(body=True)

            def answer(self, body):
                path = self.path.partition("?")[0]
                site.asked.append((self.command, path, self.headers.get("Range")))
                if path.startswith("/old/"):
                    self.send_response(302)
                    self.send_header("Location", path.replace("/old/", "/"))
                    self.end_headers()
                    return
                content = site.files.get(path.lstrip("/"))
                if content is None or site.status:
                    self.send_error(site.status or 404)
                    return
                first, last, wanted = 0, len(content) - 1, self.headers.get("Range")
                if wanted and site.ranges:
                    low, high = wanted.removeprefix("bytes=").split("-")
                    first, last = int(low), min(int(high or last), last)
                self.send_response(206 if wanted and site.ranges else 200)
                self.send_header("Content-Length", str(last - first + 1))
                self.send_header("ETag", f'"{hash(content)}"')
                if site.ranges:
                    self.send_header("Accept-Ranges", "bytes")
                    self.send_header("Content-Range", f"bytes {first}-{last}/{len(content)}")
                self.end_headers()
                part = content[first : last + 1]
                if body and site.breaks and len(part) > 1:
                    site.breaks -= 1
                    self.wfile.write(part[: len(part) // 2])
                    self.wfile.flush()
                    self.connection.shutdown(socket.SHUT_RDWR)
                elif body:
                    self.wfile.write(part)
                    if site.changes:
                        site.files[path.lstrip("/")] = content[::-1]

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def at(self, path):
        return f"http://127.0.0.1:{self.server.server_port}/{path}"

    def gets(self):
        return [path for method, path, _ in self.asked if method == "GET"]


@pytest.fixture
def site(monkeypatch, tmp_path):
    monkeypatch.setenv("FDL_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(transfer, "_WAIT", 0.01)
    site = Site()
    site.files["sets/table.csv"] = TABLE.encode()
    yield site
    site.server.shutdown()
    site.server.server_close()


def test_a_table_at_an_address_is_read_as_the_file_is_and_copied_once(site, tmp_path):
    (tmp_path / "sets").mkdir()
    (tmp_path / "sets" / "table.csv").write_text(TABLE)
    near, far = find(str(tmp_path / "sets" / "table.csv")), find(site.at("sets/table.csv"))
    assert (far.name, far.fields, far.sizes) == (near.name, near.fields, near.sizes)
    assert far.contents() == near.contents()
    assert "are copied to" in far.origin
    before = len(site.gets())
    again = find(site.at("sets/table.csv"))
    assert "is unchanged since" in again.origin
    assert len(site.gets()) == before
    for name in near.fields:
        np.testing.assert_array_equal(again.column("train", name), near.column("train", name))


def test_what_changes_there_is_copied_anew_and_a_run_of_before_is_refused(site, tmp_path):
    page = partial(fdl.load, "table", dataset=site.at("sets/table.csv"), target="y", width=4, epochs=1.0)
    fdl.train(page(), tmp_path / "run", log=None)
    site.files["sets/table.csv"] = TABLE.replace("6,", "5,").encode()
    records = find(site.at("sets/table.csv"))
    assert "it has changed there" in records.origin
    assert "5" in {f"{value:g}" for value in records.column("train", "a")}
    with pytest.raises(ValueError, match="files"):
        fdl.train(page(), tmp_path / "run", log=None)


def test_a_run_predicts_and_is_evaluated_when_the_address_is_gone(site, tmp_path):
    made, lines = fdl.load("table", dataset=site.at("sets/table.csv"), target="y", width=4, epochs=1.0), []
    report = fdl.train(made, tmp_path / "run", log=lines.append)
    assert f"{site.at('sets/table.csv')}: 1,490 bytes in 1 file are copied to" in "\n".join(lines)
    site.server.shutdown()
    site.server.server_close()
    (tmp_path / "new.csv").write_text("a,b\n1,2\n6,1\n")
    out = predict_new(restored_experiment(tmp_path / "run"), tmp_path / "run", str(tmp_path / "new.csv"), log=None)
    assert len(out.read_text().splitlines()) == 2
    again = find(site.at("sets/table.csv"))
    assert "does not answer" in again.origin
    assert fdl.restore(tmp_path / "run").evaluate("test")["test"]["n"] == report["metrics"]["test"]["n"]
    with pytest.raises(UserError, match=r"sets/other.csv cannot be read .*try again, or download it"):
        find(site.at("sets/other.csv"))


def test_new_data_may_lie_at_an_address(site, tmp_path):
    (tmp_path / "table.csv").write_text(TABLE)
    made = fdl.load("table", dataset=str(tmp_path / "table.csv"), target="y", width=4, epochs=1.0)
    fdl.train(made, tmp_path / "run", log=None)
    site.files["new.csv"] = b"Id,a,b,y\n7,1,2,no\n8,6,1,yes\n"
    (tmp_path / "new.csv").write_bytes(site.files["new.csv"])
    near, far, lines = tmp_path / "near.csv", tmp_path / "far.csv", []
    for data, out in ((str(tmp_path / "new.csv"), near), (site.at("new.csv"), far)):
        predict_new(made, tmp_path / "run", data, output=str(out), log=lines.append)
    assert far.read_text() == near.read_text()
    assert any(f"{site.at('new.csv')}: 28 bytes in 1 file are copied to" in line for line in lines)
    assert fdl.restore(tmp_path / "run").evaluate(data=site.at("new.csv"))["new"]["n"] == 2
    with pytest.raises(UserError, match=r"az://b/new.csv has an unknown scheme 'az'; give http://, https://"):
        predict_new(made, tmp_path / "run", "az://b/new.csv", log=None)


def test_predicted_files_are_called_by_their_addresses(site):
    def read(folder):
        files = sorted(map(str, Path(folder).iterdir()))
        return NewRows(inputs=np.zeros(2), size=2, carried={"file": files, "Id": [1, 2]})

    site.files |= {f"sets/{name}.png": b"picture" for name in "01"}
    rows = rows_at(site.at("sets/{0..1}.png"), read)
    assert rows.carried == {"file": [f"{site.at('sets/{0..1}.png')}/{name}.png" for name in "01"], "Id": [1, 2]}
    assert "are copied to" in rows.notes[0]


@pytest.mark.parametrize("ranges", [True, False])
def test_a_connection_that_breaks_off_is_taken_up_again(site, monkeypatch, ranges):
    monkeypatch.setattr(transfer, "_BLOCK", 1000)
    site.breaks, site.ranges = 3, ranges
    copy = local_copy(site.at("sets/table.csv"))
    assert copy.path.read_text() == TABLE
    assert site.breaks == 0


def test_one_that_never_holds_is_one_line_and_leaves_nothing_that_is_taken_for_a_copy(site):
    site.breaks = 1000
    with pytest.raises(Fault, match=r"table.csv broke off 5 times .*run the same command again"):
        local_copy(site.at("sets/table.csv"))
    site.breaks = 0
    assert local_copy(site.at("sets/table.csv")).path.read_text() == TABLE


def test_a_file_that_changes_while_it_is_copied_is_refused(site):
    site.changes = True
    with pytest.raises(Fault, match=r"table.csv changed while it was copied"):
        local_copy(site.at("sets/table.csv"))


def test_a_redirect_is_followed_and_shards_are_one_table(site):
    assert local_copy(site.at("old/sets/table.csv")).path.read_text() == TABLE
    half = TABLE.splitlines(keepends=True)
    for number, rows in enumerate((half[1:101], half[101:])):
        site.files[f"sets/part-0000{number}.csv"] = "".join([half[0], *rows]).encode()
    records = find(site.at("sets/part-{00000..00001}.csv"))
    assert records.sizes == {"train": 200}


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("SITE/absent.csv", "there is nothing at http.*absent.csv; look at its spelling"),
        ("az://bucket/a.csv", "unknown scheme 'az'; give http://, https://, s3://, gs://, hf:NAME, or copy the files"),
        ("hf://datasets/imdb", "unknown scheme 'hf'; write hf:NAME"),
        ("https://example.org", "names no file; write https://PLACE/FOLDER/FILE"),
        ("https://me:hunter2@example.org/a.csv", "https://example.org/a.csv holds a password, and would be kept"),
        ("https://example.org/a.csv?X-Amz-Signature=1", "holds a X-Amz-Signature in its query"),
        ("https://example.org/a.csv?token=$FDL_UNSET", "the variable FDL_UNSET is not set; export it"),
        ("s3://b/a-{3..1}.csv", "counts from 3 to 1"),
    ],
)
def test_an_address_that_cannot_be_read_is_one_line_without_its_secret(site, address, message):
    with pytest.raises(UserError, match=message) as error:
        find(address.replace("SITE", site.at("sets")))
    assert "hunter2" not in str(error.value)


def test_what_may_not_be_read_is_said(site):
    site.status = 403
    with pytest.raises(UserError, match=r"may not be read .*give credentials"):
        find(site.at("sets/table.csv"))


def test_a_secret_comes_from_a_variable_and_is_written_nowhere(site, tmp_path, monkeypatch):
    monkeypatch.setenv("MY_TOKEN", "opensesame")
    made = fdl.load("table", dataset=site.at("sets/table.csv") + "?token=$MY_TOKEN", target="y", width=4, epochs=1.0)
    lines = []
    fdl.train(made, tmp_path / "run", log=lines.append)
    assert "opensesame" not in "".join(lines)
    site.server.shutdown()
    site.server.server_close()
    for address in (site.at("sets/table.csv"), site.at("sets/absent.csv")):
        with pytest.raises(UserError) as error:
            find(f"{address}?token=$MY_TOKEN&more=1")
        assert "opensesame" not in str(error.value)
    written = [file for file in tmp_path.rglob("*") if file.is_file() and b"opensesame" in file.read_bytes()]
    assert not written


def test_copies_stay_within_their_bound_and_those_in_use_stay(site, monkeypatch):
    monkeypatch.setenv(copies.BOUND, str(2.5 * len(TABLE) / 1e9))
    for name in "abc":
        site.files[f"sets/{name}.csv"] = TABLE.encode()
    first, second = (local_copy(site.at(f"sets/{name}.csv")) for name in "ab")
    third = local_copy(site.at("sets/c.csv"))  # this process holds the others
    assert re.search(
        rf"; copies take 4,\d+ bytes now, above {copies.BOUND}=3.725e-06, as others are in use$", third.note
    )
    assert "copies take" not in second.note
    assert all(copy.path.exists() for copy in (first, second, third))
    for lock in copies._held.values():
        os.close(lock)  # as when the process ends
    copies._held.clear()
    fourth = local_copy(site.at("sets/table.csv"))
    assert fourth.path.exists()
    assert not first.path.exists()
    monkeypatch.setenv(copies.BOUND, "1e-9")
    site.files["sets/d.csv"] = TABLE.encode()
    with pytest.raises(UserError, match=f"copies may take 1 bytes in all; set {copies.BOUND} higher"):
        local_copy(site.at("sets/d.csv"))
    monkeypatch.setenv(copies.BOUND, "much")
    with pytest.raises(UserError, match=f"{copies.BOUND}=much is no number of GB"):
        local_copy(site.at("sets/d.csv"))


def test_a_set_that_the_disk_cannot_hold_is_refused_before_it_is_copied(site, monkeypatch):
    free = shutil.disk_usage("/")._replace(free=1000)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: free)
    with pytest.raises(UserError, match=r"holds 1,490 bytes, and the disk of .* has 1,000 bytes free; set FDL_CACHE"):
        local_copy(site.at("sets/table.csv"))
    assert "sets/table.csv" not in site.gets()


def test_numbers_count_with_their_digits():
    assert files_of("s3://b/{0..1}/x-{08..10}.parquet")[:4] == [
        "s3://b/0/x-08.parquet",
        "s3://b/0/x-09.parquet",
        "s3://b/0/x-10.parquet",
        "s3://b/1/x-08.parquet",
    ]


def test_a_folder_of_a_bucket_is_read_as_a_folder_is(store):
    files = object_store.filesystem("s3")
    for split, rows in {"train": TABLE, "test": TABLE[: len(TABLE) // 2]}.items():
        files.pipe_file(f"{store.removeprefix('s3://')}/sets/{split}.csv", rows.encode())
    records = find(f"{store}/sets")
    assert records.sizes["train"] == 200
    assert "test" in records.sizes
    assert json.loads(next(copies.cache_folder().glob("remote/*/index.json")).read_text())["address"] == f"{store}/sets"


def test_records_of_array_record_on_a_store_are_those_of_the_folder(store, tmp_path):
    import tensorflow_datasets as tfds

    features = {"x": tfds.features.Tensor(shape=(3,), dtype=np.float32), "y": tfds.features.ClassLabel(num_classes=2)}
    rows = [{"x": np.full(3, i, np.float32), "y": i % 2} for i in range(20)]
    folder = prepare(tmp_path, "threes", features, {"train": rows, "test": rows[:6]})
    object_store.filesystem("s3").put(f"{folder}/", f"{store.removeprefix('s3://')}/threes/1.0.0/", recursive=True)
    near, far = find(str(folder)), find(f"{store.replace('s3', 'S3')}/threes/1.0.0")
    assert (far.sizes, far.fields) == (near.sizes, near.fields)
    assert "are copied to" in far.origin
    np.testing.assert_array_equal(far.column("train", "x"), near.column("train", "x"))


def test_a_store_that_falls_silent_while_it_is_read_is_one_line(store, s3_port, monkeypatch):
    object_store.filesystem("s3").pipe_file(f"{store.removeprefix('s3://')}/table.csv", TABLE.encode())
    monkeypatch.setattr(transfer, "_WAIT", 0.01)
    monkeypatch.setattr(transfer, "_BLOCK", 500)
    request, asked = transfer.request, []

    def silenced(files, method, *args, **kwargs):
        asked.append(method)
        if asked.count("cat_file") == 2:
            proxy.fate = lambda: "stalled"
            monkeypatch.setattr(object_store, "PATIENCE", 0.5)
        return request(files, method, *args, **kwargs)

    with tcp_proxy.proxying(s3_port) as proxy:
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{proxy.port}")
        monkeypatch.setattr(transfer, "request", silenced)
        with pytest.raises(Fault, match=r"table.csv broke off 5 times \(no answer in 0.5 s.*run the same command"):
            local_copy(f"{store}/table.csv")
        proxy.fate = lambda: ""
        monkeypatch.setattr(object_store, "PATIENCE", 20.0)
        assert local_copy(f"{store}/table.csv").path.read_text() == TABLE
