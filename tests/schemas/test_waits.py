"""For how long the oldest record waits for its commit."""

from schemas.waits import Waits

START_S = 1_800_000_000


def waits_at(now_s: list[float]) -> Waits:
    return Waits(lambda: now_s[0])


def test_a_record_waits_from_its_own_time_until_its_commit() -> None:
    now_s = [START_S + 5.0]
    waits = waits_at(now_s)
    assert waits.seconds() == 0
    waits.read(START_S * 1_000)
    waits.read((START_S + 4) * 1_000)
    assert waits.seconds() == 5
    waits.buffer(START_S * 1_000)
    waits.commit()
    # The second poll has not passed all steps.
    assert waits.seconds() == 1
    waits.buffer((START_S + 4) * 1_000)
    waits.commit()
    # What follows in the source may be as old, until a poll is empty.
    assert waits.seconds() == 1
    waits.read(None)
    assert waits.seconds() == 0


def test_a_commit_without_records_changes_nothing() -> None:
    waits = waits_at([START_S + 2.0])
    waits.read(None)
    waits.buffer(None)
    waits.commit()
    assert waits.seconds() == 0


def test_an_absurd_time_counts_from_the_arrival() -> None:
    now_s = [float(START_S)]
    waits = waits_at(now_s)
    waits.read(-1)
    now_s[0] += 3
    assert waits.seconds() == 3
