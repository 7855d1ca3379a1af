"""The topics of one websocket (web-api.md §7.2, §7.7): frames in, frames out."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ibtui.sim import bars, figures
from ibtui.sim.orders import Execution, Order
from ibtui.sim.rows import execution_row, order_row
from ibtui.sim.seam import Quirks, Session
from ibtui.sim.streams import DEFAULT_FIELDS, Cache, Ladder, Quotes, contract_of

if TYPE_CHECKING:
    from ibtui.sim.world import World

Send = Callable[[dict[str, Any] | str], None]
REPORT_S = 10.0
PNL_S = 1.0
MAX_HISTORY = 5


def visible(session: Session, account: str) -> bool:
    """Whether the session shows this account's orders: the selected account, or all of them."""
    if account not in session.user.accounts:
        return False
    selected = session.selected_account or session.user.accounts[0]
    return selected in (account, "All")


class Subscriptions:
    """What one websocket asked for. `send` queues one frame: an object, or its JSON."""

    def __init__(self, world: World, session: Session, quirks: Quirks, send: Send) -> None:
        self._world = world
        self._session = session
        self._quirks = quirks
        self._send = send
        self._quotes = Quotes(world, send)
        self._orders = False
        self._order_filter: set[str] | None = None
        self._trades = False
        self._pnl: dict[str, Any] | None = None
        self._pnl_at = -1e18
        self._reports: dict[str, _Report] = {}
        self._ladders: dict[str, Ladder] = {}
        self._histories: set[str] = set()
        self._stop = world.listen(self)

    def close(self) -> None:
        """The websocket is gone."""
        self._stop()

    # --- frames of the client ---------------------------------------------------------------

    def handle(self, frame: str) -> None:
        """One text frame: `TOPIC[+TARGET][+TARGET2]+{JSON}`, bare, or `upl{}`."""
        name, rest = frame[:3], frame[3:]
        before, brace, after = rest.partition("{")
        targets = [part for part in before.split("+") if part]
        serve = getattr(self, f"_on_{name}", None) if name in TOPICS else None
        if serve is None or (before and not before.startswith("+")):
            self._send({"error": f"Topic unknown '{name}'", "code": 500, "topic": "error"})
            return
        try:
            options = json.loads(brace + after) if brace else {}
            serve(targets, options)
        except (ValueError, KeyError, TypeError, IndexError):
            # Whatever was wrong with target or JSON, the gateway says no more than this.
            self._refuse(name)

    def _refuse(self, name: str) -> None:
        self._send({"error": "unable to subscribe", "code": 500, "topic": name})

    def _own(self, account: str) -> str:
        if account not in self._session.user.accounts:
            raise KeyError(account)
        return account

    def _on_smd(self, targets: list[str], options: dict[str, Any]) -> None:
        fields = [str(field) for field in options.get("fields", DEFAULT_FIELDS)]
        account = self._session.selected_account
        if account not in self._session.user.accounts:
            account = self._session.user.accounts[0]
        self._quotes.subscribe(account, targets[0], fields)

    def _on_umd(self, targets: list[str], options: dict[str, Any]) -> None:
        self._quotes.unsubscribe(targets[0])

    def _on_sor(self, targets: list[str], options: dict[str, Any]) -> None:
        mode = self._quirks.sor_snapshot
        if mode == "refuse":
            self._refuse("sor")
            return
        filters = options.get("filters")
        self._order_filter = set(filters) if filters else None
        self._orders = True
        for order in reversed(self._world.orders_of(None)):
            if mode == "none" or not self._shown(order):
                continue
            row = order_row(order, topic=True)
            if mode == "identity":
                row = {key: row[key] for key in ("acct", "conidex", "conid", "orderId", "isEventTrading")}
            self._send({"topic": "sor", "args": [row]})

    def _on_uor(self, targets: list[str], options: dict[str, Any]) -> None:
        self._orders = False

    def _shown(self, order: Order) -> bool:
        muted = self._session.order_filter
        return (
            visible(self._session, order.account)
            and (muted is None or order.status in muted)
            and (self._order_filter is None or order.status in self._order_filter)
        )

    def _on_str(self, targets: list[str], options: dict[str, Any]) -> None:
        self._trades = True
        self._send({"topic": "str", "args": []})
        if options.get("realtimeUpdatesOnly") is True:
            return
        now_ms = self._world.clock.now_ms()
        since = now_ms - int(options.get("days", 1)) * 86_400_000
        for execution in self._world.executions:
            if execution.time_ms >= since and visible(self._session, execution.order.account):
                self._send({"topic": "str", "args": [execution_row(execution, now_ms, topic=True)]})

    def _on_utr(self, targets: list[str], options: dict[str, Any]) -> None:
        self._trades = False

    def _on_spl(self, targets: list[str], options: dict[str, Any]) -> None:
        self._session.flags.add("pnl")
        self._pnl, self._pnl_at = {}, -1e18
        if self._quirks.cold_replies:
            self._send({"topic": "spl", "args": {}})
        self._pulse_pnl(self._world.clock.now())

    def _on_upl(self, targets: list[str], options: dict[str, Any]) -> None:
        self._pnl = None

    def _on_ssd(self, targets: list[str], options: dict[str, Any]) -> None:
        account = self._own(targets[0])
        book = self._world.book(account)
        self._report(f"ssd+{account}", options, lambda now: figures.summary_stream(book, now))

    def _on_sld(self, targets: list[str], options: dict[str, Any]) -> None:
        account = self._own(targets[0])
        book = self._world.book(account)
        self._report(
            f"sld+{account}", options, lambda now: figures.ledger_stream(book, self._world.market, now)
        )

    def _report(self, topic: str, options: dict[str, Any], make: Callable[[float], list[Any]]) -> None:
        report = _Report(topic, make, options.get("keys"), options.get("fields"))
        self._reports[topic] = report
        body = report.frame(self._world.clock.now())
        if body is not None:
            self._send(body)

    def _on_usd(self, targets: list[str], options: dict[str, Any]) -> None:
        self._reports.pop(f"ssd+{targets[0]}", None)
        self._send({"result": "unsubscribed from summary"})

    def _on_uld(self, targets: list[str], options: dict[str, Any]) -> None:
        self._reports.pop(f"sld+{targets[0]}", None)
        self._send({"result": "unsubscribed from ledger"})

    def _on_sbd(self, targets: list[str], options: dict[str, Any]) -> None:
        account = self._own(targets[0])
        contract = contract_of(self._world, targets[1])
        if contract is None:
            raise KeyError(targets[1])
        self._world.market.watch(contract.conid)
        ladder = Ladder(self._world.market.quote(contract.conid), "sbd+" + "+".join(targets))
        self._ladders[account] = ladder
        self._pulse_ladders(self._world.clock.now())

    def _on_ubd(self, targets: list[str], options: dict[str, Any]) -> None:
        self._ladders.pop(targets[0], None)

    def _on_smh(self, targets: list[str], options: dict[str, Any]) -> None:
        contract = contract_of(self._world, targets[0])
        if contract is None or len(self._histories) >= MAX_HISTORY:
            raise KeyError(targets[0])
        wish = bars.Wish.tolerant(options)
        body = bars.history(self._world, contract, wish)
        self._histories.add(str(body["serverId"]))
        self._send(body | {"topic": f"smh+{targets[0]}"})

    def _on_umh(self, targets: list[str], options: dict[str, Any]) -> None:
        if targets[0] in self._histories:
            self._histories.remove(targets[0])
            self._send({"message": f"Unsubscribed {targets[0]}"})

    # --- news of the world --------------------------------------------------------------------

    def on_order(self, order: Order, data: str) -> None:
        """A `sor` frame."""
        if self._orders and self._shown(order):
            self._send(data)

    def on_execution(self, execution: Execution, data: str) -> None:
        """A `str` frame; the holding's market data fields changed, too."""
        self._quotes.touch([execution.order.contract.conid])
        if self._trades and visible(self._session, execution.order.account):
            self._send(data)

    def on_notice(self, account: str, data: str) -> None:
        """An `ntf` frame; nobody subscribes to them."""
        if visible(self._session, account):
            self._send(data)

    def on_prices(self, changed: set[int]) -> None:
        """New prices."""
        self._quotes.touch(changed)

    def on_tick(self, conid: int, cache: Cache) -> None:
        """Rate mode."""
        self._quotes.tick(conid, cache)

    def on_pulse(self, now: float) -> None:
        """Send what is due."""
        self._quotes.pulse(now)
        self._pulse_ladders(now)
        self._pulse_pnl(now)
        for report in self._reports.values():
            body = report.frame(now)
            if body is not None:
                self._send(body)

    def conids(self) -> list[int]:
        """Conids with market data streams."""
        return self._quotes.conids()

    def _pulse_pnl(self, now: float) -> None:
        if self._pnl is None or now - self._pnl_at < PNL_S:
            return
        accounts = self._session.user.accounts
        rows = {f"{name}.Core": figures.pnl(self._world.book(name), stream=True) for name in accounts}
        if rows != self._pnl:
            self._pnl, self._pnl_at = rows, now
            self._send({"topic": "spl", "args": rows})

    def _pulse_ladders(self, now: float) -> None:
        for ladder in self._ladders.values():
            body = ladder.frame(now)
            if body is not None:
                self._send(body)


