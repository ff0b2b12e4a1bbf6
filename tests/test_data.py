"""What `aetutor.data` promises. No test needs a network, and none writes outside its own temporary folder."""

import ast
import dataclasses
import errno
import gzip
import hashlib
import io
import os
import pickle
import re
import shutil
import signal
import socket
import struct
import tarfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import platformdirs
import pytest
import torch

from aetutor import data
from aetutor.data import DataError, files

REPOSITORY = Path(data.__file__).resolve().parents[2]
NOWHERE = ("http://127.0.0.1:9/",)  # the discard port: refused at once
NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")


# ---- a dataset small enough to make here ----


def idx(array: np.ndarray, type_=8) -> bytes:
    return bytes([0, 0, type_, array.ndim]) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def arrays() -> list[np.ndarray]:
    random = np.random.default_rng(0)
    images = random.integers(0, 256, (18, 4, 3), np.uint8)  # 12 to train on, 6 to test on
    labels = np.arange(18, dtype=np.uint8) % 3
    return [images[:12], labels[:12], images[12:], labels[12:]]


def spec(payloads: list[bytes], shapes=None, checked="content sha256", mirrors=NOWHERE, **more) -> files._Spec:
    """A spec that expects just these IDX files, in the folder Tiny/raw."""
    method = checked.split()[1]
    expected = []
    for name, payload, shape in zip(NAMES, payloads, shapes or [a.shape for a in arrays()], strict=True):
        seen = payload if checked.startswith("content") else packed(payload)
        checksum = f"{checked} {hashlib.new(method, seen).hexdigest()}"
        expected.append(files._File(f"Tiny/raw/{name}.gz", checksum, shape))
    return files._Spec(tuple(expected), files._read_idx, ("nought", "one", "two"), mirrors, valid=4, **more)


def packed(payload: bytes) -> bytes:
    return gzip.compress(payload, mtime=0)


def write(root: Path, payloads: list[bytes]) -> Path:
    folder = root / "Tiny" / "raw"
    folder.mkdir(parents=True)
    for name, payload in zip(NAMES, payloads, strict=True):
        (folder / f"{name}.gz").write_bytes(packed(payload))
    return folder


@pytest.fixture(autouse=True)
def places(monkeypatch, tmp_path) -> Path:
    """AETUTOR_DATA and the user's cache, both inside tmp_path; returns the first."""
    root = tmp_path / "chosen"
    root.mkdir()
    monkeypatch.setenv("AETUTOR_DATA", str(root))
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_: tmp_path / "cache")
    monkeypatch.setenv("no_proxy", "*")
    return root


@pytest.fixture
def tiny(monkeypatch, places) -> Path:
    """The dataset "tiny", whole and sound; returns its folder."""
    payloads = [idx(a) for a in arrays()]
    monkeypatch.setitem(files._DATASETS, "tiny", spec(payloads))
    return write(places, payloads)


def error(call, *args, **more) -> str:
    return str(refusal(call, *args, **more))


def refusal(call, *args, **more) -> DataError:
    with pytest.raises(DataError) as caught:
        call(*args, **more)
    return caught.value


