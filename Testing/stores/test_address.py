"""What is an address and what a path; an address never holds a password."""

from __future__ import annotations

from pathlib import Path

import pytest

from LDCTDenoiseLib.errors import InputError
from LDCTDenoiseLib.stores.address import Address, place


@pytest.mark.parametrize("text", ["ct/1.nrrd", "/ct", "C:\\ct", "C:/ct", "s3:/ct", "."])
def test_a_path_stays_a_path(text: str) -> None:
    assert place(text) == Path(text)


def test_an_address_keeps_both_slashes() -> None:
    address = place("s3://bucket/ct/1.nrrd/")
    assert address == Address("s3://bucket/ct/1.nrrd")
    assert (str(address / "a"), str(address.parent), address.name) == ("s3://bucket/ct/1.nrrd/a", "s3://bucket/ct", "1.nrrd")


@pytest.mark.parametrize(
    "text", ["s3://KEY:SECRET@bucket/ct", "https://me:SECRET@pacs/dicom-web", "https://pacs/studies?token=SECRET"]
)
def test_a_password_in_an_address_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InputError, match="holds a password") as told:
        place(text)
    assert "SECRET" not in str(told.value)


@pytest.mark.parametrize("text", ["http://[::1/dicom-web", "https://me:SECRET@[::1/dicom-web", "https://me:SECRET@a\uff03b/c"])
def test_an_address_without_a_server_is_refused_and_not_repeated(text: str) -> None:
    with pytest.raises(InputError, match=r"^The server in an address \(https?://\.\.\.\) cannot be understood; correct it\.$"):
        place(text)
