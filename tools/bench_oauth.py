"""What OAuth 1.0a costs: a signed request and a live session token, beside the published clients.

python tools/bench_oauth.py [--rounds 5]

Each program signs with the TEST-ONLY registration of tests/data/vectors/oauth1.json, in a process of
its own, by turns; CPU of the process alone, without start, import and network. Keys stay loaded where
a program keeps them.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from tools.bench_report import ROOT, Figure, Section, facts, header, lines

SIGNATURES, TOKENS = 4000, 20
URL = "https://api.ibkr.com/v1/api/"
ROUTE = "iserver/marketdata/snapshot"
QUERY = "conids=265598%2C8314&fields=31%2C84%2C86"
CACHE = Path(
    os.environ.get("IBTUI_PEERS")
    or Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "ibtui-peers"
)

OURS = """
import json, sys, time
from datetime import UTC, datetime
from ibtui.auth.oauth1 import Signer
from ibtui.auth.oauth_fields import OAuth1Fields
from ibtui.errors import UsageError
from ibtui.secret import Secret

given = json.load(sys.stdin)
signer = Signer(OAuth1Fields.from_mapping(given["fields"]))
url, route, query, response = (given[name] for name in ("url", "route", "query", "response"))
now = lambda: datetime.now(UTC)
grant = signer.grant(Secret(given["token"]), now(), now())
answer = {"diffie_hellman_response": response, "live_session_token_signature": "0" * 40}

def sign():
    signer.sign(grant, "GET", url + route, query, now())

def token():
    challenge = signer.challenge(url + "oauth/live_session_token", now())
    try:
        signer.finish(challenge, answer, now())
    except UsageError:
        pass
"""
IBIND = """
import json, sys, time
from ibind.oauth import oauth1a

given = json.load(sys.stdin)
fields = given["fields"]
config = oauth1a.OAuth1aConfig(
    access_token=fields["accessToken"], access_token_secret=fields["accessTokenSecret"],
    consumer_key=fields["consumerKey"], dh_prime=fields["dhPrime"],
    encryption_key=fields["encryption"], signature_key=fields["signature"],
)
url, route, response = (given[name] for name in ("url", "route", "response"))

def sign():
    oauth1a.generate_oauth_headers(config, "GET", url + route, live_session_token=given["token"])

def token():
    prepend, extra, random = oauth1a.prepare_oauth(config)
    oauth1a.generate_oauth_headers(
        config, "POST", url + "oauth/live_session_token", extra_headers=extra,
        signature_method="RSA-SHA256", prepend=prepend)
    found = oauth1a.calculate_live_session_token(config.dh_prime, random, response, prepend)
    oauth1a.validate_live_session_token(found, "0" * 40, config.consumer_key)
"""
TIMED = """
def cost(work, times):
    work()
    begun = time.process_time()
    for _ in range(times):
        work()
    return (time.process_time() - begun) / times

print(json.dumps({"sign": cost(sign, given["signatures"]), "token": cost(token, given["tokens"])}))
"""
NODE = """
const given = JSON.parse(require('fs').readFileSync(0, 'utf8'));
const { IbkrOauth1 } = require(given.module);
const oauth = new IbkrOauth1(given.fields);
const query = { conids: '265598,8314', fields: '31,84,86' };
const sign = () => oauth.generateOauthHeaders(given.url + given.route, 'GET', given.token, query);
const token = () => {
  const { random, prepend } = oauth.generateLiveSessionData(given.url + 'oauth/live_session_token');
  oauth.validateLiveSessionToken(oauth.generateLiveSessionToken(given.response, random, prepend), '0');
};
const cost = (work, times) => {
  for (let i = 0; i < Math.max(2, times / 20); i += 1) work();
  const begun = process.cpuUsage();
  for (let i = 0; i < times; i += 1) work();
  const { user, system } = process.cpuUsage(begun);
  return (user + system) / 1e6 / times;
};
console.log(JSON.stringify({ sign: cost(sign, given.signatures), token: cost(token, given.tokens) }));
"""


def registration() -> dict[str, object]:
    """What each program is given."""
    data = json.loads((ROOT / "tests/data/vectors/oauth1.json").read_text(encoding="utf-8"))
    known = data["keys"]
    answered = next(vector for vector in data["vectors"] if vector["kind"] == "live_session_token")
    return {
        "fields": {
            "realm": "limited_poa",
            "dhPrime": known["dh_prime_hex"],
            "consumerKey": known["consumer_key"],
            "accessToken": known["access_token"],
            "accessTokenSecret": data["access_token_secrets"]["A"]["cipher_base64"],
            "signature": known["signature_private_pem"],
            "encryption": known["encryption_private_pem"],
        },
        "url": URL,
        "route": ROUTE,
        "query": QUERY,
        "token": answered["expected"]["live_session_token"],
        "response": answered["inputs"]["diffie_hellman_response"],
        "signatures": SIGNATURES,
        "tokens": TOKENS,
        "module": str(CACHE / "node/node_modules/ibkr-client/dist/cjs/ibkr.oauth1.js"),
    }


def programs() -> dict[str, list[str]]:
    """Those that are here, and how each is started."""
    found = {"ibtui": [sys.executable, "-c", OURS + TIMED]}
    ibind = CACHE / "ibind-0.2.2"
    if (ibind / ".complete").is_file() and list(ibind.glob("lib/python3*/site-packages/Crypto")):
        found["ibind 0.2.2"] = [str(ibind / "bin/python"), "-c", IBIND + TIMED]
    node = shutil.which("node")
    if node is not None and (CACHE / "node/.complete").is_file():
        found["ibkr-client 1.0.4"] = [node, "-e", NODE]
    return found


def section(rounds: int) -> Section:
    """Signature and token of all programs that are here, taken in turn."""
    text = json.dumps(registration())
    took: dict[str, list[dict[str, float]]] = {name: [] for name in programs()}
    quiet = {**os.environ, "PYTHONPATH": str(ROOT), "IBIND_LOG_TO_CONSOLE": "0", "IBIND_LOG_TO_FILE": "0"}
    for _ in range(rounds):
        for name, argv in programs().items():
            done = subprocess.run(argv, input=text, capture_output=True, text=True, check=True, env=quiet)
            took[name].append(json.loads(done.stdout.splitlines()[-1]))

    def per(name: str, what: str, by: float) -> list[float]:
        return [sample[what] * by for sample in took.get(name, [])]

    goals = {"ibind 0.2.2": (0.4, 0.3), "ibkr-client 1.0.4": (None, 0.15)}
    figures = []
    for peer, (sign, token) in goals.items():
        if peer in took:
            figures += [
                Figure(
                    "CPU per signature", "us", per("ibtui", "sign", 1e6), per(peer, "sign", 1e6), peer, sign
                ),
                Figure(
                    "CPU per live session token",
                    "ms",
                    per("ibtui", "token", 1e3),
                    per(peer, "token", 1e3),
                    peer,
                    token,
                    2,
                ),
            ]
    return Section(
        "OAuth 1.0a",
        f"{SIGNATURES:,} signatures of a request with a query and {TOKENS} live session tokens (challenge,\n"
        "RSA signature, shared key, validation) a process; the peers load their keys for each token.",
        figures,
    )


def main() -> int:
    """Print the table; 1 where a goal is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    found = section(parser.parse_args().rounds)
    print(facts(), "", header(), *lines(found), sep="\n")
    return int(any("MISSED" in figure.cells()[-1] for figure in found.figures))


if __name__ == "__main__":
    sys.exit(main())
