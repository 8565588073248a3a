"""Ids that follow from something are what RFC 9562 says they are, on every machine, for ever."""

from uuid import uuid5

from hypothesis import given
from hypothesis import strategies as st

from interlock.contracts.ids import NAMESPACE, derived


@given(st.lists(st.text() | st.integers()))
def test_a_derived_id_is_the_uuid_of_version_5(parts: list[str | int]) -> None:
    assert derived(*parts) == str(uuid5(NAMESPACE, "/".join(map(str, parts))))


def test_it_never_changes() -> None:
    assert derived("task-1", "policy", 0) == "e092e185-468e-5d1d-8afc-ab3a39cbd3fc"
