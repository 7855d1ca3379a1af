// A user's program on the npm package ibkr-client; prints one JSON object a line.
// Run with NODE_PATH naming the folder that has the package; the gateway's host:port is argument 1.
'use strict';

const lines = [];
console.debug = (...words) => lines.push(words.map(String).join(' '));

const { IbkrClient } = require('ibkr-client');

const tell = (step, data) => console.log(`{"step":${JSON.stringify(step)},"data":${JSON.stringify(data)}}`);
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

async function main() {
  const [host, account] = process.argv.slice(2);
  const client = new IbkrClient(host);
  tell('init', await client.init());
  const tickle = await client.request({ path: 'tickle', method: 'POST' });
  tell('tickle', tickle);
  client.session = tickle.session;
  tell('accounts', await client.request({ path: 'iserver/accounts' }));
  tell('portfolio_accounts', await client.request({ path: 'portfolio/accounts' }));
  tell('positions', await client.request({ path: `portfolio/${account}/positions/0`, params: { sort: null } }));
  tell('stocks', await client.request({ path: 'trsrv/stocks', params: { symbols: 'AAPL,MSFT' } }));
  tell('orders_cold', await client.request({ path: 'iserver/account/orders' }));
  tell('orders_warm', await client.request({ path: 'iserver/account/orders', params: { force: false } }));
  let refused = '';
  try {
    await client.request({ path: `iserver/account/${account}/order/1`, method: 'DELETE' });
  } catch (error) {
    refused = error.message;
  }
  tell('refused', refused);

  const socket = client.socket(['open', 'close', 'send', 'receive', 'error']);
  const seen = { sor: [], spl: [], system: [] };
  const open = [
    socket.multiplex(() => 'sor+{}', () => 'uor+{}', (data) => data.topic === 'sor'),
    socket.multiplex(() => 'spl+{}', () => 'upl+{}', (data) => data.topic === 'spl'),
    socket.multiplex(() => 'tic', () => 'tic', (data) => data.topic === 'system' || data.topic === 'tic'),
  ].map((stream, index) =>
    stream.subscribe({
      next: (data) => seen[['sor', 'spl', 'system'][index]].push(data),
      error: (error) => tell('socket_error', String(error)),
    }),
  );
  await pause(1500);
  tell('before_order', { sor: seen.sor.length, spl: seen.spl.length });

  let reply = await client.request({
    path: `iserver/account/${account}/orders`,
    method: 'POST',
    data: { orders: [{ conid: 265598, orderType: 'MKT', side: 'BUY', tif: 'DAY', quantity: 2 }] },
  });
  for (let turn = 0; turn < 10 && reply[0] && reply[0].id; turn += 1) {
    reply = await client.request({ path: `iserver/reply/${reply[0].id}`, method: 'POST', data: { confirmed: true } });
  }
  tell('placed', reply);
  await pause(2000);
  tell('sor', seen.sor);
  tell('spl', seen.spl);
  tell('system', seen.system);
  open.forEach((one) => one.unsubscribe());
  await pause(500);
  tell('debug', lines);
  process.exit(0);
}

main().catch((error) => {
  console.error(error.stack || String(error), lines.slice(-5).join('\n'));
  process.exit(1);
});
