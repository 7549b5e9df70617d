// What proxies and probes send, and how the answers reach them.
import { connect } from 'node:net';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { MAX_MESSAGE_BYTES, EVENT, openListeners, rest } from './listeners.ts';
import type { Listeners } from './listeners.ts';

let listeners: Listeners;
beforeAll(async () => {
  listeners = await openListeners();
});
afterAll(() => listeners.close());

/** Writes the parts one after the other as fast as they are taken; gives what came back, and whether the connection was reset. */
function raw(parts: readonly (string | Buffer)[]): Promise<{ answer: string; isReset: boolean }> {
  return new Promise((resolve) => {
    let answer = '';
    let isReset = false;
    const socket = connect(listeners.httpPort, '127.0.0.1');
    socket.on('data', (piece) => (answer += piece.toString('latin1')));
    socket.on('error', () => (isReset = true));
    socket.on('close', () => resolve({ answer, isReset }));
    for (const part of parts) socket.write(part);
  });
}

test.each(['/livez', '/readyz', '/health'])('a probe over HTTP/1.0 without a Host is answered: %s', async (path) => {
  expect((await raw([`GET ${path} HTTP/1.0\r\n\r\n`])).answer).toMatch(/^HTTP\/1\.1 200 /);
});

test.each(['/api/v1/events', '/homechef.webhook.v1.EventService/PublishEvent'])(
  'a body over the limit is refused without a reset, although the proxy sends all of it first: %s',
  async (path) => {
    const headers = 'host: x\r\nauthorization: Bearer service:orders\r\ncontent-type: application/json\r\nconnection: close';
    const body = Buffer.alloc(MAX_MESSAGE_BYTES + 1, 0x20);
    const { answer, isReset } = await raw([
      `POST ${path} HTTP/1.0\r\n${headers}\r\ncontent-length: ${body.length}\r\n\r\n`,
      body,
    ]);
    expect(answer).toMatch(/^HTTP\/1\.1 (413|400) /);
    expect(answer).toContain('message_too_large');
    expect(isReset).toBe(false);
  },
);

test.each(['utf8', 'UTF-8', '"utf-8"', 'Utf8'])('charset=%s is UTF-8', async (charset) => {
  for (const separator of [';', '; ', ' ; ']) {
    const headers = { 'content-type': `application/json${separator}charset=${charset}` };
    expect((await rest(listeners, 'POST', '/api/v1/events', { body: EVENT, headers })).status).toBe(202);
    const path = '/homechef.webhook.v1.EventService/PublishEvent';
    const body = { eventType: 'order.created', data: {}, audience: { broadcast: true } };
    expect((await rest(listeners, 'POST', path, { body, headers })).status).toBe(200);
  }
});

test('another charset is not', async () => {
  const headers = { 'content-type': 'application/json; charset=latin1' };
  expect((await rest(listeners, 'POST', '/api/v1/events', { body: EVENT, headers })).status).toBe(415);
});
