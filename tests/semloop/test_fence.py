"""A fence is one int64 in the log: its epoch and its writer's number of commits."""

import pytest

from semloop.delta.fence import Fence


@pytest.mark.parametrize(
    ("fence", "number"),
    [
        (Fence(0), 0),
        (Fence(1), 2**32),
        (Fence(1, 7), 2**32 + 7),
        (Fence(5, 2**32 - 1), 6 * 2**32 - 1),
        (Fence(2**31 - 1, 2**32 - 1), 2**63 - 1),
    ],
)
def test_pack_and_unpack_are_inverse(fence: Fence, number: int) -> None:
    assert fence.pack() == number
    assert Fence.unpack(number) == fence


def test_a_partition_that_was_never_owned_has_epoch_zero() -> None:
    assert Fence.unpack(None) == Fence(epoch=0, commits=0)


def test_a_later_epoch_is_larger_than_any_number_of_commits_of_an_earlier_one() -> None:
    assert Fence(2).pack() > Fence(1, 2**32 - 1).pack()
