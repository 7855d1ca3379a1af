"""A user's program on ibauth (OAuth 2.0); prints one JSON object a line.

Argument: its YAML file. It goes to the real names; the proxy of the environment leads it elsewhere.
"""

import asyncio
import json
import sys

import httpx
from ibauth import auth_from_yaml


def tell(step, data):
    print(json.dumps({"step": step, "data": data}, default=str), flush=True)


async def main():
    auth = auth_from_yaml(sys.argv[1])
    try:
        await auth.connect()
    except httpx.HTTPStatusError as error:
        tell("refused", {"status": error.response.status_code, "body": error.response.json()})
        return
    tell("session", await auth.tickle())
    tell("connected", auth.is_connected())
    tell("status", (await auth.status()).model_dump())
    headers = auth.header | {"User-Agent": "python/3.11"}
    async with httpx.AsyncClient(base_url=auth.url_client_portal, headers=headers) as http:
        tell("accounts", (await http.get("/v1/api/portfolio/accounts")).json())
        stocks = await http.get("/v1/api/trsrv/stocks", params={"symbols": "AAPL,MSFT"})
        tell("stocks", stocks.json())
    await auth.logout()
    tell("after", (await refused(auth)))


async def refused(auth):
    try:
        await auth.status()
    except httpx.HTTPStatusError as error:
        return error.response.status_code


asyncio.run(main())
