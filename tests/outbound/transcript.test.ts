// What an outcome keeps of the connection it went over, for whom, and what it says of no address.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:tls';
import { afterEach, expect, test } from 'vitest';
import type { Outcome, Transcript } from '../../src/domain/delivery.ts';
import { headerLines } from '../../src/outbound/header-lines.ts';
import { HttpClient, type PostRequest } from '../../src/outbound/http-client.ts';
import { NameResolver } from '../../src/outbound/name-resolver.ts';
import { EgressPolicy } from '../../src/security/egress-policy.ts';
import { begun } from '../delivery/begun.ts';
import { nameServer } from './name-server.ts';
import { rawReceiver, readRequests, socketReceiver } from './raw-receiver.ts';

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const certificate = (name: string): string =>
  readFileSync(new URL(`../delivery/certificates/${name}`, import.meta.url), 'utf8');
const answer = (status: number): string =>
  `HTTP/1.1 ${status} Whatever\r\nX-Request-Id: r1\r\nSet-Cookie: sid=1\r\ncontent-length: 2\r\n\r\nok`;

async function receiver(status: number): Promise<string> {
  const made = await rawReceiver((socket) => socket.write(answer(status)));
  cleanups.push(() => made.close());
  return made.url;
}

/** A client to whose resolver every name stands for this address. */
async function clientOf(address = '127.0.0.1'): Promise<HttpClient> {
  const names = await nameServer(() => ({ addresses: [address] }));
  const client = new HttpClient({
    policy: new EgressPolicy({
      environment: 'development',
      egress: { allowedCidrs: ['127.0.0.1/32', '::1/128'], allowHttp: true },
    }),
    resolver: new NameResolver({ servers: [names.server], hostsPath: '/dev/null' }),
    trustedCertificates: [certificate('ca.pem')],
  });
  cleanups.push(() => names.close());
  cleanups.push(() => client.close());
  return client;
}

async function post(url: string, more: Partial<PostRequest> = {}, client?: HttpClient): Promise<Outcome> {
  const headers = headerLines({ 'content-type': 'application/json', 'x-tenant': '17' });
  return begun((client ?? (await clientOf())).post({ url, headers, body: Buffer.from('{}'), timeoutMs: 5000, ...more }));
}

const whole = (url: string): Transcript => ({
  requestHeaders: [
    `host: ${new URL(url).host}`,
    'connection: keep-alive',
    'content-type: application/json',
    'x-tenant: ********',
    'content-length: 2',
  ].join('\n'),
  responseHeaders: 'X-Request-Id: r1\nSet-Cookie: ********\ncontent-length: 2',
  remoteAddress: '127.0.0.1',
  tlsVersion: null,
});

test('a failure keeps the headers of both sides and the address', async () => {
  const url = await receiver(500);
  expect(await post(url)).toMatchObject({ error: 'http_status', transcript: whole(url) });
});

test('a success keeps nothing, unless it is asked to', async () => {
  const url = await receiver(200);
  const client = await clientOf();
  expect((await post(url, {}, client)).transcript).toBeNull();
  expect(await post(url, { hasTranscript: true }, client)).toMatchObject({ error: null, transcript: whole(url) });
});

test('a body that does not fit into the same write is no part of the headers', async () => {
  const url = await receiver(500);
  const { transcript } = await post(url, { body: Buffer.alloc(100_000, 'a') });
  expect(transcript?.requestHeaders).toBe(whole(url).requestHeaders?.replace('length: 2', 'length: 100000'));
});

test('a receiver that ends the connection leaves the request and no response', async () => {
  const made = await socketReceiver((socket) => void socket.once('data', () => socket.destroy()));
  cleanups.push(() => made.close());
  const { error, transcript } = await post(made.url);
  expect(error).toBe('connection_reset');
  expect(transcript).toEqual({ ...whole(made.url), responseHeaders: null });
});

test('where nothing listens, the address that was dialled is known, and that nothing was sent', async () => {
  const made = await rawReceiver(() => undefined);
  await made.close();
  expect(await post(made.url)).toMatchObject({
    error: 'connection_refused',
    transcript: { requestHeaders: null, responseHeaders: null, remoteAddress: '127.0.0.1', tlsVersion: null },
  });
});

test('the address behind a name is not said when it is none of the public internet', async () => {
  const { port } = new URL(await receiver(500));
  const { transcript } = await post(`http://inside.example:${port}/`);
  expect(transcript).toMatchObject({ remoteAddress: null });
  expect(transcript?.requestHeaders).toContain('host: inside.example');
});

test('an address that webhooks may not reach is not said, also when the name stood for another before', async () => {
  for (const address of ['10.0.0.1', '169.254.169.254'])
    expect(await post('http://inside.example/', {}, await clientOf(address))).toMatchObject({
      error: 'ssrf_blocked',
      transcript: { requestHeaders: null, responseHeaders: null, remoteAddress: null, tlsVersion: null },
    });
});

test.each([
  ['good.pem', 'TLSv1.3', null],
  ['self-signed.pem', null, 'tls_'],
])('with %s the version of TLS is %s', async (cert, tlsVersion, error) => {
  const server = createServer({ key: certificate('server.key'), cert: certificate(cert) }, (socket) =>
    readRequests(socket, () => socket.write(answer(200))),
  );
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => server.close());
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? address.port : 0;
  const outcome = await post(`https://localhost:${port}/`, { hasTranscript: true });
  expect(outcome.error ?? '').toMatch(error ?? /^$/);
  expect(outcome.transcript?.tlsVersion).toBe(tlsVersion);
  expect(outcome.transcript?.requestHeaders === null).toBe(tlsVersion === null);
});
