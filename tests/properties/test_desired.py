"""Whatever readings come in whatever order: nothing is fought, and nothing is told without end."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from agent.command import desired
from agent.command.desired import APART_S, TOLD_MOST, Seen, Setting, Wanted

BEGAN = 1_800_000_000.0
WANTED = Wanted(verb="power.limit", params={"watts": 400.0}, order="a", who="local:ana", at=BEGAN)
STEPS = st.lists(
    st.tuples(
        st.sampled_from([True, False, None]),
        st.sampled_from([0, 0, 0, 1]),
        st.floats(0.5, 2000.0),
    ),
    max_size=200,
)


def run(steps: list[tuple[bool | None, int, float]], *, restores: bool) -> list[tuple[float, Seen]]:
    """Each reading, by when it came."""
    setting, now, begun = Setting(held=WANTED, begun=0), BEGAN, 0
    found = []
    for shown, begins, after_s in steps:
        now += after_s
        begun += begins
        seen = desired.observe(
            setting,
            sent_shown=None,
            held_shown=shown,
            begun=begun,
            fresh=True,
            now=now,
            restores=restores,
        )
        found.append((now, seen))
    return found


@given(STEPS)
def test_a_setting_is_put_back_once_an_hour_at_most_and_never_once_it_is_contested(steps) -> None:
    found = run(steps, restores=True)
    times = [now for now, seen in found if seen.restore]
    assert all(later - earlier >= APART_S for earlier, later in pairwise(times))
    contested = [now for now, seen in found if seen.news and seen.news.contested]
    if contested:
        assert not [now for now in times if now >= contested[0]]


@given(STEPS)
def test_where_nothing_is_to_be_put_back_nothing_is(steps) -> None:
    assert not [seen for _, seen in run(steps, restores=False) if seen.restore]


@given(STEPS, st.booleans())
def test_every_change_is_told_and_no_more_than_so_many_an_hour(steps, restores) -> None:
    found = run(steps, restores=restores)
    changes, was = [], True
    for (now, _), (shown, _, _) in zip(found, steps, strict=True):
        if shown is False and was:
            changes.append(now)
        was = was if shown is None else shown
    told = [(now, seen.news) for now, seen in found if seen.news]
    assert sum(news.times for _, news in told) <= len(changes)
    assert not changes or (told and told[0][0] == changes[0])
    # a rival that is found out is told beside them, once
    for now, _ in told:
        assert len([at for at, _ in told if now <= at < now + APART_S]) <= 2 * TOLD_MOST + 1


@given(STEPS, st.booleans())
def test_what_is_told_or_put_back_is_written_down(steps, restores) -> None:
    for _, seen in run(steps, restores=restores):
        assert seen.altered or not (seen.news or seen.restore)
