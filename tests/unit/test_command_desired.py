"""What was ordered and proved against later readings: told, put back once, never fought."""

from __future__ import annotations

from typing import Any

import pytest

from agent.command import desired
from agent.command.desired import APART_S, Cause, Seen, Setting, Wanted

NOW = 1_800_000_000.0
HOUR = APART_S


def wanted(order: str = "a", watts: float = 400.0) -> Wanted:
    return Wanted(verb="power.limit", params={"watts": watts}, order=order, who="local:ana", at=NOW)


class Case:
    """One setting, read by read."""

    def __init__(self, *, restores: bool = False, setting: Setting | None = None) -> None:
        self.setting = setting or Setting(held=wanted(), begun=0)
        self.restores = restores
        self.now = NOW

    def read(
        self,
        shown: bool | None,
        *,
        begun: int | None = 0,
        after_s: float = 5.0,
        fresh: bool = True,
    ) -> Seen:
        self.now += after_s
        return desired.observe(
            self.setting,
            sent_shown=None,
            held_shown=shown,
            begun=begun,
            fresh=fresh,
            now=self.now,
            restores=self.restores,
        )


def told(seen: Seen) -> Any:
    return None if seen.news is None else (seen.news.cause, seen.news.restores, seen.news.contested)


# --- what orders leave ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("good", "obeyed", "shows", "held", "sent"),
    [
        (True, True, True, "new", None),
        (True, None, True, "new", None),
        (False, False, True, "old", None),
        (False, True, True, None, "new"),
        (False, None, True, "old", "new"),
    ],
)
def test_what_is_wanted_after_an_order(good, obeyed, shows, held, sent) -> None:
    setting = Setting(held=wanted("old"), contested=True, undone=True)
    desired.send(setting, wanted("new"))
    left = desired.settle(setting, good=good, obeyed=obeyed, shows=shows, begun=0)
    assert left is not None
    assert (left.held and left.held.order, left.sent and left.sent.order) == (held, sent)
    assert left.contested is (held == "old")


@pytest.mark.parametrize("obeyed", [True, None])
def test_where_no_reading_can_show_it_nothing_is_wanted_any_more(obeyed) -> None:
    setting = Setting(held=wanted("lock"))
    desired.send(setting, wanted("reset"))
    assert desired.settle(setting, good=False, obeyed=obeyed, shows=False, begun=0) is None


def test_a_first_order_that_is_refused_leaves_nothing() -> None:
    setting = Setting()
    desired.send(setting, wanted())
    assert desired.settle(setting, good=False, obeyed=False, shows=True, begun=0) is None


def test_an_order_that_overtakes_another_replaces_what_was_held() -> None:
    setting = Setting(held=wanted("old"))
    desired.send(setting, wanted("one"))
    desired.send(setting, wanted("one"))  # a repeat of the same changes nothing
    assert setting.held is not None
    desired.send(setting, wanted("two"))
    assert (setting.held, setting.sent) == (None, wanted("two"))


@pytest.mark.parametrize(
    ("shown", "held", "sent"), [(True, "new", None), (False, "old", None), (None, "old", "new")]
)
def test_an_order_without_a_verdict_is_settled_by_a_reading(shown, held, sent) -> None:
    setting = Setting(held=wanted("old"), sent=wanted("new"), contested=True)
    seen = desired.observe(
        setting, sent_shown=shown, held_shown=None, begun=3, fresh=True, now=NOW, restores=True
    )
    assert (setting.held and setting.held.order) == held
    assert (setting.sent and setting.sent.order) == sent
    assert seen == Seen(altered=shown is not None)
    if shown:
        assert (setting.begun, setting.contested) == (3, False)


# --- what readings show ---------------------------------------------------------------------------


def test_what_holds_or_does_not_show_is_not_missed() -> None:
    case = Case(restores=True)
    assert [case.read(shown) for shown in (True, None, True)] == [Seen()] * 3


