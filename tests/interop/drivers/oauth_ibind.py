"""A user's program on ibind with OAuth 1.0a; prints one JSON object a line.

Settings come by ibind's variables (IBIND_USE_OAUTH, IBIND_OAUTH1A_*, IBIND_ACCOUNT_ID), the
certificate by REQUESTS_CA_BUNDLE. With `--token-only` it ends after the live session token,
with `--read-only` before the websocket and the order.
"""

import json
import os
import sys
import time

from ibind import IbkrClient, IbkrWsClient, OrderRequest, QuestionType, QueueSink, events, subscriptions


def tell(step, data):
    print(json.dumps({"step": step, "data": data}, default=str), flush=True)


def until(check, seconds):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        if check():
            return True
        time.sleep(0.3)  # ten requests in a second are allowed
    return False


def stream(client):
    sink = QueueSink()
    ws = IbkrWsClient(
        ibkr_client=client,
        sink=sink,
        access_token=client.oauth_config.access_token,
        cacert=os.environ["REQUESTS_CA_BUNDLE"],
    )
    tell("started", bool(ws.start()) and until(ws.is_authenticated, 10))
    tell("subscribed", ws.subscribe(subscriptions.OrdersSubscription()).wait(8))
    order = OrderRequest(
        conid=265598, side="BUY", quantity=3, order_type="MKT", acct_id=client.account_id, tif="DAY"
    )
    yes = dict.fromkeys(QuestionType, True) | {"A Market Order is an instruction": True}
    placed = client.place_order(order, yes).data
    tell("placed", placed)
    seen, end = [], time.monotonic() + 8
    while time.monotonic() < end:
        event = sink.get(events.Orders, block=True, timeout=1)
        if event is not None:
            seen.append(event.data)
            if str(placed["order_id"]) in json.dumps(event.data, default=str):
                break
    tell("order_news", seen)
    tell("shutdown", ws.shutdown())


def main():
    try:
        client = IbkrClient()
    except Exception as error:  # noqa: BLE001 (whatever it is, a person sees it)
        tell("refused", f"{type(error).__name__}: {error}")
        return
    tell("token", {"expires": client.live_session_token_expires_ms, "now": time.time() * 1000})
    if "--token-only" in sys.argv:
        return
    until(lambda: client.authentication_status().data["established"], 5)
    time.sleep(0.5)
    client.portfolio_accounts()
    tell("accounts", client.receive_brokerage_accounts().data)
    tell("positions", client.positions().data)
    tell("conids", client.stock_conid_by_symbol(["AAPL", "MSFT"]).data)
    time.sleep(0.5)
    tell("orders_cold", client.live_orders().data)
    if "--read-only" not in sys.argv:
        stream(client)
    # Its own end: it logs out at exit.


main()