def left(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


# ---- MNIST, as it ships ----


@pytest.fixture(scope="module")
def mnist():
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("AETUTOR_DATA", raising=False)
        return data.load("mnist")


def test_mnist_is_split_55_000_5_000_10_000(mnist):
    assert [tuple(x.shape) for x in (mnist.train, mnist.valid, mnist.test)] == [
        (55_000, 1, 28, 28),
        (5_000, 1, 28, 28),
        (10_000, 1, 28, 28),
    ]
    assert [len(x) for x in (mnist.train_labels, mnist.valid_labels, mnist.test_labels)] == [55_000, 5_000, 10_000]
    assert mnist.train.dtype == torch.uint8 and mnist.train_labels.dtype == torch.int64
    assert mnist.shape == (1, 28, 28)
    assert mnist.classes == tuple("0123456789")


def test_an_image_set_prints_as_one_tidy_line(mnist):
    assert repr(mnist) == ("ImageSet mnist: 55 000 train, 5 000 valid, 10 000 test; 1×28×28 uint8; 10 classes")


def test_mnist_equals_what_torchvision_reads_and_its_uncompressed_files_will_do(mnist, monkeypatch, places):
    from torchvision.datasets import MNIST

    raw = places / "MNIST" / "raw"
    raw.mkdir(parents=True)
    for name in NAMES:
        (raw / name).write_bytes(gzip.decompress((REPOSITORY / "data/MNIST/raw" / f"{name}.gz").read_bytes()))
    theirs, ours = MNIST(places, train=True), data.load("mnist")
    assert torch.equal(torch.cat([mnist.train, mnist.valid])[:, 0], theirs.data)  # valid is the last 5 000
    assert torch.equal(torch.cat([mnist.train_labels, mnist.valid_labels]), theirs.targets)
    assert torch.equal(mnist.test[:, 0], MNIST(places, train=False).data)
    assert torch.equal(ours.valid, mnist.valid)
    assert data.where("mnist") == places


def test_mnist_loads_in_under_a_second(monkeypatch):
    monkeypatch.delenv("AETUTOR_DATA")
    seconds = []
    for _ in range(3):
        start = time.perf_counter()
        data.load("mnist")
        seconds.append(time.perf_counter() - start)
    assert min(seconds) < 1


def test_the_readme_of_the_data_states_the_true_checksums():
    rows = re.findall(
        r"`([\w-]+\.gz)` \|.*?\| `(\w{32})` \| `(\w{64})` \|", (REPOSITORY / "data/README.md").read_text()
    )
    assert len(rows) == 4
    for name, md5, sha256 in rows:
        raw = (REPOSITORY / "data/MNIST/raw" / name).read_bytes()
        assert hashlib.sha256(raw).hexdigest() == sha256
        assert hashlib.md5(gzip.decompress(raw)).hexdigest() == md5


def test_the_checksums_and_file_names_of_the_others_are_those_that_torchvision_publishes():
    from torchvision import datasets

    for name, theirs in (("fashion_mnist", datasets.FashionMNIST), ("kmnist", datasets.KMNIST)):
        ours = files._DATASETS[name]
        assert [(Path(f.path).name, f.checksum) for f in ours.files] == [
            (file, f"file md5 {md5}") for file, md5 in theirs.resources
        ]
        assert all(f.path.startswith(f"{theirs.__name__}/raw/") for f in ours.files)
        assert list(ours.classes) == theirs.classes
        assert ours.mirrors == theirs.__name__ and theirs.mirrors


# ---- where a dataset is found ----


def test_a_dataset_in_aetutor_data_is_split_with_validation_last(tiny, places):
    images, labels, test, test_labels = arrays()
    found = data.load("tiny")
    assert (found.train[:, 0].numpy() == images[:8]).all() and (found.valid[:, 0].numpy() == images[8:]).all()
    assert (found.test[:, 0].numpy() == test).all() and found.shape == (1, 4, 3)
    assert found.train_labels.tolist() == labels[:8].tolist() and found.valid_labels.tolist() == labels[8:].tolist()
    assert found.test_labels.tolist() == test_labels.tolist()
    assert data.where("tiny") == places


def test_without_aetutor_data_the_users_cache_is_read(tiny, places, monkeypatch, tmp_path):
    shutil.copytree(places, tmp_path / "cache")
    monkeypatch.setenv("AETUTOR_DATA", "")  # set to nothing is not set
    (tiny / f"{NAMES[0]}.gz").unlink()
    assert len(data.load("tiny").train) == 8
    assert data.where("tiny") == tmp_path / "cache"


def test_an_installed_wheel_reads_the_files_that_it_carries(tiny, places, monkeypatch, tmp_path):
    monkeypatch.setattr(data.places, "__file__", str(tmp_path / "aetutor" / "data" / "places.py"))
    monkeypatch.delenv("AETUTOR_DATA")
    shutil.move(places, tmp_path / "aetutor" / "_shipped")
    assert data.where("tiny") == tmp_path / "aetutor" / "_shipped"
    assert len(data.load("tiny").train) == 8
    next((tmp_path / "aetutor" / "_shipped").rglob("*.gz")).unlink()
    assert refusal(data.load, "tiny").mend == "pip install --force-reinstall --no-deps aetutor"


def test_a_damaged_file_in_a_checkout_is_mended_by_git(tiny, places, monkeypatch, tmp_path):
    monkeypatch.setattr(data.places, "__file__", str(tmp_path / "aetutor" / "data" / "places.py"))
    monkeypatch.delenv("AETUTOR_DATA")
    shutil.move(places, tmp_path / "data")
    next((tmp_path / "data").rglob("*.gz")).unlink()
    assert refusal(data.load, "tiny").mend == "git checkout -- data/Tiny"


def test_an_error_ends_with_what_mends_it_and_keeps_that_apart(monkeypatch, places):
    plain, mended = DataError("It is bad."), DataError("It is bad.", "make it good")
    assert (str(plain), plain.mend) == ("It is bad.", "")
    assert (str(mended), mended.mend) == ("It is bad. To mend it: make it good", "make it good")
    again = pickle.loads(pickle.dumps(mended))  # as between the processes of a loader
    assert (str(again), again.mend) == (str(mended), mended.mend)
    monkeypatch.setenv("AETUTOR_DATA", str(places / "absent"))
    assert refusal(data.where, "mnist").mend == "unset AETUTOR_DATA"


def test_names_are_those_that_load_knows():
    assert data.NAMES == ("mnist", "fashion_mnist", "kmnist", "cifar10") == tuple(files._DATASETS)


def test_a_damaged_copy_is_never_passed_over_for_a_sound_one(tiny, places, tmp_path):
    shutil.copytree(places, tmp_path / "cache")
    shutil.rmtree(tiny)  # the folder Tiny stays, and counts
    assert str(tiny / NAMES[0]) in error(data.load, "tiny")


def test_aetutor_data_must_name_a_folder(monkeypatch, tmp_path):
    for wrong in (tmp_path / "absent", tmp_path / "file"):
        (tmp_path / "file").touch()
        monkeypatch.setenv("AETUTOR_DATA", str(wrong))
        message = error(data.load, "mnist")
        assert str(wrong) in message and "not a folder" in message and "AETUTOR_DATA" in message


@pytest.mark.parametrize(
    ("name", "hint"),
    [("MNIST", "'mnist'"), ("fashion-mnist", "'fashion_mnist'"), ("FashionMNIST", "'fashion_mnist'"),
     ("cifar", "'cifar10'"), ("imagenet", None), (3, None), (None, None)],
)  # fmt: skip
def test_an_unknown_name_is_answered_with_the_known_ones_and_the_nearest(name, hint):
    message = error(data.load, name)
    assert "mnist, fashion_mnist, kmnist, cifar10" in message
    assert (f"Did you mean {hint}?" in message) if hint else ("Did you mean" not in message)


# ---- files that are not what they have to be: each error names the file and what to do ----


def damaged(tiny: Path, name: str = NAMES[0]) -> str:
    message = error(data.load, "tiny")
    assert str(tiny / name) in message
    assert "put a good copy there" in message and "AETUTOR_DATA" in message
    return message


@pytest.mark.parametrize("name", NAMES)
def test_a_missing_file_is_an_error(tiny, name):
    (tiny / f"{name}.gz").unlink()
    assert "is missing" in damaged(tiny, name)


def test_a_truncated_gzip_is_an_error(tiny):
    path = tiny / f"{NAMES[0]}.gz"
    path.write_bytes(path.read_bytes()[:-20])
    assert "cut short" in damaged(tiny)


def test_an_empty_file_is_an_error(tiny):
    (tiny / f"{NAMES[0]}.gz").write_bytes(b"")
    damaged(tiny)


def test_a_file_that_a_browser_unpacked_under_its_old_name_is_an_error(tiny):
    (tiny / f"{NAMES[0]}.gz").write_bytes(idx(arrays()[0]))
    assert "not a sound gzip file" in damaged(tiny)


@pytest.mark.parametrize("change", [slice(None, -1), slice(None, 10), slice(None, 2)])
def test_truncated_content_is_an_error(tiny, change):
    (tiny / f"{NAMES[0]}.gz").write_bytes(packed(idx(arrays()[0])[change]))
    damaged(tiny)


def test_content_with_something_added_is_an_error(tiny):
    (tiny / f"{NAMES[0]}.gz").write_bytes(packed(idx(arrays()[0]) + b"\0"))
    assert f"{16 + 144 + 1} bytes of content, expected {16 + 144}" in damaged(tiny)


def test_one_altered_pixel_is_an_error(tiny):
    payload = bytearray(idx(arrays()[0]))
    payload[-1] ^= 1
    (tiny / f"{NAMES[0]}.gz").write_bytes(packed(bytes(payload)))
    assert "damaged or altered" in damaged(tiny) and "sha256" in damaged(tiny)


def test_one_altered_byte_anywhere_in_the_packed_file_never_goes_unseen(tiny):
    path = tiny / f"{NAMES[1]}.gz"
    sound, expected = path.read_bytes(), data.load("tiny").train_labels
    for position in range(len(sound)):
        path.write_bytes(sound[:position] + bytes([sound[position] ^ 0x10]) + sound[position + 1 :])
        try:
            assert torch.equal(data.load("tiny").train_labels, expected)  # gzip keeps a date; that may change
        except DataError as problem:
            assert str(path) in str(problem)


def test_content_packed_by_another_gzip_is_accepted(tiny):
    (tiny / f"{NAMES[0]}.gz").write_bytes(gzip.compress(idx(arrays()[0]), compresslevel=1, mtime=1_000_000))
    assert len(data.load("tiny").train) == 8


def test_an_uncompressed_file_is_checked_as_well(tiny):
    (tiny / f"{NAMES[0]}.gz").unlink()
    (tiny / NAMES[0]).write_bytes(idx(arrays()[0]))
    assert len(data.load("tiny").train) == 8
    (tiny / NAMES[0]).write_bytes(idx(255 - arrays()[0]))
    assert "damaged or altered" in damaged(tiny)


def test_a_folder_in_place_of_the_file_is_an_error(tiny):
    (tiny / f"{NAMES[0]}.gz").unlink()
    (tiny / f"{NAMES[0]}.gz").mkdir()
    assert "is a folder" in damaged(tiny)


def test_a_file_in_place_of_the_folder_is_an_error(tiny):
    shutil.rmtree(tiny)
    tiny.touch()
    assert "cannot be read" in damaged(tiny)


def test_a_file_that_may_not_be_read_is_an_error(tiny, monkeypatch):
    def refuse(path):  # root may read everything, so that taking the right away would prove nothing
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), str(path))

    monkeypatch.setattr(Path, "read_bytes", refuse)
    assert "cannot be read: Permission denied" in damaged(tiny)


