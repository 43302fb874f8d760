"""The large values of a JSON document, with their places; nothing else is parsed."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

import msgspec

# A string, perhaps with the colon of a name, or a bracket. Numbers and constants are
# skipped by the search itself.
TOKEN = re.compile(rb'"(?:[^"\\]++|\\.)*+"(\s*+:)?|[{}\[\]]', re.DOTALL)
IDENTIFIER = re.compile(r"[A-Za-z_]\w{0,99}", re.ASCII)
NAME_CHARS_MAX = 100


@dataclass(slots=True, eq=False)
class Node:
    """A string, array or object: the bytes from `start` up to `end` of the document.

    `name`: the JSON string of the member's name, None in an array. `children`: the
    large values directly inside it.
    """

    start: int
    parent: "Node | None" = None
    name: bytes | None = None
    end: int = 0
    is_text: bool = False
    children: list["Node"] = field(default_factory=list)

    @property
    def size(self) -> int:
        """Bytes of the value."""
        return self.end - self.start

    def walk(self) -> Iterator["Node"]:
        """Yield this node and all large values inside it."""
        yield self
        for child in self.children:
            yield from child.walk()


def large_nodes(document: bytes, bytes_min: int) -> Node:
    """Return the root of a valid JSON document, with all values of `bytes_min` bytes.

    The time is linear in the size of the document.
    """
    root = node = Node(0)
    name: bytes | None = None
    for match in TOKEN.finditer(document):
        start, end = match.span()
        first = document[start]
        if first in b"{[":
            node = Node(start, node, name)
            name = None
        elif first in b"}]":
            closed = node
            closed.end = end
            assert closed.parent is not None
            node = closed.parent
            if closed.size >= bytes_min:
                node.children.append(closed)
        elif match[1] is not None:
            name = document[start : match.start(1)]
            continue
        elif end - start >= bytes_min:
            node.children.append(Node(start, node, name, end, is_text=True))
        name = None
    return root.children[0] if root.children else root


def path_of(node: Node, document: bytes) -> str:
    """Return the JSONPath of a value, such as `$.payload.result[3]`."""
    steps: list[str] = []
    while node.parent is not None and node.parent.parent is not None:
        if node.name is not None:
            steps.append(_member(msgspec.json.decode(node.name, type=str)))
        else:
            before = document[node.parent.start : node.start] + b"null]"
            steps.append(f"[{len(msgspec.json.decode(before, type=list)) - 1}]")
        node = node.parent
    return "$" + "".join(reversed(steps))


def _member(name: str) -> str:
    if IDENTIFIER.fullmatch(name):
        return f".{name}"
    return f"[{msgspec.json.encode(name[:NAME_CHARS_MAX]).decode()}]"