@pytest.mark.parametrize("restores", [False, True])
@pytest.mark.parametrize(
    ("known", "begun", "cause"),
    [
        (0, 0, Cause.CHANGED),
        (0, 1, Cause.FORGOTTEN),
        (2, 0, Cause.FORGOTTEN),
        (None, 0, Cause.UNKNOWN),
        (0, None, Cause.CHANGED),
        (None, None, Cause.CHANGED),
    ],
)
def test_what_is_gone_is_told_with_its_cause(restores, known, begun, cause) -> None:
    case = Case(restores=restores, setting=Setting(held=wanted(), begun=known))
    seen = case.read(False, begun=begun)
    assert told(seen) == (cause, restores, False)
    assert seen.restore == (wanted() if restores else None)
    assert seen.altered


def test_it_is_told_once_as_long_as_it_stays_so() -> None:
    case = Case()
    assert told(case.read(False))
    assert [case.read(False, after_s=600.0) for _ in range(20)] == [Seen()] * 20


def test_it_is_put_back_once_and_a_rival_is_left_alone() -> None:
    case = Case(restores=True)
    assert case.read(False).restore
    assert told(case.read(True)) is None
    seen = case.read(False, after_s=HOUR - 60)
    assert told(seen) == (Cause.CHANGED, False, True)
    assert seen.restore is None
    later = [case.read(shown, after_s=HOUR) for shown in (False, True, False, False, True) * 3]
    assert not [seen for seen in later if seen.restore]
    assert all(seen.news.contested for seen in later if seen.news)


def test_a_rival_that_is_quicker_than_the_next_reading_is_found_out() -> None:
    case = Case(restores=True)
    assert case.read(False).restore
    desired.restored(case.setting, 0)
    assert told(case.read(False)) == (Cause.CHANGED, False, True)


def test_a_change_an_hour_after_it_was_put_back_has_no_rival() -> None:
    case = Case(restores=True)
    assert case.read(False).restore
    case.read(True)
    assert told(case.read(False, after_s=HOUR)) == (Cause.CHANGED, True, False)


def test_a_driver_that_forgets_again_is_no_rival_and_waits_for_its_hour() -> None:
    case = Case(restores=True)
    assert case.read(False, begun=1).restore
    case.read(True, begun=1)
    seen = case.read(False, begun=2, after_s=60)
    assert told(seen) == (Cause.FORGOTTEN, False, False)
    assert case.read(False, begun=2, after_s=60) == Seen()
    late = case.read(False, begun=2, after_s=HOUR)
    assert late.restore == wanted()


def test_a_value_that_is_older_than_the_reload_does_not_hide_it() -> None:
    case = Case()
    case.read(True, begun=1, fresh=False)
    assert told(case.read(False, begun=1)) == (Cause.FORGOTTEN, False, False)


def test_a_setting_that_outlived_a_reload_is_not_forgotten_later() -> None:
    case = Case()
    case.read(True, begun=1)
    assert told(case.read(False, begun=1)) == (Cause.CHANGED, False, False)


def test_what_was_not_put_back_by_an_order_is_tried_again_after_an_hour() -> None:
    case = Case(restores=True)
    tries = [bool(case.read(False, after_s=60).restore) for _ in range(180)]
    assert [at for at, tried in enumerate(tries) if tried] == [0, 60, 120]


def test_a_policy_that_changes_counts_for_what_is_gone_already() -> None:
    case = Case()
    case.read(False)
    case.restores = True
    assert case.read(False).restore


def test_a_flapping_setting_is_told_three_times_and_then_counted() -> None:
    case = Case()
    seen = [case.read(shown, after_s=10) for shown in (False, True) * 50]
    assert [each.news.times for each in seen if each.news] == [1, 1, 1]
    late = case.read(True, after_s=HOUR)
    assert late.news is not None
    assert late.news.times == 47
    assert case.read(True, after_s=HOUR) == Seen()


def test_a_clock_that_goes_back_stops_nothing() -> None:
    case = Case(restores=True)
    assert case.read(False).restore
    case.read(True)
    case.now -= 10 * HOUR
    assert told(case.read(False)) == (Cause.CHANGED, False, True)
    other = Case(restores=True, setting=Setting(held=wanted(), begun=0, restored_at=NOW + HOUR))
    assert not other.read(False, begun=1).restore
    assert other.read(False, begun=1, after_s=HOUR).restore