HEADERS = {
    "starts with the bytes 1 0 8 3": lambda a: b"\1" + idx(a)[1:],
    "starts with the bytes 0 0 13 3": lambda a: idx(a.astype(">f4"), type_=13),
    "starts with the bytes 0 0 8 1": lambda a: idx(a.reshape(-1)),
    "holds 12×3×4, expected 12×4×3": lambda a: idx(a.reshape(12, 3, 4)),
    "holds 11×4×3, expected 12×4×3": lambda a: idx(a[:11]),
    "holds nothing": lambda a: idx(a)[:9],
    "147 bytes of content, expected 160": lambda a: idx(a)[:147],
}


@pytest.mark.parametrize("words", HEADERS)
@pytest.mark.parametrize("checked", ["content sha256", "file md5"])
def test_a_wrong_header_is_an_error_even_if_the_checksum_agrees(monkeypatch, places, words, checked):
    payloads = [HEADERS[words](arrays()[0]), *map(idx, arrays()[1:])]
    monkeypatch.setitem(files._DATASETS, "tiny", spec(payloads, checked=checked))
    assert words in damaged(write(places, payloads))


def test_labels_and_images_of_different_counts_are_an_error_that_names_both_files(monkeypatch, places):
    images, labels, test, test_labels = arrays()
    payloads = [idx(a) for a in (images, labels[:11], test, test_labels)]
    monkeypatch.setitem(files._DATASETS, "tiny", spec(payloads, [images.shape, (11,), test.shape, test_labels.shape]))
    folder = write(places, payloads)
    assert "holds 11 labels, but" in damaged(folder, NAMES[1]) and NAMES[0] in damaged(folder)


