"""The loopback server: whole files of one folder, over one connection, and nothing else."""

import http.client
from collections.abc import Iterator
from pathlib import Path

import pytest

from pipeline.world.web import file_under, serve


@pytest.fixture
def site(tmp_path: Path) -> Path:
    root = tmp_path / "site"
    (root / "a b").mkdir(parents=True)
    (root / "a b" / "1.jpg").write_bytes(b"picture" * 1000)
    (root / "empty.jpg").write_bytes(b"")
    (tmp_path / "secret.txt").write_text("secret")
    (root / "link.txt").symlink_to(tmp_path / "secret.txt")
    return root


@pytest.fixture
def client(site: Path) -> Iterator[http.client.HTTPConnection]:
    with serve(site) as (host, port):
        connection = http.client.HTTPConnection(host, port, timeout=5)
        yield connection
        connection.close()


def get(client: http.client.HTTPConnection, path: str, method: str = "GET") -> tuple[int, bytes, str | None]:
    client.request(method, path)
    answer = client.getresponse()
    return answer.status, answer.read(), answer.getheader("Content-Length")


def test_files_arrive_whole_over_one_connection(client: http.client.HTTPConnection) -> None:
    assert get(client, "/a%20b/1.jpg") == (200, b"picture" * 1000, "7000")
    socket = client.sock
    assert get(client, "/empty.jpg?x=1") == (200, b"", "0")
    assert get(client, "/a%20b/1.jpg", "HEAD") == (200, b"", "7000")
    assert client.sock is socket


@pytest.mark.parametrize(
    "path", ["/missing.jpg", "/../secret.txt", "/%2e%2e/secret.txt", "/..%2fsecret.txt", "/link.txt", "/", "/%00", "//"]
)
def test_nothing_outside_the_folder_is_served(client: http.client.HTTPConnection, path: str) -> None:
    status, body, _ = get(client, path)
    assert status == 404
    assert b"secret" not in body


def test_other_methods_are_refused(client: http.client.HTTPConnection) -> None:
    assert get(client, "/empty.jpg", "POST")[0] == 501


def test_an_absolute_path_names_no_file(site: Path) -> None:
    assert file_under(site.resolve(), "/etc/passwd") is None
