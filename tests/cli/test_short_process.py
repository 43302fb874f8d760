"""A process that ends without freeing anything has still printed everything."""

import gc
import json

import pytest

from semloop.command.short_process import short_process
from semloop.errors import ConfigError
from semloop.settings import Settings
from tests.semloop.recall.a_memory_lake import a_memory_lake, a_message
from tests.support.processes import start

pytestmark = pytest.mark.process


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> Settings:
    rows = [a_message(f"refund {n} " + "x " * 300, f"e{n}") for n in range(300)]
    return a_memory_lake(tmp_path_factory.mktemp("lake"), *rows).settings


def recall(settings: Settings, *options: str) -> tuple[int, str, str]:
    """Return exit code, stdout and stderr."""
    with start(settings, "recall", "refund", *options) as process:
        out, err = process.communicate()
    return process.returncode, out, err


def test_a_long_output_is_complete(settings: Settings) -> None:
    code, out, err = recall(settings, "-k", "1000", "--format", "json")
    assert (code, err) == (0, "")
    assert [row["rank"] for row in json.loads(out)] == list(range(1, 301))
    assert len(out) > 2**17


def test_errors_are_reported_as_by_other_commands(settings: Settings) -> None:
    code, out, err = recall(settings, "-k", "0")
    assert (code, out) == (ConfigError.exit_code, "")
    assert "k is 0" in err
    assert recall(settings, "--no-such-option")[0] == ConfigError.exit_code


def test_a_reader_that_stops_reading_is_no_crash(settings: Settings) -> None:
    options = ("-k", "1000", "--format", "json")
    with start(settings, "recall", "refund", *options) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        assert process.stdout.readline() == "[\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait() == 1


def test_other_commands_end_as_usual() -> None:
    ended = SystemExit(0)
    with pytest.raises(SystemExit), short_process(["sql", "recall"]):
        raise ended
    assert gc.isenabled()
