"""The session, and the tool call in it, in whose block the running code is.

A context variable holds the innermost block, so each asyncio task, and each thread that
runs in a copied context, continues in the blocks of the code that started it.
A generator may leave its block in another context than it entered it, or before a block
that it entered later. Then the context variable cannot be reset, so the block is marked
instead, and skipped.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from contextvars import ContextVar, Token

from semloop.agent.metadata import Metadata, merged

# Blocks around the running code that are remembered.
DEPTH_MAX = 1_000
# (type, meta, payload, metadata) -> the event's id.
Emit = Callable[[str, Mapping[str, object], Mapping[str, object], Metadata], str]


class Recorder:
    """Sends the events of one session."""

    __slots__ = ("_emit", "_metadata", "agent", "long_call_s", "meta", "wall")

    def __init__(
        self,
        emit: Emit,
        meta: Mapping[str, object],
        agent: object,
        metadata: Metadata,
        long_call_s: float,
    ) -> None:
        self._emit = emit
        self._metadata = metadata
        self.agent = agent
        # After this time, a call is reported as running; 0: never.
        self.long_call_s = long_call_s
        self.meta = dict(meta)
        # Only events of the same namespace and user refer to each other.
        self.wall = meta.get("namespace"), meta.get("user_id")

    def record(
        self,
        kind: str,
        payload: Mapping[str, object],
        metadata: object = None,
        **meta: object,
    ) -> str:
        """Send one event; return its id. `meta` is added to that of the session."""
        if "parent_span_id" not in meta:
            meta["parent_span_id"] = enclosing_span(self)
        both = merged(self._metadata, metadata)
        return self._emit(kind, self.meta | meta, payload, both)


class Scope:
    """One block: of a session, or of a tool call in it."""

    __slots__ = ("depth", "is_left", "outer", "session", "span_id", "token")

    def __init__(
        self, session: Recorder, span_id: str | None, outer: "Scope | None"
    ) -> None:
        self.session = session
        self.span_id = span_id
        """Id of the innermost call, if there is one."""
        self.depth: int = 0 if outer is None else outer.depth + 1
        # Tasks that start each other in their blocks would keep all that came before.
        self.outer = outer if self.depth % DEPTH_MAX else None
        self.token: Token[Scope | None] | None = None
        self.is_left = False


_innermost: ContextVar[Scope | None] = ContextVar("semloop_scope", default=None)


def enter(session: Recorder, span_id: str | None = None) -> Scope:
    """Enter a block: of a call with a span id, or of the session."""
    scope = Scope(session, span_id or enclosing_span(session), innermost())
    scope.token = _innermost.set(scope)
    return scope


def leave(scope: Scope) -> None:
    """Leave a block, from any context. Never raises."""
    token, scope.token = scope.token, None  # it refers to its whole context
    if _innermost.get() is scope and token is not None:
        try:
            _innermost.reset(token)
        except (ValueError, RuntimeError):  # of another context, or used before
            pass
        else:
            # Tasks that were started in the block stay in it, so it is not marked.
            return
    scope.is_left = True


def innermost() -> Scope | None:
    """Return the innermost block around the running code."""
    scope = _innermost.get()
    while scope is not None and scope.is_left:
        scope = scope.outer
    return scope


def scopes() -> Iterator[Scope]:
    """Yield the blocks around the running code, from the innermost."""
    scope = innermost()
    while scope is not None:
        if not scope.is_left:
            yield scope
        scope = scope.outer


class Blocks:
    """The blocks of one session that were entered and not left, in any thread."""

    __slots__ = ("_scopes", "_session")

    def __init__(self, session: Recorder) -> None:
        self._session = session
        self._scopes: list[Scope] = []

    def enter(self) -> None:
        """Enter a block in the current context."""
        self._scopes.append(enter(self._session))

    def leave(self) -> None:
        """Leave the innermost block of this context, or else the one entered last."""
        own = next((scope for scope in scopes() if scope in self._scopes), None)
        with suppress(IndexError, ValueError):  # left twice, or by another thread
            scope = own or self._scopes[-1]
            self._scopes.remove(scope)
            leave(scope)


def current_session(agent: object = None) -> Recorder | None:
    """Return the innermost session: of an agent, or else of any."""
    for scope in scopes():
        if agent is None or scope.session.agent is agent:
            return scope.session
    scope_of_other = innermost()
    return None if scope_of_other is None else scope_of_other.session


def enclosing_span(session: Recorder) -> str | None:
    """Return the span id of the innermost call, if the session may refer to it."""
    scope = innermost()
    if scope is None or scope.session.wall != session.wall:
        return None
    return scope.span_id
