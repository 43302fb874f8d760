"""Chooses the values of an event that move to artifacts, the largest first."""

from collections.abc import Iterable, Sequence

from operators.artifacts.json_nodes import Node
from semloop.artifacts import END_CHARS

# Of a placeholder: an escaped character has at most six bytes.
PLACEHOLDER_BYTES_MAX = 2 * END_CHARS * 6 + 200
# Smaller values stay: to move them would save little.
VALUE_BYTES_MIN = 16 * 2**10


def choose(movable: Sequence[Node], excess: int) -> list[Node]:
    """Return disjoint values whose removal saves `excess` bytes, if there are such.

    Strings go first, since then arrays and objects keep their form. If they do not
    suffice, the smallest array or object that does goes too, with all that is in it.

    Args:
        movable: values that may be moved; all that is inside them may be, too.
        excess: bytes to save.

    Returns:
        the values in the order of the document.
    """
    chosen: list[Node] = []
    texts = [node for top in movable for node in top.walk() if node.is_text]
    for node in sorted(texts, key=lambda node: -node.size):
        if excess <= 0:
            break
        chosen.append(node)
        excess -= _saved(node)
    tops = [node for node in movable if not node.is_text]
    while excess > 0 and tops:
        top = max(tops, key=lambda node: _rest(node, chosen))
        tops.remove(top)
        node = _smallest(top, chosen, excess)
        gain = _rest(node, chosen) - PLACEHOLDER_BYTES_MAX
        if gain <= 0:
            break
        excess -= gain
        chosen = [c for c in chosen if not _inside(c, node)] + [node]
    return sorted(chosen, key=lambda node: node.start)


def _smallest(node: Node, chosen: Iterable[Node], excess: int) -> Node:
    """Return the deepest container that saves `excess` bytes, or else `node`."""
    while True:
        within = [child for child in node.children if not child.is_text]
        if not within:
            return node
        largest = max(within, key=lambda child: _rest(child, chosen))
        if _rest(largest, chosen) - PLACEHOLDER_BYTES_MAX < excess:
            return node
        node = largest


def _saved(node: Node) -> int:
    return node.size - PLACEHOLDER_BYTES_MAX


def _rest(node: Node, chosen: Iterable[Node]) -> int:
    """Return the bytes of a container without the chosen values inside it."""
    return node.size - sum(_saved(c) for c in chosen if _inside(c, node))


def _inside(node: Node, container: Node) -> bool:
    return container.start <= node.start and node.end <= container.end