def test_labels_outside_the_range_are_an_error(monkeypatch, places):
    images, labels, test, test_labels = arrays()
    payloads = [idx(a) for a in (images, labels, test, test_labels + 1)]
    monkeypatch.setitem(files._DATASETS, "tiny", spec(payloads))
    assert "labels from 1 to 3, expected 0 to 2" in damaged(write(places, payloads), NAMES[3])


def test_where_only_the_gz_has_a_published_checksum_the_gz_is_asked_for(monkeypatch, places):
    payloads = [idx(a) for a in arrays()]
    monkeypatch.setitem(files._DATASETS, "tiny", spec(payloads, checked="file md5"))
    folder = write(places, payloads)
    assert len(data.load("tiny").train) == 8
    (folder / NAMES[0]).write_bytes(payloads[0])
    (folder / f"{NAMES[0]}.gz").unlink()
    message = damaged(folder)
    assert f"{NAMES[0]}.gz is missing" in message and "only the .gz has a published checksum" in message


# ---- CIFAR-10, from the authors' binary archive ----


def cifar_archive(records: np.ndarray, leave_out=(), cut=0) -> bytes:
    """records: (6, N, 1 + 3·H·W), five training batches and the test batch."""
    target, names = io.BytesIO(), [f"data_batch_{i}.bin" for i in range(1, 6)] + ["test_batch.bin"]
    with tarfile.open(fileobj=target, mode="w:gz") as archive:
        for i in (5, 2, 0, 4, 1, 3):  # the real one is not in order either
            payload = records[i].tobytes()[cut:]
            member = tarfile.TarInfo(f"cifar-10-batches-bin/{names[i]}")
            member.size = len(payload)
            if names[i] not in leave_out:
                archive.addfile(member, io.BytesIO(payload))
        member = tarfile.TarInfo("cifar-10-batches-bin/readme.html")
        archive.addfile(member)
    return target.getvalue()


def cifar_spec(payload: bytes, mirrors=NOWHERE) -> files._Spec:
    file = files._File("cifar-10-binary.tar.gz", f"file sha256 {hashlib.sha256(payload).hexdigest()}", (4, 3, 2, 2))
    return dataclasses.replace(files._DATASETS["cifar10"], files=(file,), mirrors=mirrors, valid=5)


@pytest.fixture
def records():
    random = np.random.default_rng(0)
    records = random.integers(0, 256, (6, 4, 13), np.uint8)
    records[..., 0] = random.integers(0, 10, (6, 4))
    return records


def test_cifar10_is_read_out_of_its_archive_channel_by_channel(monkeypatch, places, records):
    payload = cifar_archive(records)
    monkeypatch.setitem(files._DATASETS, "cifar10", cifar_spec(payload))
    (places / "cifar-10-binary.tar.gz").write_bytes(payload)
    found = data.load("cifar10")
    assert (len(found.train), len(found.valid), len(found.test), found.shape) == (15, 5, 4, (3, 2, 2))
    flat = records.reshape(24, 13)
    for i, (image, label) in enumerate(
        zip(torch.cat([found.train, found.valid, found.test]),
            torch.cat([found.train_labels, found.valid_labels, found.test_labels]), strict=True)
    ):  # fmt: skip
        assert label == flat[i, 0]
        assert image[0].flatten().tolist() == flat[i, 1:5].tolist()  # red
        assert image[2].flatten().tolist() == flat[i, 9:].tolist()  # blue
    assert left(places) == ["cifar-10-binary.tar.gz"]  # nothing was unpacked


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"leave_out": ["data_batch_3.bin"]}, "lacks cifar-10-batches-bin/data_batch_3.bin"),
        ({"cut": 1}, "of 51 bytes, expected 52"),
    ],
)
def test_an_archive_with_a_batch_missing_or_cut_short_is_an_error(monkeypatch, places, records, change, words):
    payload = cifar_archive(records, **change)
    monkeypatch.setitem(files._DATASETS, "cifar10", cifar_spec(payload))
    (places / "cifar-10-binary.tar.gz").write_bytes(payload)
    message = error(data.load, "cifar10")
    assert words in message and str(places / "cifar-10-binary.tar.gz") in message


def test_a_damaged_archive_is_an_error(monkeypatch, places, records):
    payload = cifar_archive(records)
    monkeypatch.setitem(files._DATASETS, "cifar10", cifar_spec(payload))
    (places / "cifar-10-binary.tar.gz").write_bytes(payload[:-9])
    assert "damaged or altered" in error(data.load, "cifar10")
    monkeypatch.setitem(files._DATASETS, "cifar10", cifar_spec(payload[:-100]))  # as if that were its checksum
    (places / "cifar-10-binary.tar.gz").write_bytes(payload[:-100])
    assert "not a sound tar.gz" in error(data.load, "cifar10")


