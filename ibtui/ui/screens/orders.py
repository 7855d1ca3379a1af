"""The Orders screen: working, today, fills."""

from __future__ import annotations

from collections.abc import Iterable
from typing import ClassVar

from textual.binding import BindingType
from textual.widget import Widget

from ibtui.core.models import Order
from ibtui.ui.messages import EventLogged, FillsChanged, OrdersChanged
from ibtui.ui.present import orders as present
from ibtui.ui.present.spans import Span
from ibtui.ui.screens.rows import TablePane, bindings
from ibtui.ui.widgets.lines import Lines
from ibtui.ui.widgets.live_table import LiveTable

_ROOMY = 100
"""From this width on there is room for the word before the views."""
_VIEWS = ("working", "today", "fills")
_LOADING = "Loading orders …"
_NONE = {
    "working": "No working orders. tab shows today's.",
    "today": "No orders today.",
    "fills": "No fills today.",
}


class OrdersScreen(TablePane):
    """Orders of the day in two views, fills in a third."""

    mode = "orders"
    BINDINGS: ClassVar[list[BindingType]] = [*bindings("orders")]

    def __init__(self) -> None:
        super().__init__()
        self._view = "working"

    def body(self) -> Iterable[Widget]:
        """A table for orders, one for fills; one of them is shown."""
        yield LiveTable(present.ORDER_COLUMNS, empty_text=_LOADING, gap=1, id="orders")
        yield LiveTable(present.FILL_COLUMNS, empty_text=_LOADING, gap=1, id="fills")
        yield Lines(id="remark")
        yield Lines(id="foot")

    @property
    def table(self) -> LiveTable:
        """The one of the view."""
        return self.query_one("#fills" if self._view == "fills" else "#orders", LiveTable)

    def on_mount(self) -> None:
        """Newest first, keys to the table."""
        self.query_one("#fills", LiveTable).sort_by("time", descending=True)
        self.query_one("#orders", LiveTable).sort_by("time", descending=True)
        self._show_view()

    def _show_view(self) -> None:
        fills = self._view == "fills"
        self.query_one("#fills").display = fills
        self.query_one("#orders").display = not fills
        self.table.focus()

    def _orders(self) -> list[Order]:
        app = self.ibtui
        if app.store is None:
            return []
        mine = (it for it in app.store.orders.values() if not app.account or it.account in ("", app.account))
        return sorted(mine, key=lambda order: order.order_id)

    def reload(self) -> None:
        """Rows of the view, counts of all three."""
        app = self.ibtui
        if app.store is None:
            return
        orders = self._orders()
        working = [order for order in orders if present.is_working(order)]
        fills = [
            it for it in app.store.executions.values() if not app.account or it.account in ("", app.account)
        ]
        self._count(len(working), len(orders), len(fills))
        for table, kind in (
            (self.query_one("#orders", LiveTable), "order"),
            (self.query_one("#fills", LiveTable), "execution"),
        ):
            view = "fills" if kind == "execution" else self._view
            table.empty_text = _NONE.get(view, "") if app.is_loaded(kind) else _LOADING
        shown = orders if self._view == "today" else working
        if self._view == "fills":
            self.table.replace([present.fill_row(fill, hide=app.hidden) for fill in fills])
        else:
            self.table.replace(present.order_rows(shown, hide=app.hidden))
        self._show_foot()

    def _count(self, working: int, today: int, fills: int) -> None:
        counts = (("working", "Working", working), ("today", "Today", today), ("fills", "Fills", fills))
        spans: list[Span] = [("Orders  ", "title")] if self.size.width >= _ROOMY else []
        for view, word, number in counts:
            text = f"{word} {number}"
            spans.append((f"[{text}]", "accent") if view == self._view else (f" {text} ", "muted"))
        self.title_spans: tuple[Span, ...] = tuple(spans)  # type: ignore[misc]
        self._show_state()

    def on_orders_changed(self, _: OrdersChanged) -> None:
        """An order may enter or leave view and counts: at most a thousand rows, compared one by one."""
        self.reload()

    def on_fills_changed(self, _: FillsChanged) -> None:
        """The same."""
        self.reload()

    def on_event_logged(self, _: EventLogged) -> None:
        """A new "caught up" may have come."""
        self._show_foot()

    def tick(self) -> None:
        """The age of the list grows."""
        super().tick()
        self._show_foot()

    def _show_foot(self) -> None:
        app = self.ibtui
        self.query_one("#foot", Lines).show(
            [self.rule(), present.footing(app.profile.trading, app.age("order", "execution"))]
        )
        events = list(app.runtime.events) if app.runtime is not None else []
        self.query_one("#remark", Lines).show([present.caught_up(events, hide=app.hidden)])

    def filter_changed(self) -> None:
        """How many rows the filter leaves."""
        self._show_foot()

    def action_next_view(self, step: int) -> None:
        """Working, today, fills, and round again."""
        self._view = _VIEWS[(_VIEWS.index(self._view) + step) % len(_VIEWS)]
        self._show_view()
        self.reload()

    def details(self, key: str) -> tuple[str, list[tuple[str, str]]] | None:
        """Everything known of an order or a fill."""
        store, hide = self.ibtui.store, self.ibtui.hidden
        if store is None:
            return None
        if self._view == "fills":
            fill = store.executions.get(key)
            return (
                None if fill is None else (f"Fill {fill.symbol or ''}", present.fill_details(fill, hide=hide))
            )
        order = store.orders.get(int(key.partition(":")[0]))
        return None if order is None else (f"Order {order.order_id}", present.order_details(order, hide=hide))
