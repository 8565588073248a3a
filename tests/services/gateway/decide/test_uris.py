"""URIs that say whose they are."""

import pytest

from services.gateway.decide import uris


@pytest.mark.parametrize("uri", ["file:///a b?x#y", "ui://crm/widget", "test://t/{id}/data", "a/b"])
def test_a_qualified_uri_gives_back_exactly_what_went_in(uri: str) -> None:
    assert uris.split(uris.qualified("crm", uri)) == ("crm", uri)


@pytest.mark.parametrize(
    "uri", ["file:///x", "interlock://", "interlock://crm", "interlock://crm/"]
)
def test_any_other_uri_is_plain(uri: str) -> None:
    assert uris.split(uri) is None


def test_a_template_fits_what_it_may_have_become() -> None:
    assert uris.fits("test://t/{id}/data", "test://t/1/data")
    assert not uris.fits("test://t/{id}/data", "test://t/1/more")
    assert not uris.fits("test://t.x/{id}", "test://tax/1")
