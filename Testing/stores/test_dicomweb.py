"""What a DICOMweb server answers is taken with care: pages that never end, and names that are none."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

import pytest

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.stores.address import Address
from LDCTDenoiseLib.stores.dicomweb import DicomwebServer

pytest.importorskip("dicomweb_client")

STUDY, SERIES = "1.2.3", "1.2.4"
IMAGES = [f"1.2.5.{number}" for number in range(7)]
Pages = Callable[[int], list[dict[str, object]]]
"""Gives what a search answers from an offset on."""


@contextmanager
def server(pages: Pages) -> Iterator[tuple[DicomwebServer, list[int]]]:
    """A server that answers every search, and the offsets that it was asked for."""
    asked: list[int] = []

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = parse_qs(urlsplit(self.path).query)
            asked.append(int(query["offset"][0]))
            content = json.dumps(pages(asked[-1]) if len(asked) < 100 else []).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/dicom+json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as one:
        thread = threading.Thread(target=one.serve_forever)
        thread.start()
        try:
            yield DicomwebServer(Address(f"http://127.0.0.1:{one.server_port}/dicom-web")), asked
        finally:
            one.shutdown()
            thread.join()


def images(uids: list[str]) -> list[dict[str, object]]:
    return [{"00080018": {"vr": "UI", "Value": [uid]}} for uid in uids]


def test_images_that_come_page_by_page_are_all_found() -> None:
    with server(lambda offset: images(IMAGES[offset : offset + 3])) as (one, asked):
        assert one.images(STUDY, SERIES) == set(IMAGES)
    assert asked == [0, 3, 6, 7]


def test_a_server_that_gives_its_first_page_for_ever_is_asked_twice() -> None:
    with server(lambda _: images(IMAGES)) as (one, asked):
        assert one.images(STUDY, SERIES) == set(IMAGES)
    assert len(asked) == 2


@pytest.mark.parametrize("uid", ["../../../evil", "1/../../evil", "/evil", "..", "", "1.2\n", "1" * 65])
def test_a_series_whose_uid_is_none_is_refused(uid: str) -> None:
    told: list[dict[str, object]] = [{"0020000E": {"Value": [uid]}, "00080060": {"Value": ["CT"]}}]
    with server(lambda offset: told[offset:]) as (one, _), pytest.raises(InputError) as refused:
        one.ct_series(STUDY)
    assert str(refused.value).endswith("/studies/1.2.3 has a series whose SeriesInstanceUID is no UID; correct it on the server.")
