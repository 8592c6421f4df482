"""Downloads from a server of the test's own on 127.0.0.1."""

import hashlib
import io
import random
import shutil
import stat
import tarfile
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from camloc.core.errors import UserError
from camloc.data.sources.download import fetch, unpack_tar, unpack_zip
from made import serving

PAYLOAD = random.Random(0).randbytes(3_500_000)  # several chunks of 1 MiB
MD5 = hashlib.md5(PAYLOAD).hexdigest()


class Server(ThreadingHTTPServer):
    """Serves PAYLOAD; `with_ranges` is whether it knows Range, `cut` after how many bytes it hangs
    up, and `ranges` collects what was asked for, a line a request."""

    def __init__(self, with_ranges: bool):
        super().__init__(("127.0.0.1", 0), Handler)
        self.with_ranges, self.cut, self.ranges = with_ranges, None, []
        self.url = f"http://127.0.0.1:{self.server_port}/data.bin"


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        if not self.server.with_ranges:
            start = 0
        if start >= len(PAYLOAD):
            self.send_error(416)
            return
        body = PAYLOAD[start:]
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body[: self.server.cut])

    def log_message(self, *args):
        pass


@pytest.fixture(params=[True, False], ids=["ranges", "no ranges"])
def server(request):
    with serving(Server(request.param)) as server:
        yield server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "raw" / "data.bin"


def part_of(path):
    path.parent.mkdir(exist_ok=True)
    return path.with_name("data.bin.part")


def test_file_takes_its_name_and_leaves_no_part(server, path):
    fetch(server.url, path, md5=MD5, size=len(PAYLOAD))
    assert path.read_bytes() == PAYLOAD
    assert [file.name for file in path.parent.iterdir()] == ["data.bin"]


def test_file_with_the_right_checksum_is_not_downloaded_again(server, path):
    fetch(server.url, path, md5=MD5)
    fetch(server.url, path, md5=MD5)
    assert len(server.ranges) == 1


def test_file_with_a_wrong_checksum_is_refused_and_left_alone(server, path):
    path.parent.mkdir()
    path.write_bytes(b"mine")
    with pytest.raises(UserError, match=r"data\.bin has the MD5 checksum .* delete it"):
        fetch(server.url, path, md5=MD5)
    assert path.read_bytes() == b"mine"
    assert server.ranges == []


def test_part_is_continued_where_the_server_can(server, path):
    part_of(path).write_bytes(PAYLOAD[:1000])
    fetch(server.url, path, md5=MD5)
    assert path.read_bytes() == PAYLOAD  # without ranges: all of it once more, not 1000 bytes extra
    assert server.ranges == ["bytes=1000-"]


def test_broken_connection_keeps_the_part_for_the_next_run(server, path):
    server.cut = 3_000_000
    with pytest.raises(UserError, match="run again to continue"):
        fetch(server.url, path, md5=MD5)
    assert part_of(path).read_bytes() == PAYLOAD[: 2 << 20]  # the whole chunks that came
    server.cut = None
    fetch(server.url, path, md5=MD5)
    assert path.read_bytes() == PAYLOAD
    assert server.ranges == [None, f"bytes={2 << 20}-"]


def test_whole_part_needs_no_download_where_the_size_is_known(server, path):
    part_of(path).write_bytes(PAYLOAD)
    fetch(server.url, path, md5=MD5, size=len(PAYLOAD))
    assert path.read_bytes() == PAYLOAD
    assert server.ranges == []


def test_whole_part_is_recognised_without_its_size(server, path):
    part_of(path).write_bytes(PAYLOAD)
    fetch(server.url, path, md5=MD5)
    assert path.read_bytes() == PAYLOAD


def test_wrong_checksum_names_url_and_file_and_removes_the_part(server, path):
    with pytest.raises(UserError) as error:
        fetch(server.url, path, md5="0" * 32)
    assert server.url in str(error.value)
    assert str(path) in str(error.value)
    assert MD5 in str(error.value)
    assert list(path.parent.iterdir()) == []


