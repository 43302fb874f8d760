"""Data in texts becomes placeholders; words, names and hashes stay."""

import base64
import json
import random
import textwrap
import uuid
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from semloop.texts.wordless import GATE, placeholder, without_data

pytestmark = pytest.mark.unit

CHOICE = random.Random(1)
DATA = CHOICE.randbytes(60_000)
CODE = base64.b64encode(DATA).decode()
URL_SAFE = base64.urlsafe_b64encode(DATA).decode()


def encoded(first: bytes, size: int = 60_000) -> str:
    """Return a file of a type in base64."""
    return base64.b64encode((first + DATA)[:size]).decode()


def in_lines(code: str, width: int) -> str:
    return "\n".join(textwrap.wrap(code, width))


def hexdump(data: bytes, *, offset_end: str, step: int, text: str) -> str:
    """Return a dump with 16 bytes a line, in groups of `step`."""
    lines = []
    for at in range(0, len(data), 16):
        line = data[at : at + 16]
        groups = (line[n : n + step].hex() for n in range(0, len(line), step))
        lines.append(f"{at:08x}{offset_end} {' '.join(groups)}  {text}")
    return "\n".join(lines)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        pytest.param(f"data:image/png;base64,{CODE}", "[image/png, 60 kB]", id="data URL"),
        pytest.param(f"a data:text/plain;charset=utf-8;base64,{CODE} b", "a [text/plain, 60 kB] b", id="data URL with a charset"),
        pytest.param(f"data:;base64,{CODE}", "[base64, 60 kB]", id="data URL without a type"),
        pytest.param(f"<img src='data:image/gif;base64,{'R0lG' * 40}'>", "<img src='[image/gif, 120 bytes]'>", id="a small data URL"),
        pytest.param(f"data:image/svg+xml,{quote('<path d=1/>' * 40)}", "[image/svg+xml, 440 bytes]", id="data URL without base64"),
        pytest.param(f"data:image/png;base64,\n{in_lines(CODE, 76)}\nok", "[image/png, 60 kB]\nok", id="data URL in lines"),
        pytest.param(f"see {CODE}, ok", "see [base64, 60 kB], ok", id="base64"),
        pytest.param(f"see {URL_SAFE} ok", "see [base64, 60 kB] ok", id="URL-safe base64"),
        pytest.param(f"{in_lines(CODE, 76)}\nDone at last", "[base64, 60 kB]\nDone at last", id="base64 in lines of mail"),
        pytest.param(f"{in_lines(CODE[:-4] + 'abc=', 64)}\r\nDone", "[base64, 60 kB]\r\nDone", id="base64 in lines of PEM"),
        pytest.param(base64.b64encode(bytes(5_000)).decode(), "[base64, 5 kB]", id="base64 of zeros"),
        pytest.param(base64.b64encode(b"Some words of a text. " * 50).decode(), "[base64, 1.1 kB]", id="base64 of a text"),
        pytest.param(encoded(b"%PDF-1.7"), "[application/pdf, 60 kB]", id="PDF by its first bytes"),
        pytest.param(encoded(b"\x89PNG\r\n\x1a\n", 1_200_000 // 20), "[image/png, 60 kB]", id="PNG by its first bytes"),
        pytest.param(encoded(b"RIFF\0\0\0\0WAVEfmt "), "[audio/wav, 60 kB]", id="WAV by its first bytes"),
        pytest.param(DATA.hex(), "[hex, 60 kB]", id="hex"),
        pytest.param(in_lines(DATA[:3_000].hex(), 60), "[hex, 3 kB]", id="hex in lines"),
        pytest.param(f"dump:\n{hexdump(DATA[:640], offset_end=':', step=2, text='..Hello..')}\nend", "dump:\n[hex, 640 bytes]\nend", id="xxd"),
        pytest.param(hexdump(DATA[:640], offset_end=" ", step=1, text="|.Hello.|"), "[hex, 640 bytes]\n", id="hexdump"),
        pytest.param(DATA[:500].hex(" "), "[hex, 500 bytes]", id="bytes with spaces"),
        pytest.param(", ".join(f"0x{n:02x}" for n in DATA[:500]), "[hex, 500 bytes]", id="bytes of C"),
        pytest.param(str(list(DATA[:1_000])), "[[binary, 1 kB]]", id="a list of bytes"),
        pytest.param(str([n / 7_919 for n in range(1, 385)]), "[384 numbers]", id="a vector"),
        pytest.param("=" * 300 + " passed", "=== passed", id="a line of signs"),
    ],
)  # fmt: skip
def test_data_is_replaced_by_its_type_and_size(text: str, shown: str) -> None:
    assert without_data(text) == shown


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(repr(DATA[:800]), id="escapes of Python"),
        pytest.param(DATA[:800].decode("utf-8", "replace"), id="replaced characters"),
        pytest.param(DATA[:800].decode("latin-1"), id="decoded as Latin"),
        pytest.param(quote(DATA[:800]), id="percent signs"),
    ],
)
def test_bytes_that_were_shown_as_text_leave_little(text: str) -> None:
    assert len(without_data(text)) < len(text) / 4


