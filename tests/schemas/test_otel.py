from schemas import otel
from semloop import event


def all_fields() -> list[otel.Field]:
    tables = (otel.ENVELOPE, otel.META, *otel.PAYLOADS.values())
    return [field for table in tables for field in table.values()]


def test_the_mapping_lists_every_field_of_the_event() -> None:
    assert tuple(otel.ENVELOPE) == event.Envelope.__struct_fields__
    assert tuple(otel.META) == event.Meta.__struct_fields__
    assert tuple(otel.PAYLOADS) == event.EVENT_TYPES
    for name, struct in event.PAYLOADS.items():
        assert tuple(otel.PAYLOADS[name]) == struct.__struct_fields__


def test_mapped_names_follow_the_conventions() -> None:
    spans = {"timestamp", "trace_id", "span_id", "parent_span_id", "error.type"}
    for field in all_fields():
        assert field.otel is None or field.otel in spans or (
            field.otel.startswith("gen_ai.")
        )  # fmt: skip


def test_a_field_is_content_only_if_its_attribute_is() -> None:
    for field in all_fields():
        if field.otel is not None:
            assert field.content == (field.otel in otel.CONTENT_ATTRIBUTES), field


def test_the_content_fields_are_complete() -> None:
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


def test_every_type_has_an_operation_and_every_role_an_attribute() -> None:
    assert tuple(otel.OPERATIONS) == event.EVENT_TYPES
    assert set(otel.MESSAGE_CONTENT) == {"user", "assistant", "system", "tool"}