def test_torchvisions_pickles_are_not_read_and_the_error_says_why(monkeypatch, places, records):
    class Trap:
        def __reduce__(self):
            return (os.mkdir, (str(places / "sprung"),))

    (places / "cifar-10-batches-py").mkdir()
    for name in ("data_batch_1", "batches.meta"):
        (places / "cifar-10-batches-py" / name).write_bytes(pickle.dumps(Trap()))
    monkeypatch.setitem(files._DATASETS, "cifar10", cifar_spec(b""))
    message = error(data.load, "cifar10")
    assert str(places / "cifar-10-batches-py") in message and "pickle" in message
    assert str(places / "cifar-10-binary.tar.gz") in message
    assert not (places / "sprung").exists()


def test_the_module_imports_nothing_that_reads_pickles():
    trees = [ast.parse(path.read_text()) for path in Path(data.__file__).parent.glob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    imported = {name.name for node in nodes if isinstance(node, ast.Import) for name in node.names}
    imported |= {node.module for node in nodes if isinstance(node, ast.ImportFrom)}
    called = {ast.unparse(node.func) for node in nodes if isinstance(node, ast.Call)}
    assert len(trees) == 8
    assert not imported & {"pickle", "shelve", "marshal"} and not called & {"torch.load", "np.load"}


# ---- downloading: whole and checked, or not there at all ----


class Server:
    """Files by name, each under /good/, and spoiled in some way under another folder."""

    def __init__(self, files: dict[str, bytes]):
        self.files, self.asked, self.release, self.interrupted = files, [], threading.Event(), False
        self.before = lambda name: None
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                _, how, name = self.path.split("/")
                outer.asked.append((how, name))
                outer.before(name)
                with_body = outer.files.get(name)
                if how == "absent" or with_body is None:
                    return self.send_error(404)
                if how == "silent":
                    return outer.release.wait(10)
                body = {"wrong": packed(b"hello"), "html": b"<html>log in first</html>"}.get(how, with_body)
                half = len(body) // 2 if how in ("broken", "interrupted") else len(body)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body[:half])
                self.wfile.flush()
                if how == "interrupted" and not outer.interrupted:
                    outer.interrupted = True
                    signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
                    outer.release.wait(10)
                self.close_connection = True

            def log_message(self, *_):
                pass

        class Quiet(ThreadingHTTPServer):
            def handle_error(self, *_):  # a client that hangs up is what some tests are about
                pass

        self.http = Quiet(("127.0.0.1", 0), Handler)
        self.thread = threading.Thread(target=self.http.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self.thread.start()

    def mirrors(self, *how: str) -> tuple[str, ...]:
        return tuple(f"http://127.0.0.1:{self.http.server_port}/{h}/" for h in how)

    def close(self):
        self.release.set()
        self.http.shutdown()
        self.http.server_close()


@pytest.fixture
def server():
    server = Server({f"{name}.gz": packed(idx(a)) for name, a in zip(NAMES, arrays(), strict=True)})
    yield server
    server.close()


@pytest.fixture
def offered(monkeypatch, server):
    """Makes "tiny" a dataset that only a server has, in the states named."""

    def offer(*how: str, checked="file md5", **more):
        mirrors = server.mirrors(*how) if how else NOWHERE
        payloads = [idx(a) for a in arrays()]
        monkeypatch.setitem(files._DATASETS, "tiny", spec(payloads, checked=checked, mirrors=mirrors, **more))

    return offer


TINY = ["Tiny", "Tiny/raw", *sorted(f"Tiny/raw/{name}.gz" for name in NAMES)]


@pytest.mark.parametrize("checked", ["content sha256", "file md5"])
def test_a_dataset_that_is_nowhere_is_downloaded_once_into_aetutor_data(offered, server, places, checked):
    offered("good", checked=checked)
    assert data.where("tiny") is None
    first = data.load("tiny")
    assert (first.test[:, 0].numpy() == arrays()[2]).all()
    assert left(places) == TINY and data.where("tiny") == places
    server.asked.clear()
    data.load("tiny")
    assert server.asked == [] and socket.getdefaulttimeout() is None


def test_without_aetutor_data_it_is_downloaded_into_the_users_cache(offered, places, monkeypatch, tmp_path):
    monkeypatch.delenv("AETUTOR_DATA")
    offered("good")
    assert len(data.load("tiny").train) == 8
    assert left(tmp_path / "cache") == TINY and left(places) == []


def test_cifar10_is_downloaded_as_one_checked_archive(monkeypatch, server, places, records):
    payload = server.files["cifar-10-binary.tar.gz"] = cifar_archive(records)
    monkeypatch.setitem(files._DATASETS, "cifar10", cifar_spec(payload, server.mirrors("broken", "good")))
    assert len(data.load("cifar10").train) == 15
    assert left(places) == ["cifar-10-binary.tar.gz"]


def test_every_mirror_is_tried(offered, server, places):
    offered("absent", "wrong", "broken", "good")
    assert len(data.load("tiny").train) == 8
    assert left(places) == TINY


@pytest.mark.parametrize(
    ("how", "words"),
    [("absent", "404"), ("wrong", "what arrived starts with"), ("html", "not a sound gzip"), ("broken", "cut short")],
)
def test_a_failed_download_names_the_file_and_what_to_do_and_leaves_nothing(offered, places, how, words):
    offered(how)
    message = error(data.load, "tiny")
    assert words in message and left(places) == []
    assert str(places / "Tiny" / "raw" / f"{NAMES[0]}.gz") in message and f"/{how}/{NAMES[0]}.gz" in message
    assert f"put {', '.join(f'{n}.gz' for n in NAMES)} into {places / 'Tiny' / 'raw'}" in message
    assert "AETUTOR_DATA" in message and ".aetutor-" not in message


def test_a_download_that_fails_at_its_last_file_leaves_nothing(offered, server, places):
    del server.files[f"{NAMES[3]}.gz"]
    offered("good")
    assert NAMES[3] in error(data.load, "tiny") and left(places) == []


def test_no_network_is_one_clear_error_at_once(offered, places):
    offered()
    start = time.perf_counter()
    message = error(data.load, "tiny")
    assert time.perf_counter() - start < 5
    assert f"{NAMES[0]}.gz" in message and "check the network" in message and left(places) == []
    assert message.endswith("or set AETUTOR_DATA to a folder that holds Tiny/raw/ with them")


def test_a_server_that_never_answers_is_given_up(offered, places, monkeypatch):
    monkeypatch.setattr(data.places, "_TIMEOUT", 0.2)
    offered("silent")
    start = time.perf_counter()
    assert "timed out" in error(data.load, "tiny")
    assert time.perf_counter() - start < 3
    assert left(places) == [] and socket.getdefaulttimeout() is None


@pytest.mark.skipif(not hasattr(signal, "pthread_kill"), reason="Windows has no pthread_kill")
def test_a_download_that_the_reader_interrupts_leaves_nothing(offered, places):
    offered("interrupted")
    # A shell that starts the tests in the background has them ignore SIGINT, and Python then installs no handler.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            data.load("tiny")
    finally:
        signal.signal(signal.SIGINT, before)
    assert left(places) == [] and socket.getdefaulttimeout() is None


def test_a_full_disk_is_named_and_leaves_nothing(offered, places, monkeypatch):
    from torchvision import datasets

    def fill_up(url, root, filename):
        Path(root).mkdir(parents=True, exist_ok=True)
        (Path(root) / filename).write_bytes(b"half")
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(datasets.utils, "download_url", fill_up)
    offered("good")
    message = error(data.load, "tiny")
    assert "No space left" in message and str(places / "Tiny") in message and "AETUTOR_DATA" in message
    assert left(places) == []


def test_a_cache_that_cannot_be_written_is_named(offered, monkeypatch, tmp_path):
    monkeypatch.delenv("AETUTOR_DATA")
    (tmp_path / "file").touch()
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda *_: tmp_path / "file" / "cache")
    offered("good")
    assert "cannot be written" in error(data.load, "tiny")


def test_two_that_download_at_once_both_get_the_whole_dataset(offered, server, places):
    both_here, met = threading.Barrier(2), set()

    def wait_for_the_other(name):
        if threading.get_ident() not in met and name.startswith(NAMES[0]) and len(server.asked) <= 2:
            met.add(threading.get_ident())
            both_here.wait(10)

    server.before = wait_for_the_other
    offered("good")
    with ThreadPoolExecutor(2) as pool:
        first, second = pool.map(data.load, ["tiny", "tiny"])
    assert torch.equal(first.train, second.train)
    assert sum(name.startswith(NAMES[3]) for _, name in server.asked) > 2  # both did download
    assert left(places) == TINY and socket.getdefaulttimeout() is None


def test_what_a_killed_download_left_is_swept_up_a_day_later(offered, places):
    old, young = places / ".aetutor-old", places / ".aetutor-young"
    for folder in (old, young):
        folder.mkdir()
        (folder / "half").touch()
    os.utime(old, (time.time() - 100_000,) * 2)
    offered("good")
    data.load("tiny")
    assert not old.exists() and young.exists()


def test_if_the_courses_own_files_are_gone_the_error_says_how_to_restore_them(offered):
    offered(shipped=True)
    assert refusal(data.load, "tiny").mend == "git checkout -- data/Tiny"


def test_a_torchvision_that_cannot_be_imported_is_one_clear_error(offered, places, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "torchvision", None)
    offered("good")
    message = error(data.load, "tiny")
    assert "torchvision" in message and "together" in message and left(places) == []


# ---- keeping some classes ----


def test_keep_leaves_only_the_classes_named_and_their_order_and_numbers(tiny):
    whole = data.load("tiny")
    some = whole.keep([2, 0])
    mask = whole.train_labels != 1
    assert torch.equal(some.train, whole.train[mask]) and torch.equal(some.train_labels, whole.train_labels[mask])
    assert set(some.valid_labels.tolist()) == set(some.test_labels.tolist()) == {0, 2}
    assert some.classes == whole.classes and len(whole.train) == 8
    assert torch.equal(whole.keep(["two", "nought"]).train, some.train)
    assert torch.equal(whole.keep(torch.tensor([0, 2])).train, some.train)


def test_keep_of_mnist_splits_each_part_in_two(mnist):
    low, high = mnist.keep(range(5)), mnist.keep(range(5, 10))
    for part in ("train", "valid", "test"):
        assert len(getattr(low, part)) + len(getattr(high, part)) == len(getattr(mnist, part))


@pytest.mark.parametrize(
    ("classes", "words"),
    [([3], "no class 3"), ([-1], "no class -1"), (["three"], "no class 'three'"), ([1.5], "no class 1.5"),
     ([], "leaves no image in train"), (1, r"keep\(\[1\]\)"), ("one", r"keep\(\['one'\]\)")],
)  # fmt: skip
def test_keep_refuses_an_unknown_class_and_an_empty_result(tiny, classes, words):
    message = error(data.load("tiny").keep, classes)
    assert re.search(words, message)
    assert "no class" not in message or "0 nought, 1 one, 2 two" in message


def test_keep_refuses_a_class_that_one_part_lacks():
    images = np.zeros((10, 2, 2), np.uint8)
    own = data.from_arrays(images, images, np.arange(10) // 5, np.zeros(10, int), valid=0.4)
    assert "leaves no image in test" in error(own.keep, [1])
    assert "has no class 2" in error(own.keep, [2])


def test_keep_needs_labels():
    images = np.zeros((10, 2, 2), np.uint8)
    assert "needs labels" in error(data.from_arrays(images, images).keep, [0])
    message = error(data.from_arrays(images, images, train_labels=np.zeros(10, int)).keep, [0])
    assert message.endswith("none for test.")


# ---- a reader's own arrays ----


def pictures(count: int, *shape: int) -> np.ndarray:
    return np.random.default_rng(count).integers(0, 256, (count, *shape), np.uint8)


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy, np.ndarray.tolist], ids=["array", "tensor", "list"])
@pytest.mark.parametrize("shape", [(4, 3), (1, 4, 3), (3, 4, 5)])
def test_own_arrays_become_an_image_set(kind, shape):
    train, test = pictures(20, *shape), pictures(6, *shape)
    if kind is np.ndarray.tolist:  # a list of uint8 images, as a loop over files makes it
        own = data.from_arrays(list(train), list(test))
    else:
        own = data.from_arrays(kind(train), kind(test))
    channels = shape if len(shape) == 3 else (1, *shape)
    assert own.name == "own" and own.shape == channels and own.classes is None and own.train_labels is None
    assert (len(own.train), len(own.valid), len(own.test)) == (18, 2, 6)
    assert (own.test.numpy() == test.reshape(6, *channels)).all()
    together = torch.cat([own.train, own.valid]).flatten(1).tolist()
    assert sorted(together) == sorted(train.reshape(20, -1).tolist())  # every image once


