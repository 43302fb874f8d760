"""One file of each format with the fields that files of its tool have, as values."""

from typing import Any

AT = "2026-01-02T03:04:05Z"
LATER = "2026-01-02T03:04:09Z"

_CALL = {
    "id": "call-1", "type": "function",
    "function": {"name": "find", "arguments": '{"query": "a shop"}'},
}  # fmt: skip
CHAT: list[Any] = [{
    "id": "c-1", "agent": "helper", "model": "m-1", "created_at": AT,
    "user_id": "u-1", "namespace": "eu", "task": "a task", "tags": ["red", "blue"],
    "tools": [{"type": "function", "function": {"name": "find", "description": "Finds."}}],
    "metadata": {"channel": "web chat"},
    "outcome": "success", "feedback": [{"key": "stars", "comment": "very good", "rater": "a person"}],
    "messages": [
        {"role": "developer", "content": "be kind", "name": "boss"},
        {"role": "user", "content": [
            {"type": "text", "text": "see this", "cache_control": {"kind": "for hours"}},
            {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "high one"}},
        ]},
        {"role": "assistant", "content": "I look", "reasoning_content": "think first", "tool_calls": [_CALL],
         "annotations": [{"url_citation": {"title": "a page"}}], "refusal": None},
        {"role": "tool", "tool_call_id": "call-1", "name": "find", "content": [
            {"type": "text", "text": "found it", "note": "from cache"},
        ], "artifact": {"rows": ["row one"]}},
        {"role": "assistant", "content": None, "refusal": "I will not", "finish_reason": "at stop"},
        {"role": "moderator", "content": "calm down"},
    ],
}]  # fmt: skip
CHAT_LOG: list[Any] = [{
    "request": {"model": "m-1", "messages": [{"role": "user", "content": "hello there"}],
                "tools": [{"function": {"name": "find", "description": "Finds."}}], "user": "a user"},
    "response": {"id": "r-1", "object": "chat.completion", "model": "m-1", "system_fingerprint": "fp one",
                 "choices": [{"index": 0, "finish_reason": "at stop", "logprobs": {"content": [{"token": "a word"}]},
                              "message": {"role": "assistant", "content": "hi you"}}],
                 "usage": {"prompt_tokens": 3, "completion_tokens": 4}},
}]  # fmt: skip
ANTHROPIC: list[Any] = [{
    "model": "m-1", "system": [{"type": "text", "text": "be kind", "cache_control": {"ttl": "5 m"}}],
    "tools": [{"name": "find", "description": "Finds."}], "metadata": {"user": "a person"},
    "messages": [
        {"role": "user", "content": "where is it"},
        {"role": "assistant", "content": [
            {"type": "thinking", "thinking": "think first", "signature": "signed so"},
            {"type": "redacted_thinking", "data": "hidden so"},
            {"type": "text", "text": "I look", "citations": [{"cited_text": "a quote", "document_title": "a book"}]},
            {"type": "tool_use", "id": "t-1", "name": "find", "input": {"query": "a shop"}, "caller": {"kind": "direct one"}},
            {"type": "server_tool_use", "id": "t-2", "name": "web_search", "input": {"query": "the web"}},
            {"type": "web_search_tool_result", "tool_use_id": "t-2", "content": [
                {"type": "web_search_result", "title": "a page", "url": "https://example.com/b", "page_age": "a day"}]},
        ]},
        {"role": "user", "content": [
            {"type": "tool_result", "tool_use_id": "t-1", "is_error": True, "content": [
                {"type": "text", "text": "none found", "note": "so it was"}], "cache_control": {"ttl": "5 m"}},
            {"type": "document", "source": {"type": "text", "data": "a long text"}, "title": "a title", "context": "some context"},
        ]},
    ],
}, {
    "id": "msg-1", "type": "message", "role": "assistant", "model": "m-1", "stop_reason": "end of turn",
    "stop_sequence": "stop here", "container": {"id": "cont-1", "expires": "soon then"},
    "content": [{"type": "text", "text": "a whole answer"}], "usage": {"input_tokens": 1, "output_tokens": 2},
}]  # fmt: skip
AI_SDK: list[Any] = [{"id": "chat-1", "messages": [
    {"id": "m-1", "role": "user", "content": "old text", "parts": [{"type": "text", "text": "see this", "state": "done so"}],
     "metadata": {"channel": "web chat"}},
    {"id": "m-2", "role": "assistant", "parts": [
        {"type": "step-start"},
        {"type": "reasoning", "text": "think first", "providerMetadata": {"a": {"signature": "signed so"}}},
        {"type": "tool-find", "toolCallId": "t-1", "state": "output-available", "input": {"query": "a shop"},
         "output": {"rows": ["row one"]}, "callProviderMetadata": {"a": {"item": "an item"}}},
        {"type": "tool-find", "toolCallId": "t-2", "state": "output-error", "input": {"query": "b shop"},
         "errorText": "it broke"},
        {"type": "tool-invocation", "toolInvocation": {"toolCallId": "t-3", "toolName": "book", "args": {"what": "a room"},
         "state": "result", "result": "booked it"}},
        {"type": "source-url", "sourceId": "s-1", "url": "https://example.com/c", "title": "a page"},
        {"type": "data-weather", "data": {"place": "a town"}},
        {"type": "file", "mediaType": "image/png", "filename": "a file.png", "url": "https://example.com/d.png"},
        {"type": "text", "text": "here it is"},
    ]},
]}]  # fmt: skip
LANGCHAIN: list[Any] = [{"thread_id": "th-1", "messages": [
    {"type": "system", "content": "be kind", "additional_kwargs": {"hint": "a hint"}},
    {"type": "human", "content": "where is it", "name": "ann b", "example": False},
    {"type": "ai", "content": "I look", "tool_calls": [{"name": "find", "args": {"query": "a shop"}, "id": "t-1", "type": "tool_call"}],
     "invalid_tool_calls": [{"name": "fin", "args": "bro ken", "error": "no such"}],
     "response_metadata": {"model_name": "m-1", "finish_reason": "at stop", "logprobs": None}},
    {"type": "tool", "content": "found it", "tool_call_id": "t-1", "artifact": {"rows": ["row one"]}, "status": "success"},
]}, [
    {"lc": 1, "type": "constructor", "id": ["langchain", "schema", "messages", "HumanMessage"],
     "kwargs": {"content": "another talk", "type": "human", "response": "a note"}},
]]  # fmt: skip
RESPONSES: list[Any] = [{
    "id": "resp-1", "object": "response", "model": "m-1", "instructions": "be kind", "status": "completed so",
    "tools": [{"type": "function", "name": "find", "description": "Finds."}], "metadata": {"channel": "web chat"},
    "input": [{"type": "message", "role": "user", "content": [{"type": "input_text", "text": "where is it"}]}],
    "output": [
        {"type": "reasoning", "id": "rs-1", "summary": [{"type": "summary_text", "text": "think first", "extra": "a bit"}],
         "encrypted_content": "hidden so"},
        {"type": "function_call", "id": "fc-1", "call_id": "c-1", "name": "find", "arguments": '{"query": "a shop"}', "namespace": "a space"},
        {"type": "function_call_output", "id": "fo-1", "call_id": "c-1", "output": "found it", "note": "so it was"},
        {"type": "web_search_call", "id": "ws-1", "action": {"query": "the web"}, "status": "completed"},
        {"type": "mcp_call", "id": "mc-1", "name": "book", "server_label": "a server", "arguments": "{}", "output": "booked it"},
        {"type": "message", "id": "ms-1", "role": "assistant", "phase": "final one", "content": [
            {"type": "output_text", "text": "here it is", "annotations": [{"type": "url_citation", "title": "a page"}]},
            {"type": "refusal", "refusal": "not that", "why": "a rule"}]},
    ],
    "usage": {"input_tokens": 3, "output_tokens": 4},
}]  # fmt: skip
LANGSMITH: list[Any] = [
    {"id": "run-1", "trace_id": "run-1", "run_type": "chain", "name": "graph", "inputs": {"question": "where is it"},
     "outputs": {"answer": "here it is"}, "start_time": AT, "end_time": LATER, "tags": ["prod one"],
     "feedback": [{"key": "stars", "score": 1, "comment": "very good", "source_info": "a form"}]},
    {"id": "run-2", "trace_id": "run-1", "parent_run_id": "run-1", "run_type": "llm", "name": "ChatModel",
     "inputs": {"messages": [[{"role": "user", "content": "where is it"}]], "tools": [{"name": "find"}]},
     "outputs": {"generations": [[{"text": "here it is", "generation_info": {"finish_reason": "at stop"},
                                   "message": {"type": "ai", "data": {"content": "here it is", "more": "a bit"}}}]],
                 "llm_output": {"model_name": "m-one"}},
     "extra": {"metadata": {"ls_model_name": "m-1", "user": "a person"}, "invocation_params": {"stop": "stop here"}},
     "start_time": AT, "end_time": LATER, "session_name": "my project", "error": None},
    {"id": "run-3", "trace_id": "run-1", "run_type": "tool", "name": "find", "inputs": {"input": "{'query': 'a shop'}"},
     "outputs": {"output": "found it"}, "start_time": AT, "end_time": LATER, "events": [{"name": "an event"}], "error": "it broke"},
]  # fmt: skip
LANGFUSE: list[Any] = [{
    "id": "tr-1", "timestamp": AT, "name": "chat turn", "sessionId": "s-1", "userId": "u-1", "tags": ["prod one"],
    "metadata": {"channel": "web chat"}, "release": "r one", "input": {"question": "where"}, "output": {"answer": "here"},
    "observations": [
        {"id": "o-1", "traceId": "tr-1", "type": "GENERATION", "name": "answer it", "startTime": AT, "endTime": LATER, "model": "m-1",
         "input": [{"role": "user", "content": "where is it"}], "output": {"role": "assistant", "content": "here it is"},
         "metadata": {"scope": "a scope"}, "modelParameters": {"stop": "stop here"}, "promptName": "a prompt",
         "level": "WARNING", "statusMessage": "was slow"},
        {"id": "o-2", "traceId": "tr-1", "type": "TOOL", "name": "find", "startTime": AT, "endTime": LATER,
         "input": {"query": "a shop"}, "output": "found it", "level": "ERROR", "statusMessage": "it broke", "metadata": {"scope": "b scope"}},
        {"id": "o-3", "traceId": "tr-1", "type": "SPAN", "name": "a step", "startTime": AT, "input": {"a": "an input"}},
    ],
    "scores": [{"name": "stars", "value": 1, "comment": "very good", "dataType": "a number", "source": "API"}],
}]  # fmt: skip
CLAUDE_CODE: list[Any] = [
    {"type": "summary", "summary": "what was done", "leafUuid": "u-3"},
    {"type": "user", "sessionId": "s-1", "uuid": "u-1", "parentUuid": None, "timestamp": AT, "cwd": "/home/a b", "gitBranch": "main line",
     "version": "2.0 x", "isMeta": True, "userType": "external", "permissionMode": "plan so", "message": {"role": "user", "content": "where is it"}},
    {"type": "assistant", "sessionId": "s-1", "uuid": "u-2", "parentUuid": "u-1", "timestamp": AT, "requestId": "req-1", "slug": "a slug",
     "message": {"id": "msg-1", "type": "message", "role": "assistant", "model": "m-1", "stop_reason": "tool use",
                 "content": [{"type": "tool_use", "id": "t-1", "name": "Read", "input": {"path": "a file"}}],
                 "context_management": {"applied": ["an edit"]}, "usage": {"input_tokens": 1, "output_tokens": 2}}},
    {"type": "user", "sessionId": "s-1", "uuid": "u-3", "parentUuid": "u-2", "timestamp": LATER, "cwd": "/home/c d",
     "message": {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t-1", "content": "a text"}]},
     "toolUseResult": {"file": {"content": "a whole text"}}, "sourceToolAssistantUUID": "u-2"},
    {"type": "system", "sessionId": "s-1", "uuid": "u-4", "timestamp": LATER, "subtype": "local_command", "content": "a command ran", "level": "an info"},
    {"type": "attachment", "sessionId": "s-1", "uuid": "u-5", "timestamp": LATER, "attachment": {"type": "hook", "text": "a hook"}},
    {"type": "queue-operation", "operation": "enqueue", "timestamp": LATER, "sessionId": "s-1", "content": "ask this too"},
]  # fmt: skip
CODEX: list[Any] = [
    {"timestamp": AT, "type": "session_meta", "payload": {"id": "s-1", "timestamp": AT, "cwd": "/home/a b", "originator": "a cli",
     "cli_version": "1 x", "instructions": "be kind", "git": {"branch": "main line"}}},
    {"timestamp": AT, "type": "turn_context", "payload": {"cwd": "/home/a b", "model": "m-1", "summary": "auto so"}},
    {"timestamp": AT, "type": "event_msg", "payload": {"type": "user_message", "message": "where is it", "kind": "plain one"}},
    {"timestamp": AT, "type": "response_item", "payload": {"type": "message", "role": "user", "content": [{"type": "input_text", "text": "where is it"}]}},
    {"timestamp": AT, "type": "event_msg", "payload": {"type": "agent_reasoning", "text": "think first"}},
    {"timestamp": AT, "type": "response_item", "payload": {"type": "reasoning", "summary": [{"type": "summary_text", "text": "think first"}], "encrypted_content": "hidden so"}},
    {"timestamp": AT, "type": "response_item", "payload": {"type": "function_call", "name": "shell", "arguments": '{"command": "ls it"}', "call_id": "c-1"}},
    {"timestamp": AT, "type": "response_item", "payload": {"type": "function_call_output", "call_id": "c-1", "output": "a b c"}},
    {"timestamp": AT, "type": "event_msg", "payload": {"type": "agent_message", "message": "only here"}},
    {"timestamp": AT, "type": "event_msg", "payload": {"type": "agent_message", "message": "here it is"}},
    {"timestamp": AT, "type": "response_item", "payload": {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "here it is"}]}},
    {"timestamp": AT, "type": "event_msg", "payload": {"type": "error", "message": "it broke", "codex_error_info": "a kind"}},
    {"timestamp": AT, "type": "event_msg", "payload": {"type": "exec_command_end", "call_id": "c-1", "stdout": "a b c", "formatted_output": "more than that"}},
    {"timestamp": AT, "type": "compacted", "payload": {"message": "what was done", "replacement_history": [{"type": "message", "text": "in short"}]}},
]  # fmt: skip
ATIF: list[Any] = [{
    "schema_version": "ATIF-v1.6", "session_id": "s-1", "notes": "a note",
    "agent": {"name": "helper", "version": "1 x", "model_name": "m-1", "tool_definitions": [{"function": {"name": "find", "description": "Finds."}}]},
    "extra": {"run": "a run"},
    "steps": [
        {"step_id": 1, "source": "system", "timestamp": AT, "message": "be kind"},
        {"step_id": 2, "source": "user", "timestamp": AT, "message": "where is it", "extra": {"form": "a form"}},
        {"step_id": 3, "source": "agent", "timestamp": AT, "model_name": "m-2", "reasoning_effort": "much of it", "message": "I look", "reasoning_content": "think first",
         "tool_calls": [{"tool_call_id": "t-1", "function_name": "find", "arguments": {"query": "a shop"}, "extra": {"a": "call bit"}}],
         "observation": {"results": [{"source_call_id": "t-1", "content": "found it", "subagent_trajectory_ref": [{"session_id": "other one"}], "extra": {"b": "result bit"}}], "extra": {"c": "more"}},
         "metrics": {"prompt_tokens": 3, "completion_tokens": 4, "extra": {"d": "metric bit"}}},
    ],
    "final_metrics": {"total_prompt_tokens": 3, "extra": {"e": "final bit"}},
}]  # fmt: skip
OPENHANDS: list[Any] = [[
    {"id": 0, "timestamp": AT, "source": "agent", "message": "be kind", "action": "system", "args": {"content": "be kind", "tools": [{"function": {"name": "find"}}]}},
    {"id": 1, "timestamp": AT, "source": "user", "message": "where is it", "action": "message", "args": {"content": "where is it", "image_urls": ["https://example.com/a.png"]}},
    {"id": 2, "timestamp": AT, "source": "agent", "message": "Running: ls", "action": "run", "args": {"command": "ls it", "thought": "think first", "hidden": False},
     "tool_call_metadata": {"function_name": "execute_bash", "tool_call_id": "t-1", "model_response": {"id": "x", "choices": [{"message": {"content": "what I wrote"}}]}}},
    {"id": 3, "timestamp": AT, "source": "agent", "message": "Command ran", "cause": 2, "observation": "run", "content": "a b c", "extras": {"command": "ls it", "metadata": {"exit_code": 0, "working_dir": "/home/a b"}}},
    {"id": 4, "timestamp": AT, "source": "environment", "message": "", "observation": "agent_state_changed", "content": "", "extras": {"agent_state": "at rest"}},
    {"id": 5, "timestamp": AT, "source": "agent", "message": "All done", "action": "finish", "args": {"final_thought": "here it is", "outputs": {"a": "an output"}}},
], [
    {"id": "e-1", "timestamp": AT, "source": "user", "kind": "MessageEvent", "llm_message": {"role": "user", "content": [{"type": "text", "text": "where is it"}]}, "sender": "a person"},
    {"id": "e-2", "timestamp": AT, "source": "agent", "kind": "ActionEvent", "thought": [{"type": "text", "text": "I look"}], "action": {"kind": "ExecuteBashAction", "command": "ls it"},
     "tool_name": "execute_bash", "tool_call_id": "t-1", "tool_call": {"id": "t-1", "name": "execute_bash", "arguments": "a raw text"}, "security_risk": "a low one", "summary": "list files"},
    {"id": "e-3", "timestamp": AT, "source": "environment", "kind": "ObservationEvent", "tool_name": "execute_bash", "tool_call_id": "t-1", "action_id": "e-2",
     "observation": {"kind": "ExecuteBashObservation", "content": [{"type": "text", "text": "a b c"}], "is_error": False, "command": "ls it now"}},
    {"id": "e-4", "timestamp": AT, "source": "environment", "kind": "ConversationStateUpdateEvent", "key": "stats one", "value": "a value"},
]]  # fmt: skip
SWE_AGENT: list[Any] = [{
    "environment": "an env", "replay_config": "a config",
    "trajectory": [{"action": "ls it", "observation": "a b c", "response": "I look\n\n```\nls it\n```\nand more", "thought": "I look",
                    "state": {"working_dir": "/home/a b"}, "execution_time": 0.5, "query": [{"role": "user", "content": "where"}], "extra_info": {"a": "a bit"}}],
    "history": [
        {"role": "system", "content": "be kind", "agent": "main one", "message_type": "system_prompt"},
        {"role": "user", "content": "where is it", "agent": "main one"},
        {"role": "assistant", "content": "I look\n\n```\nls it\n```", "thought": "I look", "action": "ls it", "agent": "main one"},
        {"role": "user", "content": "OBSERVATION:\na b c", "agent": "main one", "tool_call_ids": ["t one"]},
        {"role": "user", "content": "nowhere else", "agent": "main one"},
    ],
    "info": {"exit_status": "submitted so", "submission": "a diff", "model_stats": {"api_calls": 2}, "edited_files30": "a file", "swe_agent_version": "1 x"},
}, {
    "trajectory_format": "mini-swe-agent-1", "instance_id": "i-1",
    "messages": [
        {"role": "system", "content": "be kind"},
        {"role": "assistant", "content": "I look", "extra": {"response": {"id": "x", "model": "m-1", "choices": [{"message": {"content": "I look"}}]}}},
        {"role": "exit", "content": "a diff", "extra": {"exit_status": "Submitted so"}},
    ],
    "info": {"exit_status": "Submitted so", "submission": "a diff", "config": {"agent": {"template": "a template"}}, "mini_version": "1 x"},
}]  # fmt: skip
SHAREGPT: list[Any] = [{
    "id": "s-1", "system": "be kind", "source": "a site", "tools": '[{"name": "find"}]',
    "conversations": [
        {"from": "human", "value": "where is it", "markdown": "a mark"},
        {"from": "function_call", "value": '{"name": "find", "arguments": {"query": "a shop"}, "why": "a reason"}', "note": "a note"},
        {"from": "observation", "value": "found it"},
        {"from": "gpt", "value": "here it is", "weight": 1, "tools": "a tool"},
        {"from": "referee", "value": "well done"},
    ],
}]  # fmt: skip