TOPICS = frozenset(name[4:] for name in vars(Subscriptions) if name.startswith("_on_"))


class _Report:
    """`ssd` or `sld`: every 10 s, rows that did not change without their content."""

    def __init__(
        self,
        topic: str,
        make: Callable[[float], list[dict[str, Any]]],
        keys: list[str] | None,
        fields: list[str] | None,
    ) -> None:
        self._topic = topic
        self._make = make
        self._keys = {str(key) for key in keys} if keys else None
        self._fields = {str(field) for field in fields} | {"key", "timestamp"} if fields else None
        self._sent: dict[str, dict[str, Any]] = {}
        self._sent_at = -1e18

    def frame(self, now: float) -> dict[str, Any] | None:
        """The next frame; None before it is due."""
        if now - self._sent_at < REPORT_S:
            return None
        self._sent_at = now
        rows = []
        for row in self._make(now):
            key = row["key"]
            if self._keys is not None and key not in self._keys:
                continue
            if self._fields is not None:
                row = {name: value for name, value in row.items() if name in self._fields}
            content = {name: value for name, value in row.items() if name != "timestamp"}
            same = self._sent.get(key) == content
            self._sent[key] = content
            rows.append({"key": key, "timestamp": row["timestamp"]} if same else row)
        return {"result": rows, "topic": self._topic}