def test_own_arrays_are_copied_whatever_their_memory_looks_like():
    for make in (lambda a: a, torch.from_numpy, lambda a: a[:, ::-1], np.asfortranarray):
        array = pictures(10, 4, 4)
        view = make(array)
        expected = np.array(view.tolist())
        own = data.from_arrays(view, view, np.arange(10), torch.arange(10))
        array[:] = 7
        assert (own.test[:, 0].numpy() == expected).all()
        assert (own.train[:, 0].numpy() == expected[own.train_labels]).all()
        assert own.train.is_contiguous() and own.test.is_contiguous()


def test_read_only_arrays_pass_without_a_warning(recwarn):
    array = pictures(10, 4, 4)
    array.flags.writeable = False
    data.from_arrays(array, array)
    assert not recwarn.list


def test_validation_images_come_from_all_over_train_and_order_is_kept():
    labels = np.repeat(np.arange(10), 50)  # sorted by class, as a reader's arrays often are
    own = data.from_arrays(pictures(500, 2, 2), pictures(5, 2, 2), labels, valid=0.2)
    assert len(own.valid) == 100 and len(own.valid_labels.unique()) == 10
    assert (own.train_labels.diff() >= 0).all() and (own.valid_labels.diff() >= 0).all()


def test_the_validation_images_are_the_same_on_every_machine_and_for_every_seed(monkeypatch):
    def valid():
        return data.from_arrays(pictures(10, 2, 2), pictures(2, 2, 2), range(10), valid=0.3).valid_labels.tolist()

    expected = sorted(np.random.RandomState(0).permutation(10)[:3].tolist())
    for seed in ("0", "1"):
        monkeypatch.setenv("AETUTOR_SEED", seed)
        torch.manual_seed(int(seed))
        np.random.seed(int(seed))  # noqa: NPY002
        assert valid() == expected == [2, 4, 8]


