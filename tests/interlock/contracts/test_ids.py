"""Ids that follow from something are what RFC 9562 says they are, on every machine, for ever."""

from uuid import UUID, uuid5

from hypothesis import given
from hypothesis import strategies as st

from interlock.contracts.ids import NAMESPACE, derived, uuid_text


@given(st.lists(st.text() | st.integers()))
def test_a_derived_id_is_the_uuid_of_version_5(parts: list[str | int]) -> None:
    assert derived(*parts) == str(uuid5(NAMESPACE, "/".join(map(str, parts))))


def test_it_never_changes() -> None:
    assert derived("task-1", "policy", 0) == "e092e185-468e-5d1d-8afc-ab3a39cbd3fc"


@given(st.binary(min_size=16, max_size=16), st.sampled_from([4, 5]))
def test_a_uuid_is_written_as_the_library_writes_it(made: bytes, version: int) -> None:
    assert uuid_text(bytearray(made), version) == str(UUID(bytes=made, version=version))
