"""Any order of entering and leaving one block: durations, parents, results are exact."""

import contextvars
from collections.abc import Generator
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.sdk.recorded_events import Recorded

CONTEXTS = 3
# In a context: enter the block; or leave it by one of the entries, or set its result.
STEPS = st.lists(
    st.tuples(
        st.integers(0, CONTEXTS - 1),
        st.sampled_from(("enter", "enter", "leave", "set", "set in a call")),
        st.integers(0, 9),
    ),
    max_size=40,
)


@given(STEPS)
def test_each_entry_of_a_block_is_recorded_by_itself(
    steps: list[tuple[int, str, int]],
) -> None:
    clock = SimpleNamespace(now_s=100.0)
    recorded = Recorded()
    block = recorded.session.tool("t")

    def entry(arguments: int) -> Generator[None, object]:
        with block as call:
            call.arguments = arguments
            while True:
                result = yield
                if result is None:
                    return
                block.result = result

    def set_in_a_call(result: object) -> None:
        block.result = result

    contexts = [contextvars.copy_context() for _ in range(CONTEXTS)]
    open_entries: list[list[tuple[int, Any]]] = [[] for _ in range(CONTEXTS)]
    expected: dict[int, dict[str, Any]] = {}
    with pytest.MonkeyPatch.context() as patch:
        fake = SimpleNamespace(perf_counter=lambda: clock.now_s)
        patch.setattr("semloop.agent.call.time", fake)
        for number, (context, step, choice) in enumerate(steps):
            clock.now_s += 1.0
            own, run = open_entries[context], contexts[context].run
            if step == "enter":
                running = entry(number)
                expected[number] = {
                    "parent": own[-1][0] if own else None, "entered_s": clock.now_s,
                }  # fmt: skip
                run(next, running)
                own.append((number, running))
            elif own and step == "leave":
                left, running = own.pop(choice % len(own))
                run(next, running, None)
                expected[left]["left_s"] = clock.now_s
            elif own and step == "set":
                chosen, running = own[choice % len(own)]
                run(running.send, number)
                expected[chosen]["result"] = number
            elif own:
                run(set_in_a_call, number)
                expected[own[-1][0]]["result"] = number
        clock.now_s += 1.0
        for context, own in enumerate(open_entries):
            for left, running in own:
                contexts[context].run(running.close)
                expected[left]["left_s"] = clock.now_s
    spans = {e["meta"]["span_id"]: e["payload"]["arguments"] for e in recorded.events}
    assert len(spans) == len(recorded.events) == len(expected)
    for event in recorded.events:
        wanted = expected[event["payload"]["arguments"]]
        took_s = wanted["left_s"] - wanted["entered_s"]
        assert event["payload"]["duration_ms"] == took_s * 1000
        assert event["payload"].get("result") == wanted.get("result")
        assert spans.get(event["meta"].get("parent_span_id")) == wanted["parent"]
