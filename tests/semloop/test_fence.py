"""A fence is one number in the log: its epoch, and how often its writer committed."""

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
def test_a_fence_comes_back_from_its_number(fence: Fence, number: int) -> None:
    assert fence.pack() == number
    assert Fence.unpack(number) == fence


def test_a_partition_that_was_never_owned_is_at_epoch_zero() -> None:
    assert Fence.unpack(None) == Fence(epoch=0, commits=0)


def test_a_later_epoch_is_larger_however_often_an_earlier_one_committed() -> None:
    assert Fence(2).pack() > Fence(1, 2**32 - 1).pack()