@pytest.mark.parametrize(("count", "valid", "held_out"), [(2, 0.1, 1), (2, 0.9, 1), (3, 0.999, 2), (1000, 1e-9, 1)])
def test_every_part_gets_at_least_one_image(count, valid, held_out):
    own = data.from_arrays(pictures(count, 2, 2), pictures(1, 2, 2), valid=valid)
    assert (len(own.train), len(own.valid)) == (count - held_out, held_out)


def test_labels_follow_their_images_and_may_be_given_for_one_part_alone():
    train, test = pictures(10, 2, 2), pictures(4, 2, 2)
    own = data.from_arrays(train, test, train_labels=np.arange(10, dtype=np.uint8))
    assert (own.train[:, 0].numpy() == train[own.train_labels]).all()
    assert (own.valid[:, 0].numpy() == train[own.valid_labels]).all()
    assert own.test_labels is None and own.train_labels.dtype == torch.int64
    own = data.from_arrays(train, test, test_labels=[0, 1, 2, 3])
    assert own.train_labels is own.valid_labels is None and own.test_labels.tolist() == [0, 1, 2, 3]


GOOD = pictures(10, 4, 4)
BAD_IMAGES = {
    "found float32 from 0 to 1, expected uint8 from 0 to 255: multiply by 255, round": np.eye(4, dtype=np.float32)[
        None
    ],
    "found float64 from -3 to 200, expected uint8 from 0 to 255: bring it to": np.array([[[-3.0, 200.0]]]),
    "found float32 from 0 to 0.5, expected uint8": torch.tensor([[[0, 0.5]]]),
    "found bfloat16 from 1 to 1": torch.ones(2, 2, 2, dtype=torch.bfloat16),
    "found int64 from 0 to 300": np.array([[[0, 300]]]),
    "found uint16 from 0 to 300": torch.tensor([[[0, 300]]]).to(torch.uint16),
    "found bool from 0 to 1, expected uint8 from 0 to 255: multiply by 255": GOOD > 9,
    "found bool from 1 to 1": torch.ones(2, 2, 2, dtype=torch.bool),
    "found None": None,
    "found ndarray of object": np.array([GOOD[0], GOOD[0, :2]], dtype=object),
    "found Tensor of complex64": torch.ones(2, 2, 2, dtype=torch.complex64),
    "found str of": "pictures/",
    "does not make one array": [GOOD[0], GOOD[0, :2]],
    "masked array": np.ma.masked_array(GOOD, GOOD > 9),
    "(4, 4), expected (N, H, W) or (N, C, H, W); if it is one image, use x[None]": GOOD[0],
    "(160,), expected": GOOD.reshape(-1),
    "(1, 10, 1, 4, 4), expected": GOOD[None, :, None],
    "is empty: its shape is (0, 4, 4)": GOOD[:0],
    "is empty: its shape is (10, 4, 0)": GOOD[:, :, :0],
    "x.transpose(0, 3, 1, 2)": pictures(5, 8, 8, 3),
    "channels last": pictures(5, 8, 8, 1),
    "x.permute(0, 3, 1, 2)": torch.zeros(5, 8, 8, 4, dtype=torch.uint8),
}


