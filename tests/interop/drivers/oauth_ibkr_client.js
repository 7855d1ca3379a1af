// A user's program on the npm package ibkr-client with OAuth 1.0a; prints one JSON object a line.
// Arguments: the oauth1.json, the host:port that plays api.ibkr.com, an account. The package has the
// host built in; only its public `url` field is set here. With HTTPS_PROXY not even that: requests go
// to the real name through the proxy, and the websocket, which knows no proxy, is left out.
'use strict';

const fs = require('fs');

console.debug = () => {};

const { IbkrClient } = require('ibkr-client');
const { ProxyAgent, setGlobalDispatcher } = require('undici');

const tell = (step, data) => console.log(`{"step":${JSON.stringify(step)},"data":${JSON.stringify(data)}}`);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function main() {
  const [file, host, account] = process.argv.slice(2);
  const client = new IbkrClient(JSON.parse(fs.readFileSync(file, 'utf8')));
  const proxy = process.env.HTTPS_PROXY;
  if (proxy) setGlobalDispatcher(new ProxyAgent(proxy));
  else {
    client.url = {
      api: client.url.api.replace('api.ibkr.com', host),
      ws: client.url.ws.replace('api.ibkr.com', host),
    };
  }
  try {
    tell('init', await client.init());
  } catch (error) {
    tell('refused', error.message);
    return;
  }
  if (!account) return;
  for (let turn = 0; turn < 20; turn += 1) {
    const status = await client.request({ path: 'iserver/auth/status', method: 'POST' });
    if (status.established) break;
    await pause(300); // ten requests in a second are allowed
  }
  await client.request({ path: 'portfolio/accounts' });
  const tickle = await client.request({ path: 'tickle', method: 'POST' });
  tell('tickle', tickle);
  client.session = tickle.session;
  await pause(400);
  tell('accounts', await client.request({ path: 'iserver/accounts' }));
  tell('positions', await client.request({ path: `portfolio/${account}/positions/0`, params: { sort: null } }));
  tell('stocks', await client.request({ path: 'trsrv/stocks', params: { symbols: 'AAPL,MSFT' } }));
  tell('rules', await client.request({ path: 'iserver/contract/265598/info-and-rules?isBuy=true' }));
  if (proxy) return;

  const socket = client.socket();
  const seen = [];
  const stream = socket
    .multiplex(() => 'sor+{}', () => 'uor+{}', (data) => data.topic === 'sor')
    .subscribe({ next: (data) => seen.push(data), error: (error) => tell('socket_error', String(error)) });
  await pause(700);
  let reply = await client.request({
    path: `iserver/account/${account}/orders`,
    method: 'POST',
    data: { orders: [{ conid: 265598, orderType: 'MKT', side: 'BUY', tif: 'DAY', quantity: 2 }] },
  });
  for (let turn = 0; turn < 10 && reply[0] && reply[0].id; turn += 1) {
    reply = await client.request({ path: `iserver/reply/${reply[0].id}`, method: 'POST', data: { confirmed: true } });
  }
  tell('placed', reply);
  const placed = Number(reply[0].order_id);
  const filled = () => seen.some((one) => one.args.some((row) => row.orderId === placed && row.status === 'Filled'));
  for (let turn = 0; turn < 40 && !filled(); turn += 1) await pause(100);
  tell('sor', seen);
  stream.unsubscribe();
  await pause(200);
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error.stack || String(error));
    process.exit(1);
  },
);
