// The usual gateway that composes by hand, without a framework: three calls at once, each body parsed, one object
// written anew. One process on one core: `node:cluster` would let it use both, at the same processor time a call.
// It has no timeouts, no breaker and no log: what it lacks makes it faster.
//
//   node compose.mjs PORT UPSTREAM SLOW request|fetch
//
// `request` calls with node:http and a keep-alive agent, `fetch` with the fetch that is built in.
import http from 'node:http';

const [port, upstream, slow, manner] = process.argv.slice(2);
const agent = new http.Agent({ keepAlive: true, maxSockets: 512 });

function viaRequest(origin, path) {
  return new Promise((resolve, reject) => {
    const call = http.get({ host: '127.0.0.1', port: origin, path, agent, headers: { accept: 'application/json' } }, (answer) => {
      let text = '';
      answer.setEncoding('utf8');
      answer.on('data', (piece) => { text += piece; });
      answer.on('error', reject);
      answer.on('end', () => {
        if (answer.statusCode !== 200) return reject(new Error(`status ${answer.statusCode}`));
        try { resolve(JSON.parse(text)); } catch (fault) { reject(fault); }
      });
    });
    call.on('error', reject);
  });
}

async function viaFetch(origin, path) {
  const answer = await fetch(`http://127.0.0.1:${origin}${path}`, { headers: { accept: 'application/json' } });
  if (answer.status !== 200) {
    await answer.text(); // or its connection would be lost
    throw new Error(`status ${answer.status}`);
  }
  return answer.json();
}

const call = manner === 'fetch' ? viaFetch : viaRequest;

async function whole(id, second) {
  const [user, orders, tips] = await Promise.all([
    call(upstream, `/compose/user/${id}`), call(second, `/compose/orders/${id}`), call(upstream, `/compose/tips/${id}`)]);
  return { user, orders, tips };
}

async function partial(id) {
  const [user, orders, tips] = await Promise.allSettled([
    call(upstream, `/compose/user/${id}`), call(upstream, `/compose/orders/${id}`), call(upstream, `/compose/broken/${id}`)]);
  if (user.status === 'rejected') throw user.reason;
  const body = { user: user.value, orders: orders.value ?? null, tips: tips.value ?? [] };
  if (tips.status === 'rejected') body._errors = { tips: { error: 'status', status: 500 } };
  return body;
}

const routes = {
  home: (id) => whole(id, upstream),
  late: (id) => whole(id, slow),
  part: partial,
};

function send(response, status, body) {
  const text = JSON.stringify(body);
  response.writeHead(status, { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) });
  response.end(text);
}

const server = http.createServer((request, response) => {
  const [, first, name, id] = request.url.split('/');
  const route = first === 'compose' && id ? routes[name] : undefined;
  if (!route) return send(response, 404, { error: 'no route' });
  route(encodeURIComponent(decodeURIComponent(id))).then(
    (body) => send(response, 200, body),
    (fault) => send(response, 502, { error: 'upstream failure', detail: String(fault.message) }));
});
server.keepAliveTimeout = 600_000;
server.maxRequestsPerSocket = 0;
server.listen({ port: Number(port), host: '127.0.0.1', backlog: 4096 });
