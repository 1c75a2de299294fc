// The WebSockets of npm's `ws`, over TLS.
//
//     ws.mjs serve CERTIFICATE KEY   prints its port, and sends every message back
//     ws.mjs talk URL CA             says some things, closes, and prints what came of it
//     ws.mjs stay URL CA             the same, but waits until the other end closes
import { readFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createRequire } from 'node:module';
import { once } from 'node:events';

const require = createRequire(`${process.env.PORTCULLIS_TEST_PEERS}/node/`);
const { WebSocket, WebSocketServer } = require('ws');
const [mode, first, second] = process.argv.slice(2);

if (mode === 'serve') {
  const server = createServer({ cert: readFileSync(first), key: readFileSync(second) });
  const handleProtocols = (offered) => offered.has('chat') && 'chat';
  const sockets = new WebSocketServer({ server, perMessageDeflate: { threshold: 0 }, handleProtocols });
  sockets.on('connection', (socket) => {
    socket.on('message', (data, binary) => socket.send(data, { binary }));
    socket.on('error', () => {});
  });
  server.listen(0, '127.0.0.1', () => console.log(server.address().port));
} else {
  const socket = new WebSocket(first, ['chat'], { ca: readFileSync(second) });
  await once(socket, 'open');
  const closed = once(socket, 'close');
  const echoed = async (message) => {
    socket.send(message);
    const [data] = await once(socket, 'message');
    return Buffer.from(message).equals(data);
  };
  const short = await echoed('hello');
  const long = await echoed(Buffer.alloc(300_000, 'long'));
  socket.ping('p');
  const [pong] = await once(socket, 'pong');
  console.log(socket.protocol, short, long, String(pong) === 'p');
  if (mode === 'talk') socket.close(4001);
  const [code] = await closed;
  console.log(code);
}