def _attributes(given: dict[str, Any]) -> list[dict[str, Any]]:
    return [{"key": k, "value": {"stringValue": v}} for k, v in given.items()]


def _span(number: int, attributes: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "traceId": "t-1", "spanId": f"s-{number}", "startTimeUnixNano": f"{1_767_323_045 + number}000000000",
        "endTimeUnixNano": f"{1_767_323_046 + number}000000000", "name": f"span {number}",
        "attributes": _attributes(attributes), **more,
    }  # fmt: skip


OTLP: list[Any] = [{"resourceSpans": [{
    "resource": {"attributes": _attributes({"service.name": "shop", "host.name": "a host"})},
    "scopeSpans": [{"scope": {"name": "a scope", "version": "1 x"}, "spans": [
        _span(1, {
            "gen_ai.operation.name": "chat", "gen_ai.conversation.id": "talk-1", "gen_ai.request.model": "m-1",
            "gen_ai.system_instructions": '[{"type": "text", "content": "be kind"}]', "gen_ai.provider.name": "a maker",
            "gen_ai.tool.definitions": '[{"name": "find"}]',
            "gen_ai.input.messages": '[{"role": "user", "parts": [{"type": "text", "content": "where is it"}]}]',
            "gen_ai.output.messages": '[{"role": "assistant", "finish_reason": "stop", "parts": [{"type": "text", "content": "here it is"}]}]',
        }, events=[{"name": "a moment", "timeUnixNano": "1767323045000000000", "attributes": _attributes({"note": "a note"})}]),
        _span(2, {
            "gen_ai.operation.name": "execute_tool", "gen_ai.conversation.id": "talk-1", "gen_ai.tool.name": "find", "gen_ai.tool.call.id": "c-1",
            "gen_ai.tool.call.arguments": '{"query": "a shop"}', "gen_ai.tool.call.result": "found it", "gen_ai.tool.description": "finds things",
        }, status={"code": 2, "message": "it broke"}, events=[{"name": "exception", "attributes": _attributes(
            {"exception.type": "OSError", "exception.message": "no disk", "exception.stacktrace": "at line one"})}]),
        _span(3, {"http.route": "a route", "gen_ai.conversation.id": "talk-1"}),
    ]}],
}]}]  # fmt: skip

SAMPLES: dict[str, list[Any]] = {
    "chat": CHAT, "chat log": CHAT_LOG, "anthropic": ANTHROPIC, "ai-sdk": AI_SDK,
    "langchain": LANGCHAIN, "responses": RESPONSES, "langsmith": LANGSMITH,
    "langfuse": LANGFUSE, "claude-code": CLAUDE_CODE, "codex": CODEX, "atif": ATIF,
    "openhands": OPENHANDS, "swe-agent": SWE_AGENT, "sharegpt": SHAREGPT, "otlp": OTLP,
}  # fmt: skip
