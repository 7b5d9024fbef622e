import hashlib
import http.server
import threading
import zipfile
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from manifests import fetch, registry, weights
from manifests.errors import DataError, Missing, UsageError

CONTENT = bytes(range(256)) * 800
SIZE = len(CONTENT)
SHA = hashlib.sha256(CONTENT).hexdigest()


class Notes:
    """A Progress that remembers."""

    def __init__(self):
        self.said = []
        self.done = []

    def say(self, text):
        self.said.append(text)

    def advance(self, name, done, total):
        self.done.append((name, done, total))


@pytest.fixture
def notes():
    return Notes()


@pytest.fixture
def register(tmp_path, monkeypatch):
    """Replace the registry by one entry `toy`, with an empty cache of its own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HQVOX_WEIGHTS", raising=False)

    def write(source, sha256=SHA, size=SIZE, prefix=""):
        known = f'sha256 = "{sha256}"\n' * bool(sha256) + f"bytes = {size}\n" * bool(size)
        known += f'sha256_prefix = "{prefix}"\n' * bool(prefix)
        file = tmp_path / "weights.toml"
        file.write_text(
            f'[toy]\nused_by = "tests"\n{known}licence = "MIT"\nrestriction = "research"\ninput = "none"\n'
            f'normalisation = "none"\nsources = [{source}]\n'
        )
        monkeypatch.setattr(registry, "REGISTRY", file)
        weights.entries.cache_clear()
        return weights.cache_folder() / "toy.bin"

    yield write
    weights.entries.cache_clear()


@dataclass
class Web:
    """A loopback server: what it was asked, and the address it answers at."""

    address: str
    ranges: list[str | None] = field(default_factory=list)

    def source(self, path):
        return f'{{ kind = "https", url = "{self.address}/{path}/toy.bin" }}'


@pytest.fixture
def web():
    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            behaviour = self.path.split("/")[1]
            wanted = self.headers.get("Range")
            served.ranges.append(wanted)
            if behaviour == "moved":
                self.answer(302, {"Location": "/whole/toy.bin"}, b"")
            elif behaviour == "away":
                self.answer(302, {"Location": "http://weights.invalid/toy.bin"}, b"")
            elif behaviour == "circle":
                self.answer(302, {"Location": "/circle/toy.bin"}, b"")
            elif behaviour == "gone":
                self.answer(404, {}, b"")
            elif behaviour == "huge":
                self.answer(200, {"Content-Length": str(10**12)}, b"")
            elif behaviour == "flood":
                self.answer(200, {"Content-Length": None}, CONTENT * 3)
            elif behaviour == "other":
                self.answer(200, {}, CONTENT[::-1])
            elif behaviour == "short":
                self.answer(200, {"Content-Length": str(len(CONTENT))}, CONTENT[:150_000])
            elif wanted and behaviour != "deaf":
                start = int(wanted.removeprefix("bytes=").rstrip("-"))
                where = f"bytes {start}-{len(CONTENT) - 1}/{len(CONTENT)}"
                self.answer(206, {"Content-Range": where}, CONTENT[start:])
            else:
                self.answer(200, {}, CONTENT)

        def answer(self, status, headers, body):
            self.send_response(status)
            for name, value in ({"Content-Length": str(len(body))} | headers).items():
                if value is not None:
                    self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    served = Web(f"http://127.0.0.1:{server.server_port}")
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield served
    server.shutdown()
    thread.join()
    server.server_close()


def test_the_shipped_registry_says_everything_of_every_file():
    names = [entry.name for entry in weights.entries()]
    assert len(names) == len(set(names)) >= 8
    for entry in weights.entries():
        texts = (entry.used_by, entry.licence, entry.restriction, entry.input, entry.normalisation)
        assert all(texts), entry.name
        assert (entry.sha256 is None) == (entry.bytes is None), entry.name
        assert entry.sha256 is None or len(entry.sha256) == 64
        assert all(source.url.startswith("https://") for source in entry.sources if isinstance(source, registry.Https))


def test_files_of_the_dependency_are_found_and_verified_without_importing_it():
    for name in ("dlib-68", "dlib-5", "dlib-face", "dlib-mmod"):
        assert weights.verify(name).state == "verified"
        assert weights.path(name).stat().st_size == weights.entry(name).bytes


def test_an_unknown_name_lists_the_valid_ones():
    with pytest.raises(UsageError, match=r"'dlib68'.*valid names: dlib-68"):
        weights.path("dlib68")


def test_an_unknown_key_or_an_unsafe_name_in_the_registry_is_an_error(register):
    register('{ kind = "local", path = "x/toy.bin", surprise = 1 }')
    with pytest.raises(TypeError, match="surprise"):
        weights.entries()
    file = registry.REGISTRY
    file.write_text(file.read_text().replace("[toy]", '["../toy"]').replace(", surprise = 1", ""))
    with pytest.raises(ValueError, match="no name for an entry"):
        weights.entries()


def test_a_missing_file_names_the_command_that_fetches_it(register, web, notes):
    register(web.source("whole"))
    with pytest.raises(Missing, match=r"pipeline weights fetch toy$"):
        weights.path("toy")
    with pytest.raises(Missing, match=r"pipeline weights fetch toy$"):
        weights.ensure(["toy"], notes)
    assert weights.verify("toy").state == "missing"
    assert web.ranges == []  # neither of them touched the network


def test_a_download_is_verified_kept_and_introduced_once(register, web, notes):
    target = register(web.source("whole"))
    assert weights.fetch("toy", notes) == target == weights.path("toy")
    assert target.read_bytes() == CONTENT
    assert notes.said == ["toy: licence: MIT; restriction: research"]
    assert notes.done[-1] == ("toy", len(CONTENT), len(CONTENT))
    weights.fetch("toy", notes)
    weights.ensure(["toy"], notes)
    assert len(notes.said) == len(web.ranges) == 1
    assert sorted(p.name for p in target.parent.iterdir()) == ["toy.bin", "toy.sha256"]


def test_an_interrupted_download_continues_where_it_ended(register, web, notes):
    target = register(web.source("short"))
    with pytest.raises(Missing, match="pipeline weights fetch toy"):
        weights.fetch("toy", notes)
    assert not target.exists()
    part = target.with_name("toy.bin.part").read_bytes()
    assert len(part) > 100_000 and CONTENT.startswith(part)
    register(web.source("whole"))
    assert weights.fetch("toy", notes).read_bytes() == CONTENT
    assert web.ranges == [None, f"bytes={len(part)}-"]


def test_a_server_that_ignores_ranges_is_read_from_the_start(register, web, notes):
    target = register(web.source("deaf"))
    target.parent.mkdir(parents=True)
    target.with_name("toy.bin.part").write_bytes(b"an old try")
    assert weights.fetch("toy", notes).read_bytes() == CONTENT


def test_what_is_left_of_another_version_is_not_glued_to_this_one(register, web, notes):
    target = register(web.source("whole"))
    target.parent.mkdir(parents=True)
    target.with_name("toy.bin.part").write_bytes(b"another version")
    with pytest.raises(Missing, match="what came was deleted"):
        weights.fetch("toy", notes)
    assert weights.fetch("toy", notes).read_bytes() == CONTENT


def test_a_redirect_is_followed_but_never_off_https(register, web, notes):
    register(web.source("moved"))
    assert weights.fetch("toy", notes).read_bytes() == CONTENT
    weights.path("toy").unlink()
    register(web.source("away"))
    with pytest.raises(Missing, match=r"refused http://weights\.invalid/toy\.bin: weights are fetched over https only"):
        weights.fetch("toy", notes)
    register(web.source("circle"))
    with pytest.raises(Missing, match="more than 5 redirects"):
        weights.fetch("toy", notes)


def test_plain_http_is_refused(register, notes):
    register('{ kind = "https", url = "http://weights.invalid/toy.bin" }')
    with pytest.raises(Missing, match="over https only"):
        weights.fetch("toy", notes)


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ("gone", "the server answers 404"),
        ("huge", f"1000000000000 bytes are announced; at most {len(CONTENT)} are expected"),
        ("flood", f"more than the {len(CONTENT)} bytes expected"),
        ("other", f"registered is {SHA}; what came was deleted"),
        ("short", "IncompleteRead|ended after"),
    ],
)
def test_a_bad_answer_leaves_no_file_and_says_what_to_do(register, web, notes, behaviour, words):
    target = register(web.source(behaviour))
    with pytest.raises(Missing, match=words) as caught:
        weights.fetch("toy", notes)
    assert str(caught.value).endswith("Or try again: pipeline weights fetch toy")
    assert "Put toy.bin into a folder DIR and run: HQVOX_WEIGHTS=DIR pipeline weights verify" in str(caught.value)
    assert not target.exists()


def test_the_next_source_is_tried_when_one_fails(register, web, notes):
    register(f"{web.source('gone')}, {web.source('whole')}")
    assert weights.fetch("toy", notes).read_bytes() == CONTENT


def test_a_hash_that_is_not_registered_is_trusted_once_and_held_to(register, web, notes):
    target = register(web.source("whole"), sha256=None, size=None)
    weights.fetch("toy", notes)
    assert f"toy: no hash is registered; sha256 {SHA} is trusted from now on" in notes.said
    assert weights.verify("toy").state == "trusted on first use"
    assert weights.digest("toy") == SHA
    target.write_bytes(b"changed")
    with pytest.raises(
        DataError,
        match=f"recorded at first use in .*toy.sha256 is {SHA}; remove that file, then: pipeline weights fetch toy",
    ):
        weights.path("toy")
    assert weights.verify("toy").state == "broken"
    target.unlink()
    register(web.source("other"), sha256=None, size=None)
    with pytest.raises(Missing, match="recorded at first use"):
        weights.fetch("toy", notes)


def test_a_published_prefix_is_checked_even_at_first_use(register, web, notes):
    register(web.source("other"), sha256=None, size=None, prefix=SHA[:10])
    with pytest.raises(Missing, match=f"it begins {SHA[:10]}"):
        weights.fetch("toy", notes)
    register(web.source("whole"), sha256=None, size=None, prefix=SHA[:10])
    assert weights.fetch("toy", notes).read_bytes() == CONTENT


def test_an_offline_folder_is_looked_in_first_and_held_to_the_same_hash(register, tmp_path, monkeypatch, notes):
    register('{ kind = "https", url = "https://weights.invalid/toy.bin" }')
    folder = tmp_path / "lab"
    monkeypatch.setenv("HQVOX_WEIGHTS", str(folder))
    with pytest.raises(UsageError, match="is no folder"):
        weights.path("toy")
    folder.mkdir()
    with pytest.raises(UsageError, match=r"holds none of the registered files \(toy\.bin\)"):
        weights.path("toy")
    (folder / "toy.bin").write_bytes(CONTENT)
    assert weights.path("toy") == folder / "toy.bin"
    weights.ensure(["toy"], notes)
    assert notes.said == ["toy: licence: MIT; restriction: research"]
    (folder / "toy.bin").write_bytes(CONTENT + b"x")
    with pytest.raises(DataError, match=f"{folder}/toy.bin is not toy.*registered is {SHA}"):
        weights.path("toy")


def _wheel(folder: Path, member: str) -> str:
    folder.mkdir()
    info = "hqvox_toy-1.0.dist-info"
    with zipfile.ZipFile(folder / "hqvox_toy-1.0-py3-none-any.whl", "w") as archive:
        archive.writestr(member, CONTENT)
        archive.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: hqvox-toy\nVersion: 1.0\n")
        archive.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{info}/RECORD", "")
    return '{ kind = "wheel", distribution = "hqvox-toy", version = "1.0", member = "toy/toy.bin" }'


def test_a_wheel_member_is_fetched_on_demand_and_nothing_is_installed(register, tmp_path, monkeypatch, notes):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    register(_wheel(tmp_path / "index", "toy/toy.bin"))
    weights.ensure(["toy"], notes)
    assert weights.path("toy").read_bytes() == CONTENT
    assert notes.said == ["toy: licence: MIT; restriction: research"]
    assert weights._installed(registry.Installed("hqvox-toy", "1.0", "toy/toy.bin")) == []


@pytest.mark.parametrize(
    ("member", "size", "words"),
    [("toy/else.bin", len(CONTENT), "holds no toy/toy.bin"), ("toy/toy.bin", 10, "at most 10 are expected")],
)
def test_a_wheel_without_the_member_or_with_a_larger_one_is_refused(
    register, tmp_path, monkeypatch, notes, member, size, words
):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(tmp_path / "index"))
    register(_wheel(tmp_path / "index", member), size=size)
    with pytest.raises(Missing, match=words):
        weights.ensure(["toy"], notes)


def test_a_wheel_that_the_index_does_not_have_says_what_pip_said(register, monkeypatch, notes):
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    register('{ kind = "wheel", distribution = "hqvox-toy", version = "1.0", member = "toy/toy.bin" }')
    with pytest.raises(Missing, match=r"pip download failed: .*hqvox-toy==1.0"):
        weights.fetch("toy", notes)


def test_a_distribution_that_is_not_installed_says_how_to_install_it(register, notes):
    register('{ kind = "installed", distribution = "hqvox-toy", version = "1.0", member = "toy/toy.bin" }')
    with pytest.raises(Missing, match=r"pip install hqvox-toy==1.0"):
        weights.fetch("toy", notes)


def test_two_missing_files_are_named_in_one_command(notes):
    absent = [name for name in ("fan-2d-4", "s3fd") if weights.verify(name).state == "missing"]
    if len(absent) < 2:
        pytest.skip("the face-alignment files are on this machine")
    with pytest.raises(Missing, match="pipeline weights fetch fan-2d-4 s3fd"):
        weights.ensure(absent, notes)


def test_the_size_cap_of_an_unregistered_file_is_kept(register, web, notes, monkeypatch):
    monkeypatch.setattr(fetch, "MAX_BYTES", 100)
    register(web.source("whole"), sha256=None, size=None)
    with pytest.raises(Missing, match=f"{len(CONTENT)} bytes are announced; at most 100 are expected"):
        weights.fetch("toy", notes)


@pytest.mark.parametrize(("sha256", "can_be_used"), [(SHA, True), (None, False)])
def test_without_a_cache_folder_only_registered_files_can_be_used(
    register, tmp_path, monkeypatch, notes, sha256, can_be_used
):
    register('{ kind = "https", url = "https://weights.invalid/toy.bin" }', sha256, SIZE if sha256 else None)
    (tmp_path / "toy.bin").write_bytes(CONTENT)
    (tmp_path / "full").write_bytes(b"a file where the cache folder should be")
    monkeypatch.setenv("HQVOX_WEIGHTS", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "full"))
    if can_be_used:
        weights.ensure(["toy"], notes)
        assert weights.path("toy") == tmp_path / "toy.bin"
    else:
        with pytest.raises(UsageError, match="point XDG_CACHE_HOME to a writable folder"):
            weights.ensure(["toy"], notes)
