from schemas import otel
from semloop import event


def all_fields() -> list[otel.Field]:
    tables = (otel.ENVELOPE, otel.META, *otel.PAYLOADS.values())
    return [field for table in tables for field in table.values()]


def test_every_field_of_the_event_is_mapped_or_said_to_have_no_name() -> None:
    assert tuple(otel.ENVELOPE) == event.Envelope.__struct_fields__
    assert tuple(otel.META) == event.Meta.__struct_fields__
    assert tuple(otel.PAYLOADS) == event.EVENT_TYPES
    for name, struct in event.PAYLOADS.items():
        assert tuple(otel.PAYLOADS[name]) == struct.__struct_fields__


def test_names_are_of_the_conventions() -> None:
    spans = {"timestamp", "trace_id", "span_id", "parent_span_id", "error.type"}
    for field in all_fields():
        assert field.otel is None or field.otel in spans or (
            field.otel.startswith("gen_ai.")
        )  # fmt: skip


def test_content_is_the_same_here_and_there() -> None:
    for field in all_fields():
        if field.otel is not None:
            assert field.content == (field.otel in otel.CONTENT_ATTRIBUTES), field


def test_the_full_list_of_content_fields() -> None:
    found = {
        f"{name}.{field}"
        for name, table in otel.PAYLOADS.items()
        for field, mapped in table.items()
        if mapped.content
    }
    assert found == {
        "tool_call.arguments",
        "tool_call.result",
        "state_change.reason",
        "completion.task",
        "completion.summary",
        "error.message",
        "error.stack",
        "message.content",
        "feedback.comment",
    }
    assert {name for name, field in otel.META.items() if field.content} == {"task"}


def test_every_type_and_role_has_its_operation() -> None:
    assert tuple(otel.OPERATIONS) == event.EVENT_TYPES
    assert set(otel.MESSAGE_CONTENT) == {"user", "assistant", "system", "tool"}
