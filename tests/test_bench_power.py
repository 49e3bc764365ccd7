"""bench/power.py: what a power cut leaves, and what it cannot take."""

import random

from hypothesis import given
from hypothesis import strategies as st

from shorewatch.bench.power import HEAD, Disk, Step, parsed, settled, sizes

NAMES = st.sampled_from(["a", "a-wal"])
STEPS = st.lists(
    st.one_of(
        st.builds(Step, st.just("write"), NAMES, st.integers(0, 2000), st.binary(max_size=1500)),
        st.builds(Step, st.just("truncate"), NAMES, st.integers(0, 2000)),
        st.builds(Step, st.just("sync"), NAMES),
    ),
    max_size=20,
)
BORN = [Step("create", "a"), Step("create", "a-wal")]


@given(steps=STEPS)
def test_a_step_is_the_same_at_the_other_end_of_a_pipe(steps):
    """Bytes say all of a step."""
    for step in [*steps, Step("delete", "a-wal", is_sure=True)]:
        data = step.encoded()
        name, _ = sizes(data[: HEAD.size])
        end = HEAD.size + name
        assert parsed(data[: HEAD.size], data[HEAD.size : end], data[end:]) == step


@given(steps=STEPS, seed=st.integers(0, 1000))
def test_what_was_synced_last_is_left_whole(steps, seed):
    """After a sync of every file a cut takes nothing."""
    disk = Disk([*BORN, *steps, Step("sync", "a"), Step("sync", "a-wal")])

    assert disk.left(random.Random(seed)) == disk.whole()


def test_what_was_not_synced_is_left_or_not_by_sectors():
    """Of one large write some sectors are there and some are not."""
    data = bytes([1]) * 512 * 20
    disk = Disk([*BORN, Step("sync", "a"), Step("write", "a", 0, data)])

    left = disk.left(random.Random(1))["a"]
    sectors = {left[at : at + 512] for at in range(0, len(left), 512)}
    assert sectors == {bytes(512), data[:512]}


@given(steps=STEPS, found=st.dictionaries(NAMES, st.binary(max_size=1500)))
def test_files_that_are_seen_are_what_is_known(steps, found):
    """Whatever was told, the files as they are found are what is read from then on."""
    disk = Disk([*BORN, *steps])
    disk.see(found)

    assert disk.whole() == found


@given(found=st.dictionaries(NAMES, st.binary(max_size=1500)), seed=st.integers(0, 1000))
def test_a_settled_disk_loses_nothing(found, seed):
    """Files that are there for sure outlive a cut."""
    assert settled(found).left(random.Random(seed)) == found


def test_what_was_seen_and_not_told_is_not_sure():
    """A write that a kill kept from being told can still be lost with the power."""
    disk = settled({"a": b"old"})
    disk.see({"a": b"new"})

    assert {disk.left(random.Random(seed))["a"] for seed in range(50)} >= {b"old", b"new"}
