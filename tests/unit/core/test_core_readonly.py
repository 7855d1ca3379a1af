"""Read-only: order-changing routes are recognised however they are spelled."""

from __future__ import annotations

import pytest

from ibtui.core.readonly import changes_orders, leads_up


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/iserver/account/DU1/orders"),
        ("post", "iserver/account/DU1/orders/"),
        ("POST", "//iserver//account/DU1//orders"),
        ("POST", "/ISERVER/Account/DU1/ORDERS"),
        ("POST", "/iserver/account/DU1/%6Frders"),
        ("POST", "/iserver/account/DU1/%256Frders"),
        ("POST", "/iserver%2Faccount%2FDU1%2Forders"),
        ("POST", "/iserver/account/DU1/orders?x=/whatif"),
        ("POST", "/iserver/account/DU1/orders;a=b"),
        ("POST", "/iserver/account/DU1/orders%00"),
        ("POST", "/iserver\\account\\DU1\\orders"),
        ("POST", "/portfolio/../iserver/account/DU1/orders"),
        ("POST", "/iserver/account/DU1/orders/whatif/.."),
        ("POST", "/iserver/account/DU1/orders/x/../"),
        ("POST", "/iserver/account/DU1/orders/./"),
        ("POST", "/iserver/account/DU1/orders/whatif/../"),
        ("POST", "/iserver/account/../orders/whatif/x"),
        ("POST", "/v1/api/iserver/account/DU1/orders"),
        ("POST", "/v1/portal/iserver/account/DU1/order/5"),
        ("POST", "/iserver/account/orders/GROUP"),
        ("POST", "/iserver/account/DU1/order/1834567001"),
        ("PUT", "/iserver/account/DU1/order/1834567001"),
        ("DELETE", "/iserver/account/DU1/order/1834567001"),
        ("DELETE", "/iserver/account/DU1/order/whatif"),
        ("POST", "/iserver/reply/5f0c"),
        ("GET", "/iserver/reply/5f0c"),
        ("POST", "/iserver/questions/suppress"),
        ("POST", "/iserver/questions/suppress/reset"),
        ("POST", "/iserver/account/DU1/alert"),
        ("POST", "/iserver/account/DU1/alert/activate"),
        ("DELETE", "/iserver/account/DU1/alert/7"),
        ("POST", "/iserver/notification"),
        (" POST ", "/iserver/notification#x"),
        ("POST", "/%3F/../iserver/account/DU1/orders"),
        ("POST", "/v1/api/%23/../iserver/account/DU1/orders"),
        ("POST", "/x%253F/%2e%2e/iserver/account/DU1/orders"),
        ("POST", "/iserver/account/DU1%3F/orders"),
        ("POST", "/iserver/account/DU1/orders/%2e%2e/x"),
        ("GET", "/%3f/../iserver/reply/5f0c"),
    ],
)
def test_changes(method: str, path: str) -> None:
    assert changes_orders(method, path)


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/iserver/account/orders"),
        ("GET", "/iserver/account/order/status/1"),
        ("GET", "/iserver/account/DU1/alerts"),
        ("GET", "/iserver/account/trades"),
        ("POST", "/iserver/account/DU1/orders/whatif"),
        ("POST", "/v1/api/iserver/account/DU1/orders/whatif?x=1"),
        ("POST", "/iserver/account"),
        ("POST", "/tickle"),
        ("POST", "/logout"),
        ("POST", "/iserver/auth/ssodh/init"),
        ("POST", "/iserver/secdef/search"),
        ("POST", "/iserver/contract/rules"),
        ("POST", "/portfolio/DU1/positions/invalidate"),
        ("POST", "/pa/performance"),
        ("PUT", "/fyi/notifications/1"),
        ("POST", "/iserver/account?x=/orders"),
        ("POST", "/iserver/account#/orders"),
    ],
)
def test_does_not_change(method: str, path: str) -> None:
    assert not changes_orders(method, path)


@pytest.mark.parametrize(
    "path",
    ["/../../gw/api/v1/x", "/%2e%2e/x", "/x/%252e./", "/x/..;a/y", "/x\\..\\y", "/%3F/../x", "/.%00./x"],
)
def test_leads_up(path: str) -> None:
    assert leads_up(path)


@pytest.mark.parametrize("path", ["/iserver/accounts?x=../y", "/x/./y", "/x/...y/a..b", "//x//"])
def test_does_not_lead_up(path: str) -> None:
    assert not leads_up(path)
