"""Published archives from a server of the test's own on 127.0.0.1, and what they unpack to."""

import functools
import hashlib
import io
import random
import tarfile
import zipfile
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest

from camloc.core.errors import UserError
from camloc.data.sources.download import fetch, unpack
from made import serving

PAYLOAD = random.Random(0).randbytes(300_000)
MD5 = hashlib.md5(PAYLOAD).hexdigest()


class Handler(SimpleHTTPRequestHandler):
    def do_GET(self):
        self.server.asked.append(self.path)
        super().do_GET()

    def copyfile(self, source, outputfile):
        outputfile.write(source.read()[: self.server.cut])

    def log_message(self, *args):
        pass


@pytest.fixture
def server(tmp_path, monkeypatch):
    """Serves PAYLOAD as `url`; `cut` is after how many bytes it hangs up."""
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    (tmp_path / "served").mkdir()
    (tmp_path / "served" / "data.bin").write_bytes(PAYLOAD)
    handler = functools.partial(Handler, directory=tmp_path / "served")
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.cut, server.asked = None, []
    server.url = f"http://127.0.0.1:{server.server_port}/data.bin"
    with serving(server):
        yield server


@pytest.fixture
def path(tmp_path):
    return tmp_path / "raw" / "data.bin"


def test_file_is_downloaded_once_under_its_name_alone(server, path):
    for _ in range(2):
        fetch(server.url, path, MD5)
    assert path.read_bytes() == PAYLOAD
    assert list(path.parent.iterdir()) == [path]
    assert server.asked == ["/data.bin"]


def test_file_with_a_wrong_checksum_is_refused_and_left_alone(server, path):
    path.parent.mkdir()
    path.write_bytes(b"mine")
    with pytest.raises(UserError, match=rf"{path} has the MD5 checksum .*, not {MD5}; delete it"):
        fetch(server.url, path, MD5)
    assert path.read_bytes() == b"mine" and server.asked == []


def test_download_with_a_wrong_checksum_names_url_and_file_and_leaves_none(server, path):
    told = rf"^what {server.url} sent for {path} has the MD5 checksum {MD5}, not 0+; run again"
    with pytest.raises(UserError, match=told):
        fetch(server.url, path, "0" * 32)
    assert list(path.parent.iterdir()) == []


def test_broken_connection_leaves_no_file_and_is_made_good_by_another_run(server, path):
    server.cut = 200_000
    with pytest.raises(UserError, match="run again"):
        fetch(server.url, path, MD5)
    assert list(path.parent.iterdir()) == []
    server.cut = None
    fetch(server.url, path, MD5)
    assert path.read_bytes() == PAYLOAD


@pytest.mark.parametrize("url", ["http://127.0.0.1:9/data.bin", "{server}/none.bin"])
def test_failed_download_says_what_to_fetch_by_hand_and_where_to_put_it(server, path, url):
    url = url.format(server=server.url.removesuffix("/data.bin"))
    with pytest.raises(UserError) as error:
        fetch(url, path, MD5)
    assert f"{url} could not be downloaded (" in str(error.value)
    assert f"(`curl -fLO {url}`) and put it at {path}" in str(error.value)


def write(path, members):
    """A zip or a tar of texts by name, or of ready-made members."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
            for name, text in members.items():
                archive.writestr(name, text)
        return path
    with tarfile.open(path, "w:gz") as archive:
        for name, text in members.items():
            member = text if isinstance(text, tarfile.TarInfo) else tarfile.TarInfo(name)
            content = text.encode() if isinstance(text, str) else b""
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def tree(folder):
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file()}


def test_archives_are_unpacked_side_by_side_as_the_folder(tmp_path):
    first = write(tmp_path / "a.zip", {"top/a.txt": "one", "top/deep/b.txt": "two"})
    second = write(tmp_path / "b.tgz", {"other/c.txt": "three"})
    unpack([first, second], tmp_path / "out")
    assert tree(tmp_path / "out") == {
        "top/a.txt": "one",
        "top/deep/b.txt": "two",
        "other/c.txt": "three",
    }


@pytest.mark.parametrize("name", ["b.zip", "b.tgz"])
@pytest.mark.parametrize("content", [b"", b"<html>log in</html>", None])
def test_damaged_archive_is_named_and_leaves_nothing_of_those_before_it(tmp_path, name, content):
    good = write(tmp_path / "a.tgz", {"a.txt": "one"})
    bad = write(tmp_path / name, {"b.bin": random.Random(0).randbytes(9000).hex()})
    bad.write_bytes(bad.read_bytes()[:5000] if content is None else content)
    with pytest.raises(UserError, match=rf"^{bad} is damaged or truncated \(.*\); fetch it again"):
        unpack([good, bad], tmp_path / "out")
    assert sorted(tmp_path.iterdir()) == sorted([good, bad])