@pytest.mark.parametrize("kind", [np.asarray, torch.from_numpy])
def test_images_of_0_and_1_alone_which_would_be_all_but_black_are_refused(kind):
    ones = (GOOD > 99).astype(np.uint8)
    for arrays in [(kind(ones), GOOD), (GOOD, kind(ones))]:
        assert "holds only 0 and 1, expected intensities from 0 to 255: multiply by 255" in error(
            data.from_arrays, *arrays
        )
    assert data.from_arrays(ones * 255, ones * 0).test.max() == 0  # black is black


@pytest.mark.parametrize("words", BAD_IMAGES)
def test_images_of_the_wrong_kind_are_refused_with_what_was_found_and_how_to_convert(words):
    for name, message in (
        ("train", error(data.from_arrays, BAD_IMAGES[words], GOOD)),
        ("test", error(data.from_arrays, GOOD, BAD_IMAGES[words])),
    ):
        assert words in message and message.startswith(name)


BAD_LABELS = {
    "holds 9 labels, but {} 10 images": np.arange(9),
    "found float64, expected whole numbers": np.arange(10.0),
    "found bool": np.arange(10) > 3,
    "found Tensor of complex64": torch.ones(10, dtype=torch.complex64),
    "found list of <U1": list("abcdefghij"),
    "labels from -1 to 8": np.arange(10) - 1,
    "(10, 1), expected (N,)": np.arange(10)[:, None],
    "one-hot": np.eye(10, dtype=int),
    "masked": np.ma.masked_array(np.arange(10), np.arange(10) > 3),
    "does not make one array": [[1], [1, 2]],
}


@pytest.mark.parametrize("words", BAD_LABELS)
def test_labels_that_do_not_fit_are_refused(words):
    for name in ("train", "test"):
        message = error(data.from_arrays, GOOD, GOOD, **{f"{name}_labels": BAD_LABELS[words]})
        assert words.format(name) in message and message.startswith(f"{name}_labels")


def test_train_and_test_must_share_size_and_channels():
    message = error(data.from_arrays, GOOD, pictures(3, 3, 4, 4))
    assert "3×4×4" in message and "1×4×4" in message


@pytest.mark.parametrize("valid", [0, 1, -0.1, 1.5, float("nan"), "0.1", None, True])
def test_valid_must_be_a_share(valid):
    assert "above 0 and below 1" in error(data.from_arrays, GOOD, GOOD, valid=valid)


def test_an_array_given_as_the_share_is_named_and_not_printed():
    assert error(data.from_arrays, GOOD, GOOD, valid=np.zeros((9, 9))).endswith("; found ndarray.")


def test_one_image_cannot_be_split():
    assert "train has 1 image" in error(data.from_arrays, GOOD[:1], GOOD)


def test_an_image_set_cannot_be_changed_in_place_nor_made_of_parts_that_do_not_fit(tiny):
    found = data.load("tiny")
    with pytest.raises(dataclasses.FrozenInstanceError):
        found.train = found.test
    assert "valid_labels holds 4 labels, but valid 3" in error(dataclasses.replace, found, valid=found.valid[:3])
    assert "found float32" in error(dataclasses.replace, found, train=found.train / 255)
    assert "found list" in error(dataclasses.replace, found, train_labels=[0] * 8)
    assert "labels from 0 to 2, expected 0 to 1" in error(dataclasses.replace, found, classes=("a", "b"))
