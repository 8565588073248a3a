"""Which arguments and input a policy reads, and as what: Cedar's validator wants their types.

Arguments differ from tool to tool, so each policy is checked against the names and types that it
uses itself. At run time a value of another type is an evaluation error, which denies.
"""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, fields

from cedarpy import pst

ARGUMENTS, INPUT = "arguments", "input"
"""The attributes of the context whose types each policy declares by its use."""
OF_LITERAL = {pst.BoolLit: "Bool", pst.LongLit: "Long", pst.StringLit: "String"}
OF_RESULT = {"decimal": "decimal", "ip": "ipaddr", "datetime": "datetime", "duration": "duration"}
OF_RESULT |= dict.fromkeys(("add", "sub", "mul", "neg"), "Long") | {"not": "Bool"}
OF_OPERAND = {"not": "Bool", "neg": "Long", "is_empty": "Set<String>"}
OF_OPERAND |= dict.fromkeys(("ip", "decimal", "datetime", "duration"), "String")
OF_OPERANDS = dict.fromkeys(("and", "or"), "Bool") | {"is_in_range": "ipaddr"}
OF_OPERANDS |= dict.fromkeys(
    ("decimal_less_than", "decimal_less_eq", "decimal_greater", "decimal_greater_eq"), "decimal"
)
ALIKE = dict.fromkeys(("less", "less_eq", "greater", "greater_eq", "add", "sub", "mul"), "Long")
ALIKE |= dict.fromkeys(("contains_all", "contains_any"), "Set<String>")
ALIKE |= dict.fromkeys(("eq", "not_eq"), "String")
"""Both operands are of one type, and of this one where neither tells its own."""


class Contradiction(ValueError):
    """A policy uses one argument as two types."""


@dataclass
class Node:
    """One argument: a record with fields, or a value of one type."""

    fields: dict[str, "Node"] = field(default_factory=dict)
    types: set[str] = field(default_factory=set)

    def render(self, name: str) -> str:
        """Its type in a Cedar schema; `Contradiction` where it has two."""
        types = self.types | ({"a record"} if self.fields else set())
        if len(types) > 1:
            told = " and ".join(f"`{one}`" for one in sorted(types))
            raise Contradiction(
                f"argument `{name}` is used as {told}; write one policy for each of them"
            )
        return self.record(name) if self.fields else next(iter(types), "String")

    def record(self, name: str = "") -> str:
        """A record type; every field may be missing."""
        fields = (
            f"{_quoted(one)}?: {node.render(f'{name}.{one}'.lstrip('.'))}"
            for one, node in sorted(self.fields.items())
        )
        return "{" + ", ".join(fields) + "}"


@dataclass(frozen=True)
class Root:
    """Where the arguments, or the input, begin."""

    expr: pst.Expr
    node: Node = field(default_factory=Node)


def type_read(policy: pst.Template, attribute: str) -> str:
    """The record type, in a Cedar schema, of what `policy` reads of `context.<attribute>`."""
    root = Root(pst.GetAttr(pst.Var("context"), attribute))
    for clause in policy.clauses:
        _visit(root, clause.expr, "Bool")
    return root.node.record()


def looked_at(policy: pst.Template) -> frozenset[str] | None:
    """The attributes of the context that conditions of `policy` look at; None: all of it, as one
    that compares the context itself does."""
    context, found, whole = pst.Var("context"), set(), 0
    for clause in policy.clauses:
        for one in _walk(clause.expr):
            if one == context:
                whole += 1
            elif isinstance(one, pst.GetAttr) and one.base == context:
                whole -= 1
                found.add(one.attr)
            elif isinstance(one, pst.HasAttr) and one.base == context:
                whole -= 1
                found.add(one.attrs[0])
    return None if whole else frozenset(found)


def _walk(expr: pst.Expr) -> Iterator[pst.Expr]:
    yield expr
    for child in _children(expr):
        yield from _walk(child)


def _children(expr: pst.Expr) -> tuple[pst.Expr, ...]:
    found: list[object] = []
    for one in fields(expr):
        value = getattr(expr, one.name)
        if isinstance(value, Mapping):
            found += value.values()
        else:
            found += value if isinstance(value, tuple) else [value]
    return tuple(one for one in found if isinstance(one, pst.Expr))


def _visit(root: Root, expr: pst.Expr, wanted: str | None) -> None:
    """Note all arguments in `expr`, whose value is used as `wanted`."""
    node = _argument(root, expr)
    if node is not None:
        if wanted is not None:
            node.types.add(wanted)
        return
    if isinstance(expr, pst.HasAttr):
        node = _argument(root, expr.base)
        for name in expr.attrs if node is not None else ():
            node = _field(node, name) if node is not None else None
    for child, use in zip(_children(expr), _uses(expr, wanted), strict=True):
        _visit(root, child, use)


def _uses(expr: pst.Expr, wanted: str | None) -> tuple[str | None, ...]:
    """As what each child of `expr` is used."""
    count = len(_children(expr))
    uses: tuple[str | None, ...] = (None,) * count
    match expr:
        case pst.BinaryOp(op=op, left=left, right=right):
            uses = _of_operands(op, left, right)
        case pst.UnaryOp(op=op):
            uses = (OF_OPERAND.get(op),)
        case pst.IfThenElse():
            uses = ("Bool", wanted, wanted)
        case pst.Set():
            uses = (_element(_type_of(expr)),) * count
        case pst.Like() | pst.Record():
            uses = ("String",) * count
    return uses


def _of_operands(op: str, left: pst.Expr, right: pst.Expr) -> tuple[str | None, str | None]:
    on_left, on_right = _type_of(left), _type_of(right)
    if op == "contains":
        return f"Set<{on_right or 'String'}>", _element(on_left) or "String"
    if op in ALIKE:
        return on_right or ALIKE[op], on_left or ALIKE[op]
    return OF_OPERANDS.get(op), OF_OPERANDS.get(op)


def _type_of(expr: pst.Expr) -> str:
    """What `expr` is by itself; empty where only its use would tell."""
    match expr:
        case pst.UnaryOp(op=op) | pst.BinaryOp(op=op):
            return OF_RESULT.get(op, "")
        case pst.Set(elements=elements):
            return f"Set<{(_type_of(elements[0]) if elements else '') or 'String'}>"
    return OF_LITERAL.get(type(expr), "")


def _element(of_set: str) -> str:
    return of_set.removeprefix("Set<").removesuffix(">")


def _argument(root: Root, expr: pst.Expr) -> Node | None:
    """The node of `context.arguments.….x`; None for any other expression."""
    if expr == root.expr:
        return root.node
    if not isinstance(expr, pst.GetAttr):
        return None
    base = _argument(root, expr.base)
    return None if base is None else _field(base, expr.attr)


def _field(node: Node, name: str) -> Node:
    return node.fields.setdefault(name, Node())


def _quoted(name: str) -> str:
    return re.sub(r"\\u([0-9a-f]{4})", r"\\u{\1}", json.dumps(name, ensure_ascii=False))
