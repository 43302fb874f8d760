"""The type of data in a text: as a field next to it says, or by its first bytes."""

import re

# A field of the same JSON object: content blocks of Anthropic, MCP, OpenAI and Gemini.
FIELD = re.compile(
    r"\\*[\"'](?:media_?type|mime_?type|content_?type)\\*[\"']\s*:\s*"
    r"\\*[\"'](?P<type>[a-z]+/[\w.+-]+)",
    re.IGNORECASE,
)
FORMAT = re.compile(r"\\*[\"']format\\*[\"']\s*:\s*\\*[\"'](?P<type>\w{2,5})\\*[\"']")
# Formats that OpenAI names for sound.
SOUND = {"wav", "mp3", "flac", "opus", "aac", "pcm16"}
# Characters before and after the data in which the field is searched.
NEAR_CHARS = 300
SIGNATURES = (
    (b"\x89PNG\r\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"GIF8", "image/gif"),
    (b"BM", "image/bmp"),
    (b"II*\0", "image/tiff"),
    (b"MM\0*", "image/tiff"),
    (b"%PDF-", "application/pdf"),
    (b"PK\x03\x04", "application/zip"),
    (b"\x1f\x8b", "application/gzip"),
    (b"BZh", "application/x-bzip2"),
    (b"\xfd7zXZ\0", "application/x-xz"),
    (b"\x28\xb5\x2f\xfd", "application/zstd"),
    (b"7z\xbc\xaf\x27\x1c", "application/x-7z-compressed"),
    (b"OggS", "audio/ogg"),
    (b"fLaC", "audio/flac"),
    (b"ID3", "audio/mpeg"),
    (b"\xff\xfb", "audio/mpeg"),
    (b"\x1aE\xdf\xa3", "video/webm"),
    (b"wOF2", "font/woff2"),
    (b"\0asm", "application/wasm"),
    (b"\x7fELF", "application/x-executable"),
    (b"SQLite format 3", "application/vnd.sqlite3"),
    (b"PAR1", "application/vnd.apache.parquet"),
    (b"-----BEGIN", "application/x-pem-file"),
)
# Types inside a RIFF container, and inside an ISO one, by a later name.
RIFF = {b"WEBP": "image/webp", b"WAVE": "audio/wav", b"AVI ": "video/x-msvideo"}
ISO = {b"avif": "image/avif", b"heic": "image/heic", b"M4A ": "audio/mp4"}


def declared_type(text: str, start: int, end: int) -> str | None:
    """Return the type that a field of the same object gives; None without one.

    Args:
        text: text with JSON.
        start: where the data begins.
        end: where it ends.
    """
    before = text[max(start - NEAR_CHARS, 0) : start]
    before = before[max(before.rfind("{"), before.rfind("}")) + 1 :]
    after = re.split(r"[{}]", text[end : end + NEAR_CHARS], maxsplit=1)[0]
    for near in (before, after):
        if found := FIELD.search(near):
            return found["type"].lower()
    for near in (before, after):
        if (found := FORMAT.search(near)) and found["type"] in SOUND:
            return f"audio/{found['type']}"
    return None


def type_of_bytes(data: bytes) -> str | None:
    """Return the type of data by its first bytes; None if they are not known."""
    if data[:4] == b"RIFF":
        return RIFF.get(data[8:12])
    if data[4:8] == b"ftyp":
        return ISO.get(data[8:12], "video/mp4")
    return next((kind for first, kind in SIGNATURES if data.startswith(first)), None)