def test_no_network_says_what_to_fetch_by_hand_and_where_to_put_it(path):
    with Server(True) as server:
        url = server.url
    with pytest.raises(UserError, match="by hand") as error:
        fetch(url, path, md5=MD5)
    assert url in str(error.value)
    assert f"put it at {path}" in str(error.value)


def test_refusal_by_the_server_is_told(server, path, monkeypatch):
    monkeypatch.setattr(Handler, "do_GET", lambda handler: handler.send_error(404))
    with pytest.raises(UserError, match="404"):
        fetch(server.url, path, md5=MD5)


def zip_of(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in members:
            archive.writestr(name, text)
    return path


def test_zip_is_unpacked_as_the_folder(tmp_path):
    archive = zip_of(tmp_path / "a.zip", [("top/a.txt", "one"), ("top/deep/b.txt", "two")])
    unpack_zip(archive, tmp_path / "out")
    assert (tmp_path / "out/top/a.txt").read_text() == "one"
    assert (tmp_path / "out/top/deep/b.txt").read_text() == "two"


def link(name):
    member = zipfile.ZipInfo(name)
    member.external_attr = (stat.S_IFLNK | 0o777) << 16
    return member


@pytest.mark.parametrize(
    "member",
    ["/etc/passwd", "../up.txt", "a/../../up.txt", "..\\up.txt", "C:\\up.txt", link("a/link")],
    ids=str,
)
def test_member_that_would_leave_the_folder_is_refused_before_anything_is_written(tmp_path, member):
    archive = zip_of(tmp_path / "a.zip", [("good.txt", "good"), (member, "/etc")])
    with pytest.raises(UserError, match="nothing was unpacked"):
        unpack_zip(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_damaged_zip_leaves_no_folder(tmp_path):
    archive = zip_of(tmp_path / "a.zip", [("a.txt", "x" * 1000), ("b.bin", bytes(range(256)) * 9)])
    data = bytearray(archive.read_bytes())
    data[100] ^= 0xFF
    archive.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.zip is damaged"):
        unpack_zip(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


LOCAL, CENTRAL = b"PK\3\4", b"PK\1\2"  # how a member's two headers start
SPOILT = {
    "unknown compression": [(LOCAL, 8, b"\x63"), (CENTRAL, 10, b"\x63")],  # NotImplementedError
    "encrypted": [(LOCAL, 6, b"\1"), (CENTRAL, 8, b"\1")],  # RuntimeError
    "name of no UTF-8": [(CENTRAL, 8, b"\0\x08"), (CENTRAL, 46, b"\xe9")],  # UnicodeDecodeError
}


@pytest.mark.parametrize("spoilt", SPOILT)
def test_whatever_the_parser_of_zip_raises_names_the_file(tmp_path, spoilt):
    archive = zip_of(tmp_path / "a.zip", [("a.txt", "x" * 1000)])
    data = bytearray(archive.read_bytes())
    for header, offset, value in SPOILT[spoilt]:
        place = data.index(header) + offset
        data[place : place + len(value)] = value
    archive.write_bytes(data)
    with pytest.raises(UserError, match=r"a\.zip is damaged or truncated .*; fetch it again"):
        unpack_zip(archive, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.zip"]


def test_full_disk_is_not_taken_for_a_damaged_archive(tmp_path, monkeypatch):
    def full(source, file):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(shutil, "copyfileobj", full)
    told = r"^cannot unpack .* into .*out .*No space left on device.*; give room or rights"
    with pytest.raises(UserError, match=told):
        unpack_zip(zip_of(tmp_path / "a.zip", [("a.txt", "one")]), tmp_path / "out")
    with pytest.raises(UserError, match=told):
        unpack_tar([tar_of(tmp_path / "a.tgz", [("a.txt", "one")])], tmp_path / "out")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tgz", "a.zip"]


def test_what_is_no_zip_is_refused(tmp_path):
    (tmp_path / "a.zip").write_bytes(b"<html>log in</html>")
    with pytest.raises(UserError, match=r"a\.zip is damaged or truncated .*not a zip file"):
        unpack_zip(tmp_path / "a.zip", tmp_path / "out")
    with pytest.raises(UserError, match=r"b\.zip is missing"):
        unpack_zip(tmp_path / "b.zip", tmp_path / "out")


def tar_of(path, members):
    with tarfile.open(path, "w:gz") as archive:
        for name, text in members:
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
    return path


def test_tars_are_unpacked_side_by_side_as_the_folder(tmp_path):
    first = tar_of(tmp_path / "a.tgz", [("top/a.txt", "one"), ("top/deep/b.txt", "two")])
    second = tar_of(tmp_path / "b.tgz", [("other/c.txt", "three")])
    unpack_tar([first, second], tmp_path / "out")
    found = sorted((tmp_path / "out").rglob("*.txt"))
    assert [path.read_text() for path in found] == ["three", "one", "two"]


@pytest.mark.parametrize("name", ["/etc/passwd", "../up.txt", "a/../../up.txt", "C:\\up.txt"])
def test_member_of_a_tar_that_would_leave_the_folder_is_refused(tmp_path, name):
    archive = tar_of(tmp_path / "a.tgz", [("good.txt", "good"), (name, "bad")])
    with pytest.raises(UserError, match="nothing was unpacked"):
        unpack_tar([archive], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tgz"]


@pytest.mark.parametrize("kind", [tarfile.SYMTYPE, tarfile.LNKTYPE, tarfile.FIFOTYPE])
def test_link_or_device_in_a_tar_is_refused(tmp_path, kind):
    member = tarfile.TarInfo("link")
    member.type, member.linkname = kind, "good.txt"
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(member)
    with pytest.raises(UserError, match=r"'link', .*nothing was unpacked"):
        unpack_tar([tmp_path / "a.tar"], tmp_path / "out")


def test_sparse_member_of_a_tar_is_refused(tmp_path):
    member = tarfile.TarInfo("a.bin")
    about = {"major": "1", "minor": "0", "name": "a.bin", "realsize": str(2**60)}
    member.pax_headers = {f"GNU.sparse.{key}": value for key, value in about.items()}
    member.size = 512
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        archive.addfile(member, io.BytesIO(b"1\n0\n0\n".ljust(512, b"\0")))
    with pytest.raises(UserError, match=r"'a\.bin', .*nothing was unpacked"):
        unpack_tar([tmp_path / "a.tar"], tmp_path / "out")


def headers(*sizes):
    """A tar of nothing but headers of files that claim these sizes, and its end."""
    members = [tarfile.TarInfo(f"{number}.txt") for number in range(len(sizes))]
    for member, size in zip(members, sizes, strict=True):
        member.size = size
    return b"".join(m.tobuf(tarfile.GNU_FORMAT) for m in members) + bytes(10_240)


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (headers(0, -512), "'1.txt' has -512 bytes"),  # the next header is its own
        (headers(0, 0)[:512] + b"spoilt" + headers(0, 0)[518:], "not end after its last"),
        (bytes(1 << 20), "not end after its last"),
        (headers(2**62), ""),
    ],
    ids=["negative size", "spoilt header", "zeros", "endless file"],
)
def test_damaged_tar_is_not_taken_for_a_shorter_one(tmp_path, content, why):
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(UserError, match=rf"a\.tar is damaged or truncated .*{why}.*fetch it again"):
        unpack_tar([tmp_path / "a.tar"], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["a.tar"]


def test_damaged_tar_leaves_nothing_of_those_before_it(tmp_path):
    good = tar_of(tmp_path / "a.tgz", [("a.txt", "one")])
    bad = tar_of(tmp_path / "b.tgz", [("b.bin", random.Random(0).randbytes(9000).hex())])
    whole = bad.read_bytes()
    for data in (whole[:5000], b"<html>log in</html>", b""):
        bad.write_bytes(data)
        with pytest.raises(UserError, match=r"b\.tgz is damaged or truncated"):
            unpack_tar([good, bad], tmp_path / "out")
        assert sorted(path.name for path in tmp_path.iterdir()) == ["a.tgz", "b.tgz"]
    with pytest.raises(UserError, match=r"c\.tgz is missing"):
        unpack_tar([good, tmp_path / "c.tgz"], tmp_path / "out")
