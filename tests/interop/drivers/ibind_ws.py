"""A user's program on ibind's websocket client; prints one JSON object a line.

Both published lines are driven: from 0.2 on the client is built of events and subscriptions,
before of keys and queues. Settings come by ibind's variables (IBIND_REST_URL, IBIND_WS_URL,
IBIND_ACCOUNT_ID, IBIND_CACERT).
"""

import json
import logging
import threading
import time

import ibind
from ibind import IbkrClient, IbkrWsClient, OrderRequest, QuestionType

CONID = "265598"
FIELDS = ["31", "84", "86"]
complaints = []


class Complaints(logging.Handler):
    def emit(self, record):
        complaints.append(record.getMessage())


def tell(step, data):
    print(json.dumps({"step": step, "data": data}, default=str), flush=True)


def until(check, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        value = check()
        if value:
            return value
        time.sleep(0.05)
    return None


def buy(client):
    order = OrderRequest(
        conid=int(CONID), side="BUY", quantity=3, order_type="MKT", acct_id=client.account_id, tif="DAY"
    )
    yes = dict.fromkeys(QuestionType, True) | {"A Market Order is an instruction": True}
    return client.place_order(order, yes).data


class New:
    """0.2 and later."""

    def __init__(self, client):
        from ibind import QueueSink, events, subscriptions

        self.sink = QueueSink()
        self.ws = IbkrWsClient(ibkr_client=client, sink=self.sink)
        account = client.account_id
        self.kinds = {
            "orders": (events.Orders, subscriptions.OrdersSubscription()),
            "pnl": (events.Pnl, subscriptions.PnlSubscription()),
            "market": (
                events.MarketData,
                subscriptions.MarketDataSubscription(conid=CONID, fields=FIELDS),
            ),
            "trades": (events.Trades, subscriptions.TradesSubscription()),
            "summary": (
                events.AccountSummary,
                subscriptions.AccountSummarySubscription(account_id=account),
            ),
            "ledger": (events.AccountLedger, subscriptions.AccountLedgerSubscription(account_id=account)),
            "history": (
                events.MarketHistory,
                subscriptions.MarketHistorySubscription(conid=CONID, period="1d", bar="1h"),
            ),
        }

    def start(self):
        return bool(self.ws.start()) and bool(until(self.ws.is_authenticated, 10))

    def subscribe(self, name):
        return self.ws.subscribe(self.kinds[name][1]).wait(8)

    def unsubscribe(self, name):
        return self.ws.unsubscribe(self.kinds[name][1]).wait(8)

    def get(self, name, seconds):
        event = self.sink.get(self.kinds[name][0], block=True, timeout=seconds)
        return None if event is None else event.data


class Old:
    """Before 0.2."""

    def __init__(self, client):
        from ibind import IbkrWsKey

        self.ws = IbkrWsClient(ibkr_client=client, account_id=client.account_id)
        account = client.account_id
        self.kinds = {
            "orders": (IbkrWsKey.ORDERS, "or", {}),
            "pnl": (IbkrWsKey.PNL, "pl", None),
            "market": (IbkrWsKey.MARKET_DATA, f"md+{CONID}", {"fields": FIELDS}),
            "trades": (IbkrWsKey.TRADES, "tr", {"realtimeUpdatesOnly": False, "days": 1}),
            "summary": (IbkrWsKey.ACCOUNT_SUMMARY, f"sd+{account}", {}),
            "ledger": (IbkrWsKey.ACCOUNT_LEDGER, f"ld+{account}", {}),
        }
        self.queues = {name: self.ws.new_queue_accessor(kind[0]) for name, kind in self.kinds.items()}

    def start(self):
        return bool(self.ws.start()) and bool(until(self.ws.ready, 10))

    def subscribe(self, name):
        return self.ws.subscribe(channel=self.kinds[name][1], data=self.kinds[name][2])

    def unsubscribe(self, name):
        return self.ws.unsubscribe(channel=self.kinds[name][1], data=self.kinds[name][2])

    def get(self, name, seconds):
        return self.queues[name].get(block=True, timeout=seconds)


def drain(side, name, seconds, wanted=lambda data: True, enough=1):
    """Messages until `enough` are `wanted`, at most `seconds` long."""
    seen, end = [], time.monotonic() + seconds
    while enough and time.monotonic() < end:
        data = side.get(name, max(0.05, end - time.monotonic()))
        if data is not None:
            seen.append(data)
            enough -= bool(wanted(data))
    return seen


def main():
    handler = Complaints(level=logging.WARNING)
    logging.getLogger().addHandler(handler)
    for name in list(logging.root.manager.loggerDict):
        if name.startswith("ibind"):
            logging.getLogger(name).addHandler(handler)
    client = IbkrClient()
    tell("health", client.check_health())
    client.receive_brokerage_accounts()
    client.live_orders()
    side = New(client) if hasattr(ibind, "subscriptions") else Old(client)
    tell("started", side.start())
    tell("subscribed", {name: bool(side.subscribe(name)) for name in side.kinds})
    for name in side.kinds:
        # The first P&L may be empty, and trades begin with an empty list.
        tell(name, drain(side, name, 6, enough=2 if name in ("pnl", "trades") else 1))
    placed = buy(client)
    tell("placed", placed)
    order_id = str(placed["order_id"])
    tell("order_news", drain(side, "orders", 8, lambda data: order_id in json.dumps(data, default=str)))
    tell("trade_news", drain(side, "trades", 8, lambda data: order_id in json.dumps(data, default=str)))
    tell("price_news", drain(side, "market", 6, enough=3))
    tell("unsubscribed", {name: bool(side.unsubscribe(name)) for name in side.kinds})
    tell("shutdown", side.ws.shutdown())
    client.close()
    tell("threads", sorted(one.name for one in threading.enumerate() if one is not threading.main_thread()))
    tell("complaints", complaints)


main()
