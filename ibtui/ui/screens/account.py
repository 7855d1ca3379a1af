"""The Account screen: P&L with a chart, summary, ledger."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from ibtui.ui import keymap
from ibtui.ui.messages import PnlChanged, SummaryChanged
from ibtui.ui.present import account as present
from ibtui.ui.present import privacy
from ibtui.ui.present.numbers import duration
from ibtui.ui.present.spans import Line, line, plain
from ibtui.ui.screens.base import Pane
from ibtui.ui.widgets.lines import Lines

_SIDE_BY_SIDE = 120


class AccountScreen(Pane):
    """One account's money."""

    mode = "account"
    title_spans = (("Account", "title"),)
    BINDINGS: ClassVar[list[BindingType]] = [*keymap.bindings("account")]

    def body(self) -> Iterable[Widget]:
        """One scrolling page."""
        yield Lines(id="lower", focusable=True)

    def on_mount(self) -> None:
        """Arrow keys scroll."""
        self.query_one("#lower").focus()

    def reload(self) -> None:
        """The page anew; equal lines are not repainted."""
        self.query_one("#lower", Lines).show(self._page())

    def tick(self) -> None:
        """The age of the values grows."""
        super().tick()
        self.reload()

    def on_pnl_changed(self, _: PnlChanged) -> None:
        """P&L and chart."""
        self.reload()

    def on_summary_changed(self, message: SummaryChanged) -> None:
        """Summary and ledger."""
        self.reload()

    def on_resize(self) -> None:  # type: ignore[override]
        """The chart takes the width there is."""
        self.reload()

    def _page(self) -> list[Line]:
        app = self.ibtui
        store = app.store
        if store is None or not app.account:
            return [line((" Loading accounts …", "muted"))]
        hide, name = app.hidden, app.account
        found = next((it for it in store.accounts if it.id == name), None)
        base = app.context().base
        summary = present.summary(store.summary.get(name, {}), hide=hide)
        ledger = present.ledger(store.ledger.get(name, {}), base, hide=hide)
        title = present.title(
            privacy.account(name, hide=hide), None if hide or found is None else found.alias, base
        )
        age = app.age("summary", "ledger", "pnl")
        old = "" if age is None else f"   {duration(age)} old"
        others = f"   a next of {len(store.accounts)} accounts" if len(store.accounts) > 1 else ""
        head = line((f" {title}", "strong"), (old, "muted"), (others, "muted"))
        wide = self.size.width >= _SIDE_BY_SIDE
        tall = max(4, min(10, self.size.height - (24 if wide else 34)))
        money = present.pnl(store.pnl.get(name), base, hide=hide)
        chart = present.chart(app.history.samples(name), min(self.size.width, 160) - 2, tall, hide=hide)
        blank = line("")
        pieces = [head, blank, *money, blank, *chart, blank]
        summary = summary or [line((" Loading the summary …", "muted"))]
        if wide:
            return [*pieces, *_beside(summary, ledger, 44)]
        return [*pieces, *ledger, blank, *summary]

    def action_copy(self) -> None:
        """The page as text."""
        lines = self.query_one("#lower", Lines).lines
        self.ibtui.copy("\n".join(plain(spans).rstrip() for spans in lines), "this page")


def _beside(left: list[Line], right: list[Line], at: int) -> list[Line]:
    """Two blocks side by side, the right one from cell `at` on."""
    out: list[Line] = []
    for index in range(max(len(left), len(right))):
        first = left[index] if index < len(left) else ()
        gap = " " * max(1, at - len(plain(first)))
        second = right[index] if index < len(right) else ()
        out.append((*first, (gap, ""), *second))
    return out
