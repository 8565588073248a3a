"""Names of a package that are imported when somebody asks for one of them (PEP 562)."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any


def from_modules(package: str, modules: Mapping[str, str]) -> Callable[[str], Any]:
    """`__getattr__` of a package; `modules` says in which of its modules each name is."""

    def found(name: str) -> Any:
        if name not in modules:
            raise AttributeError(f"module `{package}` has no attribute `{name}`")
        return getattr(import_module(f"{package}.{modules[name]}"), name)

    return found
