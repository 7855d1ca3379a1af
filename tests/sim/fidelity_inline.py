"""Where the examples within the text of the notes are held against a reply.

Section -> example, or a piece of it -> the reply of the tour that must look like it; after a dash why
there is none.
"""

from __future__ import annotations

REQUEST = "- a request"
INLINE: dict[str, dict[str, str]] = {
    "2.3": {'{"error":"no bridge"}': "hmds", '{"error":"no session"}': "tickle over"},
    "2.5": {'{"publish":true,"compete":true}': REQUEST},
    "2.6": {'{"message":"triggered"}': "triggered", '{"status":true}': "logout"},
    "3.1": {'["All"]': "- several accounts: test_world_rest.test_several_accounts"},
    "3.2": {
        '{"success":"Account already set"}': "already set",
        '{"error":"Account already set"}': "- one source; the simulator plays the other",
        '{"error":"Invalid account ID"}': "invalid account",
        '{"set":true,"acctId":"DU7654321"}': "- needs two accounts: test_world_rest.test_several_accounts",
        '{"acctId":"DU7654321"}': REQUEST,
    },
    "3.5": {'"total_cash"': "market value"},
    "3.7": {'{"acctIds":["DU1234567","DU7654321"]}': REQUEST},
    "3.8": {"[]": "past the end", '{"message":"success"}': "invalidate"},
    "3.10": {'{"upnl":{}}': "pnl cold"},
    "3.11": {'{"acctIds":["DU1234567"],"period":"1M"}': REQUEST},
    "4.1": {'{"orders":[],"snapshot":false}': "orders cold"},
    "4.2": {'"error"': "unknown order"},
    "4.3": {"[]": "trades cold"},
    "4.7": {
        '{"confirmed":true}': REQUEST,
        '{"confirmed":false}': REQUEST,
        '{"error":"Order not confirmed "}': "declined",
        "reply id not found": "unknown reply",
        '{"error":"Service Unavailable","statusCode":503}': "dead reply",
    },
    "4.8": {
        '{"messageIds":["o163","o354"]}': REQUEST,
        "{}": REQUEST,
        '{"status":"submitted"}': "suppressed",
    },
    "4.9": {'{"error":"Order size 0 is not valid. Please enter size greater than 0."}': "size 0"},
    "4.10": {
        '{"error":"OrderID 1 doesn\'t exist"}': "cancel unknown",
        '{"error":"…"}': "- any text: test_world_desk.test_modify_and_cancel",
        '{"error":"Order is inactive"}': "cancel dead",
    },
    "4.11": {'"reqId"': REQUEST},
    "5.1": {"[]": "- unknown symbol: test_fidelity_rules"},
    "5.2": {'"ticker"': "all conids"},
    "5.3": {"[]": "- the simulator answers in the other form", '{"error":"No symbol found"}': "no symbol"},
    "5.4": {'"call"': "strikes"},
    "5.6": {'"modifyOrder"': REQUEST},
    "5.7": {'"tradeVenueId"': "venue", '"ccyPair"': "pairs", '"rate"': "rate"},
    "5.8": {
        '{"conid":999,"conidEx":"999","55":"-","31":"N/A"}': "unknown row",
        '{"error":"No accounts"}': "- of a socket without a brokerage session: test_platform_sockets",
    },
    "5.9": {'{"error":"Chart data unavailable"}': "history forwards"},
    "5.10": {
        '{"conid":265598}': REQUEST,
        '{"success":true}': "unsubscribe",
        '{"error":"unknown"}': "not subscribed",
        '{"confirmed":true}': "unsubscribe old",
        '{"unsubscribed":true}': "unsubscribe all",
    },
    "6": {
        '"BN"': "unread",
        '{"status":"waiting for reply"}': "unread cold",
        '"P":': "read",
        '"FD":': "fyi settings",
        '{"enabled":true}': REQUEST,
        '{"V":1,"T":10}': "email",
        '"DT":': "disclaimer",
        '"UI":': "delivery",
    },
    "7.1": {'{"message":"waiting for session"}': "waiting", '{"session":"<tickle session>"}': REQUEST},
    "7.2": {
        "{}": REQUEST,
        "Unsubscribed": "umh",
        '{"result":"unsubscribed from summary"}': "usd",
        '{"result":"unsubscribed from ledger"}': "uld",
    },
    "7.5": {
        '"authenticated"': "sts delta",
        '"competing"': "- test_platform_sockets.test_status_changes_come_as_deltas",
        '"message"': "- the simulator keeps it empty",
    },
    "7.6": {
        '"blt"': "- only on demand: test_fidelity_rules",
        "No accounts": "- test_platform_sockets.test_without_a_brokerage_session_its_topics_stay_dead",
        "unable to subscribe": "- test_world_topics.test_sor_snapshot_modes",
    },
    "7.7": {'"topic":"str"': "str empty", '"topic":"spl"': "spl empty", "{}": REQUEST},
    "7.9": {'{"message":"waiting for session"}': "waiting"},
}
ALLOW = {
    "fyi settings": {"-*.A": "absent when it cannot be changed"},
    "market value": {"=": "by currency"},
    "sts delta": {"+args.established": "changed, too"},
    "unknown reply": {"~error": "has the id in it"},
}


def shot_of(section: str, text: str) -> str:
    """The reply for an example within the text; KeyError or StopIteration when nobody thought of it."""
    known = INLINE[section]
    return known.get(text) or next(
        shot for piece, shot in known.items() if piece[0] not in "{[" and piece in text
    )