@pytest.mark.parametrize(
    ("block", "shown"),
    [
        pytest.param({"type": "image", "source": {"type": "base64", "media_type": "image/jpeg", "data": CODE}}, "[image/jpeg, 60 kB]", id="Anthropic"),
        pytest.param({"type": "image", "data": CODE, "mimeType": "image/webp"}, "[image/webp, 60 kB]", id="MCP"),
        pytest.param({"resource": {"uri": "a:b", "mimeType": "application/pdf", "blob": CODE}}, "[application/pdf, 60 kB]", id="resource of MCP"),
        pytest.param({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{CODE}"}}, "[image/png, 60 kB]", id="OpenAI"),
        pytest.param({"input_audio": {"data": CODE, "format": "mp3"}}, "[audio/mp3, 60 kB]", id="sound of OpenAI"),
        pytest.param({"inlineData": {"mimeType": "video/mp4", "data": CODE}}, "[video/mp4, 60 kB]", id="Gemini"),
        pytest.param({"mimeType": "text/html", "other": {"data": CODE}}, "[base64, 60 kB]", id="a field of another object"),
    ],
)  # fmt: skip
def test_the_type_is_that_of_the_field_next_to_the_data(
    block: object, shown: str
) -> None:
    assert without_data(json.dumps(block)) == json.dumps(block).replace(
        f"data:image/png;base64,{CODE}", shown
    ).replace(CODE, shown)
    in_text = json.dumps({"content": json.dumps(block)})
    assert shown in without_data(in_text)
    assert len(without_data(in_text)) < 300


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("/usr/local/lib/" + "/".join(["some_folder", "another-one", "tests", "MyComponent"] * 8), id="a path"),
        pytest.param("https://example.com/" + "-".join(["how", "to", "bake", "bread", "at", "home"] * 12) + "?q=1", id="a URL"),
        pytest.param("get_user_name_and_address_" * 20, id="snake case"),
        pytest.param("thisIsAVeryLongCamelCaseIdentifier" * 8, id="camel case"),
        pytest.param("Donaudampfschifffahrtsgesellschaftskapitaen" * 4, id="a long word"),
        pytest.param(DATA[:64].hex(), id="SHA-512"),
        pytest.param("sha512-" + base64.b64encode(DATA[:64]).decode(), id="a hash in base64"),
        pytest.param("\n".join(DATA[n : n + 32].hex() for n in range(0, 640, 32)), id="SHA-256, one a line"),
        pytest.param("\n".join(f"{DATA[n : n + 20].hex()}  file{n}" for n in range(40)), id="hashes of files"),
        pytest.param("\n".join(str(uuid.UUID(int=CHOICE.getrandbits(128))) for _ in range(50)), id="UUIDs"),
        pytest.param(json.dumps({f"k{n}": {"a": n, "b": [1, 2, 3], "name": "x" * 10} for n in range(100)}, separators=(",", ":")), id="minified JSON"),
        pytest.param("function a(b,c){return b+c};var d=a(1,2);" * 30, id="minified JavaScript"),
        pytest.param("证书过期了" * 200, id="Chinese"),
        pytest.param("การเชื่อมต่อ" * 200, id="Thai"),
        pytest.param("\n".join(f"{n} {n * 7} {n * 13}" for n in range(300)), id="a table of numbers"),
        pytest.param(str(list(range(1_000, 1_400))), id="a list of ids"),
        pytest.param("\x1b[31mfailed\x1b[0m \x1b[32mpassed\x1b[0m\n" * 60, id="colours of a terminal"),
        pytest.param("HOME=/home/ann\0PATH=/bin:/usr/bin\0" * 60, id="words between NULs"),
        pytest.param("- [x] done\n" * 100, id="a list of tasks"),
        pytest.param("data: image/png, base64", id="words about data"),
        pytest.param("", id="nothing"),
    ],
)  # fmt: skip
def test_words_names_and_hashes_stay(text: str) -> None:
    assert without_data(text) == text


@pytest.mark.parametrize(
    ("size", "shown"),
    [
        (0, "0 bytes"), (999, "999 bytes"), (1_000, "1 kB"), (1_234, "1.2 kB"),
        (60_000, "60 kB"), (1_200_000, "1.2 MB"), (25_000_000_000, "25 GB"),
        (5e12, "5000 GB"),
    ],
)  # fmt: skip
def test_sizes_have_two_digits_at_most(size: float, shown: str) -> None:
    assert placeholder("base64", size) == f"[base64, {shown}]"


@given(
    st.lists(
        st.sampled_from(["word", "\n", " ", CODE[:100], CODE[:400], '"', "{", "data:"])
        | st.text(max_size=20),
        max_size=8,
    ).map("".join)
)
def test_placeholders_are_not_data_again(text: str) -> None:
    once = without_data(text)
    assert without_data(once) == once
    assert len(once) <= len(text)


def test_the_gate_of_the_archive_lets_all_data_pass() -> None:
    import pyarrow as pa
    import pyarrow.compute as pc

    texts = [
        text
        for mark in test_data_is_replaced_by_its_type_and_size.pytestmark  # type: ignore[attr-defined]
        if mark.name == "parametrize"
        for (text, _) in (parameters.values for parameters in mark.args[1])
    ]
    assert len(texts) > 20
    assert pc.all(pc.match_substring_regex(pa.array(texts), GATE)).as_py()
