// Connections that do nothing take no place from those that do.
import { once } from 'node:events';
import { connect as connectHttp2 } from 'node:http2';
import { connect } from 'node:net';
import type { Socket } from 'node:net';
import type { FastifyInstance } from 'fastify';
import { afterEach, expect, test } from 'vitest';
import { eventually } from '../fixtures/eventually.ts';
import { connectClient, EVENT, openListeners, rest } from './listeners.ts';
import type { Listeners } from './listeners.ts';
import { EventService } from '../../gen/homechef/webhook/v1/event_pb.ts';

let listeners: Listeners;
const sockets: Socket[] = [];
afterEach(async () => {
  for (const socket of sockets.splice(0)) socket.destroy();
  await listeners.close(0);
});

const PREFACE = Buffer.concat([Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n'), Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0])]);

/** Connections that send nothing but what makes them connections. */
async function idle(port: number, count: number, hello = Buffer.alloc(0)): Promise<{ closed: () => number }> {
  let closed = 0;
  for (let n = 0; n < count; n += 1) {
    const socket = connect(port, '127.0.0.1');
    sockets.push(socket);
    socket.on('error', () => {}).on('close', () => (closed += 1));
    socket.resume();
    await once(socket, 'connect');
    socket.write(hello);
  }
  return { closed: () => closed };
}

const event = { eventType: 'order.created', audience: { broadcast: true }, payload: { case: 'data' as const, value: {} } };

test('idle connections of one address take an eighth of the places, the oldest leaving first, and others still call', async () => {
  listeners = await openListeners({ http: { limits: { maxConnections: 160 } } });
  const http = await idle(listeners.httpPort, 60);
  const grpc = await idle(listeners.grpcPort, 60, PREFACE);
  await eventually(() => http.closed() === 40 && grpc.closed() === 40);
  expect((await rest(listeners, 'POST', '/api/v1/events', { body: EVENT })).status).toBe(202);
  expect(await connectClient(EventService, listeners, 'grpc').publishEvent(event)).toMatchObject({ deliveries: 1 });
});

test('a trusted proxy is not held to an address’s share, and what is idle longest makes room when all places are taken', async () => {
  listeners = await openListeners({ http: { limits: { maxConnections: 64 } }, trustProxy: 1 });
  const http = await idle(listeners.httpPort, 70);
  await eventually(() => http.closed() === 10);
  expect((await rest(listeners, 'POST', '/api/v1/events', { body: EVENT })).status).toBe(202);
});

test('a connection that does nothing is closed in time, and one over which a known caller has called is kept', async () => {
  listeners = await openListeners({ http: { limits: { strangerIdleMs: 300 } } });
  const known = connect(listeners.httpPort, '127.0.0.1');
  const session = connectHttp2(listeners.grpcUrl);
  sockets.push(known);
  let answer = '';
  known.on('data', (piece) => (answer += piece.toString('latin1')));
  known.write('GET /api/v1/webhooks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer developer:user123\r\n\r\n');
  const path = '/homechef.webhook.v1.WebhookService/ListWebhooks';
  const headers = {
    ':method': 'POST',
    ':path': path,
    'content-type': 'application/grpc',
    authorization: 'Bearer developer:user123',
  };
  const stream = session.request(headers);
  stream.resume().end(Buffer.alloc(5));
  await once(stream, 'close');
  await eventually(() => answer.includes('200 OK'));
  const http = await idle(listeners.httpPort, 3);
  const grpc = await idle(listeners.grpcPort, 3, PREFACE);
  // A probe's calls make no caller known.
  http.closed();
  sockets.at(-6)?.write('GET /livez HTTP/1.1\r\nhost: x\r\n\r\n');
  await eventually(() => http.closed() === 3 && grpc.closed() === 3);
  expect(known.destroyed).toBe(false);
  expect(session.closed).toBe(false);
  session.destroy();
});

test('a client that opens more connections at once than its share, and calls over each, is served over all while places are free', async () => {
  listeners = await openListeners({ http: { limits: { maxConnections: 70 } } });
  // Every connection stands before the first call comes.
  const opened = Array.from({ length: 60 }, () => connect(listeners.httpPort, '127.0.0.1'));
  sockets.push(...opened);
  await Promise.all(opened.map((socket) => once(socket, 'connect')));
  // Connections are taken in order: once this is answered, the server has seen all of them.
  expect((await fetch(`http://127.0.0.1:${listeners.httpPort}/livez`)).status).toBe(200);
  const answers = opened.map(async (socket) => {
    let answer = '';
    socket.on('error', () => {}).on('data', (piece) => (answer += piece.toString('latin1')));
    socket.write('GET /api/v1/webhooks HTTP/1.1\r\nhost: x\r\nauthorization: Bearer developer:user123\r\n\r\n');
    await eventually(() => answer.startsWith('HTTP/1.1 200 OK'));
  });
  await Promise.all(answers);
});

test('calls without a token that go on and on count towards the share of their address', async () => {
  const endless = (app: FastifyInstance, _options: object, done: () => void): void => {
    app.get('/page', () => new Promise(() => {}));
    done();
  };
  listeners = await openListeners({ http: { limits: { maxConnections: 70 }, extensions: [endless] } });
  const calls = await idle(listeners.httpPort, 30, Buffer.from('GET /page HTTP/1.1\r\nhost: x\r\n\r\n'));
  await eventually(() => calls.closed() === 14);
  expect((await rest(listeners, 'POST', '/api/v1/events', { body: EVENT })).status).toBe(202);
});
