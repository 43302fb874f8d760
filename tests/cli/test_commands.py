"""The command line without a broker: help, wrong usage, and printed errors."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from semloop import __main__
from semloop.command import cli
from semloop.errors import TakenOver
from semloop.extras import install_todo
from tests.cli.helpers import Semloop
from tests.support.builders import an_event, raw
from tests.support.processes import ROOT

# No service listens on this privileged port.
UNREACHABLE = "127.0.0.1:1"


@pytest.fixture(autouse=True)
def _no_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SEMLOOP_KAFKA", UNREACHABLE)


def test_without_arguments_help_is_printed(semloop: Semloop) -> None:
    code, out, err = semloop.run()
    assert (code, err) == (0, "")
    assert all(name in out for name in cli.COMMANDS)
    assert "_supervise" not in out
    assert semloop.run("--help")[1].split() == out.split()


@pytest.mark.parametrize("command", [*cli.COMMANDS])
def test_every_command_has_help(semloop: Semloop, command: str) -> None:
    code, out, _ = semloop.run(command, "--help")
    assert code == 0
    assert f"semloop {command}" in out


@pytest.mark.parametrize(
    "line", ["recall \udcff", "sql SELECT'\udcff'", "dlq ls --agent=\udcff", "\udcff"]
)
def test_an_argument_that_is_not_utf_8_is_refused(semloop: Semloop, line: str) -> None:
    what, todo = semloop.refused(*line.split())
    number = len(line.split())
    assert what.startswith(f"Argument {number} is not UTF-8: ")
    assert todo.startswith("Give it as UTF-8")


def test_a_file_whose_name_is_not_utf_8_can_be_given(
    semloop: Semloop, tmp_path: Path
) -> None:
    file = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.txt"))
    file.write_text("ann@example.com")
    assert "email" in semloop("redact", str(file))


def test_the_version_is_printed(semloop: Semloop) -> None:
    assert semloop.run("--version")[:2] == (0, "semloop 0.1.0\n")


@pytest.mark.parametrize(
    ("line", "what", "todo"),
    [
        ("sqll", "There is no command 'sqll'.", "Did you mean 'sql'?"),
        ("sql --formt json", "No such option: --formt", "semloop sql --help"),
        ("run", "Missing argument 'FLOW'", "semloop run --help"),
        (
            "run nothing",
            "There is no flow 'nothing'.",
            "The flows are: archive, memory, metrics.",
        ),
        (
            "run index",
            "The flow index is a maintenance command",
            "`semloop maintain index`",
        ),
        ("import", "Missing argument 'FILE...'.", "semloop import --help"),
        (
            "import x --format xlsx",
            "There is no format 'xlsx'.",
            "The formats are: auto",
        ),
        ("import x --format chat", "'x' does not exist.", "Give a file of JSON"),
        ("down", "SemLoop is not running for the lake", "semloop up"),
        ("down --purge", "was not created by `semloop up`", "Set SEMLOOP_LAKE"),
        ("down --timeout -1", "greater than or equal to 0", "semloop down --help"),
        ("up --broker-only", f"SEMLOOP_KAFKA is set to {UNREACHABLE}", "Omit"),
    ],
)
def test_wrong_usage_is_reported_in_two_lines(
    semloop: Semloop, line: str, what: str, todo: str
) -> None:
    errors = semloop.refused(*line.split())
    assert what in errors[0]
    assert todo in errors[1]


@pytest.mark.parametrize("line", ["up", "down", "down --purge --force"])
def test_the_local_stack_needs_a_local_lake(
    semloop: Semloop, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    monkeypatch.setenv("SEMLOOP_LAKE", "s3://bucket/prefix")
    code, _, err = semloop.run(*line.split())
    assert code == 1
    assert err.startswith("s3://bucket/prefix is not a local lake.\n")


def test_an_unreachable_broker_is_reported_and_no_state_is_written(
    semloop: Semloop,
) -> None:
    Path("file").write_bytes(raw(an_event()))
    for line in ("import file --format events", "up"):
        code, _, err = semloop.run(*line.split())
        assert code == 1
        assert err.startswith(f"No Kafka broker answers at {UNREACHABLE}")
    assert not Path(".semloop/_local/stack.json").exists()


def test_status_works_without_broker_and_lake(semloop: Semloop) -> None:
    code, out, _ = semloop.run("status", "--format", "json")
    assert code == 0
    found = json.loads(out)
    assert list(found) == ["kafka", "lake", "flows", "agents"]
    assert found["kafka"]["reachable"] is False
    assert found["lake"]["tables"] == {}
    assert found["flows"]["archive"]["lag"] is None
    assert not Path(".semloop").exists()
    assert "DOES NOT ANSWER" in semloop.run("status")[1]


def test_health_suggests_what_to_do(semloop: Semloop) -> None:
    code, out, _ = semloop.run("health")
    assert code == 1
    assert "FAIL  broker" in out
    assert "`semloop up`" in out
    code, out, _ = semloop.run("health", "--format", "json")
    assert (code, json.loads(out)["kafka"]["ok"]) == (1, False)


def test_secrets_are_not_shown(
    semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = "a key that must not be printed"
    monkeypatch.setenv("SEMLOOP_REDACTION_KEY", secret)
    for line in ("status", "status --format json", "health"):
        assert secret not in "".join(map(str, semloop.run(*line.split())))


@pytest.fixture
def fails(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.COMMANDS, "fail", f"{__name__}:fail")


def fail(kind: str) -> None:
    match kind:
        case "ours":
            msg = "What happened."
            raise TakenOver(msg, "What to do.")
        case "package":
            msg = "No module named 'psutil'"
            raise ModuleNotFoundError(msg, name="psutil")
        case "interrupt":
            raise KeyboardInterrupt
        case "query":
            msg = "Query interrupted"
            raise RuntimeError(msg)
    msg = "booker wrote: my card is 4111"
    raise ValueError(msg)


@pytest.mark.usefixtures("fails")
def test_our_errors_have_two_lines_and_their_exit_code(semloop: Semloop) -> None:
    assert semloop.run("fail", "ours") == (3, "", "What happened.\nWhat to do.\n")


@pytest.mark.usefixtures("fails")
def test_an_unexpected_error_is_reported_without_its_text(semloop: Semloop) -> None:
    code, _, err = semloop.run("fail", "other")
    assert code == 1
    assert err.startswith("Unexpected ValueError at test_commands.py:")
    assert "4111" not in err


@pytest.mark.usefixtures("fails")
def test_debug_shows_the_traceback(
    semloop: Semloop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SEMLOOP_DEBUG", "")  # So that it is restored afterwards.
    assert "4111" in semloop.run("--debug", "fail", "other")[2]


@pytest.mark.usefixtures("fails")
def test_a_missing_package_names_the_extra(semloop: Semloop) -> None:
    assert semloop.run("fail", "package") == (
        1,
        "",
        f"The package 'psutil' is not installed.\n{install_todo('all')}\n",
    )


@pytest.mark.usefixtures("fails")
def test_ctrl_c_is_quiet(semloop: Semloop) -> None:
    assert semloop.run("fail", "interrupt") == (130, "", "")
    assert semloop.run("fail", "query") == (130, "", "")


def test_the_base_package_alone_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(__main__, "find_spec", lambda name: None)
    with pytest.raises(SystemExit, match="1"):
        __main__.main()
    assert install_todo("all") in capsys.readouterr().err


@pytest.mark.process
def test_help_imports_nothing_heavy() -> None:
    heavy = ("duckdb", "pyarrow", "bytewax", "deltalake", "confluent_kafka", "flows")
    code = (
        "import sys, atexit\n"
        f"heavy = {heavy!r}\n"
        "atexit.register(lambda: print([n for n in heavy if n in sys.modules]))\n"
        "from semloop.command.cli import main\n"
        "main(['--help'])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines()[-1] == "[]"
