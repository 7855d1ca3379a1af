"""A user's program on ibind's REST client; prints one JSON object a line.

Run with the python of ibind's environment. Settings come by ibind's variables:
IBIND_REST_URL, IBIND_ACCOUNT_ID, IBIND_CACERT.
"""

import json
import sys
import time

from ibind import ExternalBrokerError, IbkrClient, OrderRequest, QuestionType, StockQuery

FIELDS = ["31", "55", "84", "86", "7051"]


def tell(step, data):
    print(json.dumps({"step": step, "data": data}, default=str), flush=True)
    time.sleep(0.2)  # ibind does not pace itself; ten requests in a second are allowed, replies included


def pages(client):
    rows, sizes = [], []
    while not sizes or sizes[-1] == 100:
        page = client.positions(page=len(sizes)).data
        sizes.append(len(page))
        rows += page
        time.sleep(0.1)
    return {"sizes": sizes, "rows": rows}


def read(client):
    tell("health", client.check_health())
    tell("status", client.authentication_status().data)
    tell("accounts", client.receive_brokerage_accounts().data)
    tell("portfolio_accounts", client.portfolio_accounts().data)
    tell("positions", pages(client))
    tell("positions2", client.positions2().data)
    tell("summary", client.portfolio_summary().data)
    tell("account_summary", client.account_summary().data)
    tell("ledger", client.get_ledger().data)
    tell("pnl_cold", client.account_profit_and_loss().data)
    tell("orders_cold", client.live_orders().data)
    tell("orders_warm", client.live_orders().data)
    tell("trades", client.trades().data)


def market(client):
    tell("conids", client.stock_conid_by_symbol(["AAPL", "MSFT"]).data)
    query = StockQuery("AAPL", contract_conditions={"exchange": "NASDAQ"})
    tell("conid_by_query", client.stock_conid_by_symbol(query).data)
    tell("search", client.search_contract_by_symbol("AAPL").data)
    tell("contract", client.contract_information_by_conid("265598").data)
    tell("secdef", client.security_definition_by_conid(["265598", "756733"]).data)
    tell("snapshot_cold", client.live_marketdata_snapshot(["265598", "756733"], FIELDS).data)
    time.sleep(1.0)
    tell("snapshot_warm", client.live_marketdata_snapshot(["265598", "756733"], FIELDS).data)
    tell("snapshot_by_symbol", client.live_marketdata_snapshot_by_symbol(["AAPL", "MSFT"], FIELDS))
    tell("history", client.marketdata_history_by_symbol("AAPL", bar="5min", period="1d").data)
    tell("histories", client.marketdata_history_by_symbols(["AAPL", "MSFT"], period="1d", bar="1h"))


def ticket(account, **changes):
    words = {
        "conid": 265598,
        "side": "BUY",
        "quantity": 7,
        "order_type": "LMT",
        "price": 20.0,
        "tif": "DAY",
        "acct_id": account,
        "coid": f"ibind-{time.time_ns()}",
    }
    return OrderRequest(**(words | changes))


def trade(client):
    account = client.account_id
    # Older ibind has no name for the market order's question; a piece of its text does it.
    yes = dict.fromkeys(QuestionType, True) | {"A Market Order is an instruction": True}
    try:
        client.place_order(ticket(account), yes | {QuestionType.PRICE_PERCENTAGE_CONSTRAINT: False})
        tell("declined", "")
    except RuntimeError as error:
        tell("declined", str(error))
    order = ticket(account)
    placed = client.place_order(order, yes).data
    tell("placed", placed)
    order_id = placed["order_id"]
    tell("placed_status", client.order_status(order_id).data)
    tell("modified", client.modify_order(order_id, ticket(account, price=21.0, coid=order.coid), yes).data)
    tell("modified_status", client.order_status(order_id).data)
    tell("whatif", client.whatif_order(ticket(account, coid=None)).data)
    try:
        client.place_order(order, yes)
        tell("duplicate", "")
    except ExternalBrokerError as error:
        tell("duplicate", str(error))
    tell("cancelled", client.cancel_order(order_id).data)
    time.sleep(1.5)
    tell("cancelled_status", client.order_status(order_id).data)
    tell(
        "market_order",
        client.place_order(ticket(account, order_type="MKT", price=None, quantity=1), yes).data,
    )


def main():
    client = IbkrClient()
    read(client)
    if "--read-only" not in sys.argv:
        market(client)
        trade(client)
    tell("tickle", client.tickle().data)
    client.close()


main()
