// Names and certificates on the way to a receiver: nothing is dialled that may not be, nothing is trusted that should not be.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { afterEach, describe, expect, it } from 'vitest';
import type { AttemptError, Outcome } from '../../src/domain/delivery.ts';
import { headerLines } from '../../src/outbound/header-lines.ts';
import { HttpClient } from '../../src/outbound/http-client.ts';
import { NameResolver } from '../../src/outbound/name-resolver.ts';
import { EgressPolicy } from '../../src/security/egress-policy.ts';
import { begun } from '../delivery/begun.ts';
import { nameServer, type Answer, type NameServer } from './name-server.ts';
import { rawReceiver, readRequests, socketReceiver, type RawReceiver } from './raw-receiver.ts';

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
const SLACK_MS = 700;
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

function certificate(name: string): string {
  return readFileSync(new URL(`../delivery/certificates/${name}`, import.meta.url), 'utf8');
}

function newClient(resolver?: NameResolver, trustedCertificates: string[] | null = [certificate('ca.pem')]): HttpClient {
  const client = new HttpClient({
    policy: new EgressPolicy({
      environment: 'development',
      egress: { allowedCidrs: ['127.0.0.1/32', '::1/128'], allowHttp: true },
    }),
    ...(resolver === undefined ? {} : { resolver }),
    ...(trustedCertificates === null ? {} : { trustedCertificates }),
  });
  cleanups.push(() => client.close());
  return client;
}

async function okReceiver(): Promise<RawReceiver> {
  const receiver = await rawReceiver((socket) => socket.write(OK));
  cleanups.push(() => receiver.close());
  return receiver;
}

async function names(answer: (name: string, before: number) => Answer): Promise<NameServer & { resolver: NameResolver }> {
  const made = await nameServer(answer);
  cleanups.push(() => made.close());
  return { ...made, resolver: new NameResolver({ servers: [made.server], hostsPath: '/dev/null' }) };
}

async function tlsReceiver(options: TlsOptions): Promise<string> {
  const server = createTlsServer({ key: certificate('server.key'), ...options }, (socket) =>
    readRequests(socket, () => socket.write(OK)),
  );
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => server.close());
  const address = server.address();
  return `https://localhost:${typeof address === 'object' && address !== null ? address.port : 0}/`;
}

function post(client: HttpClient, url: string, timeoutMs = 5000): Promise<Outcome> {
  return begun(client.post({ url, headers: headerLines({}), body: Buffer.from('{}'), timeoutMs }));
}

describe('a name', () => {
  it.each<[string, Answer]>([
    ['an address', { addresses: ['127.0.0.1'] }],
    ['several, of which the first is dead', { addresses: ['::1', '127.0.0.1'] }],
    ['an alias', { alias: 'elsewhere.example', addresses: ['127.0.0.1'] }],
  ])('that stands for %s is reached', async (_, answer) => {
    const receiver = await okReceiver();
    const { resolver } = await names(() => answer);
    expect(await post(newClient(resolver), `http://receiver.example:${receiver.port}/`)).toMatchObject({
      error: null,
      httpStatus: 200,
    });
    expect(receiver.requests[0]?.head).toMatch(new RegExp(`^host: receiver.example:${receiver.port}$`, 'm'));
  });

  it.each<[string, Answer]>([
    ['a private address', { addresses: ['10.0.0.1'] }],
    ['a metadata address', { addresses: ['169.254.169.254'] }],
    ['a mapped metadata address', { addresses: ['::ffff:a9fe:a9fe'] }],
    ['a metadata address of IPv6', { addresses: ['fd00:ec2::254'] }],
    ['another loopback address', { addresses: ['127.0.0.2'] }],
    ['this host', { addresses: ['0.0.0.0'] }],
    ['a good address and a bad one', { addresses: ['127.0.0.1', '10.0.0.1'] }],
    ['a good address and a bad one of the other family', { addresses: ['127.0.0.1', 'fd00::1'] }],
    ['an alias of a bad one', { alias: 'metadata.example', addresses: ['169.254.169.254'] }],
  ])('that stands for %s is blocked, and nothing is dialled', async (_, answer) => {
    const receiver = await okReceiver();
    const { resolver } = await names(() => answer);
    const outcome = await post(newClient(resolver), `http://receiver.example:${receiver.port}/`);
    expect(outcome).toMatchObject({ error: 'ssrf_blocked', httpStatus: null, response: null });
    expect(receiver.connections()).toBe(0);
  });

  it('that turns bad between two requests is blocked from then on', async () => {
    const receiver = await rawReceiver((socket) => socket.end(OK.replace('\r\n', '\r\nconnection: close\r\n')));
    cleanups.push(() => receiver.close());
    const { resolver, questions } = await names((_, before) => ({
      addresses: [before === 0 ? '127.0.0.1' : '169.254.169.254'],
    }));
    const client = newClient(resolver);
    const url = `http://rebinding.example:${receiver.port}/`;
    const errors: (string | null)[] = [];
    while (questions.filter((question) => question.endsWith(' 1')).length < 2) errors.push((await post(client, url)).error);
    expect(errors.slice(0, -1).every((error) => error === null)).toBe(true);
    expect(errors.at(-1)).toBe('ssrf_blocked');
    expect((await post(client, url)).error).toBe('ssrf_blocked');
  });

  it.each<[string, Answer]>([
    ['NXDOMAIN', { failure: 'NXDOMAIN' }],
    ['SERVFAIL', { failure: 'SERVFAIL' }],
    ['REFUSED', { failure: 'REFUSED' }],
    ['no addresses', { addresses: [] }],
    ['an alias of nothing', { alias: 'nothing.example', addresses: [] }],
    ['silence', 'silence'],
  ])('answered with %s is a dns_error within the deadline', async (_, answer) => {
    const { resolver } = await names(() => answer);
    const outcome = await post(newClient(resolver), 'http://receiver.example/', 6000);
    expect(outcome).toMatchObject({ error: 'dns_error', httpStatus: null });
    expect(outcome.durationMs).toBeLessThan(5000);
  });

  it('answered with silence ends at an earlier deadline', async () => {
    const { resolver } = await names(() => 'silence');
    const outcome = await post(newClient(resolver), 'http://receiver.example/', 300);
    expect(outcome.error).toBe('timeout');
    expect(outcome.durationMs).toBeLessThan(300 + SLACK_MS);
  });

  it('is not held up by a hundred others that no server answers for', async () => {
    const receiver = await okReceiver();
    const { resolver } = await names((name) => (name.startsWith('silent') ? 'silence' : { addresses: ['127.0.0.1'] }));
    const client = newClient(resolver);
    const silent = Array.from({ length: 100 }, (_, i) => post(client, `http://silent${i}.example/`, 1500));
    const outcome = await post(client, `http://receiver.example:${receiver.port}/`);
    expect(outcome.error).toBeNull();
    expect(outcome.durationMs).toBeLessThan(1000);
    expect(new Set((await Promise.all(silent)).map(({ error }) => error))).toEqual(new Set(['timeout']));
  });

  it('whose IPv6 address no server answers for is reached by IPv4', async () => {
    const receiver = await okReceiver();
    const server = await nameServer(
      () => ({ addresses: ['127.0.0.1'] }),
      '127.0.0.1',
      0,
      (type) => type === 28,
    );
    cleanups.push(() => server.close());
    const client = newClient(new NameResolver({ servers: [server.server], hostsPath: '/dev/null' }));
    const outcome = await post(client, `http://receiver.example:${receiver.port}/`);
    expect(outcome.error).toBeNull();
    expect(outcome.durationMs).toBeLessThan(1000);
  });

  it('is asked for once by many requests at a time', async () => {
    const receiver = await okReceiver();
    const { resolver, questions } = await names(() => ({ addresses: ['127.0.0.1'] }));
    const client = newClient(resolver);
    const outcomes = await Promise.all(
      Array.from({ length: 50 }, () => post(client, `http://receiver.example:${receiver.port}/`)),
    );
    expect(outcomes.every(({ error }) => error === null)).toBe(true);
    expect(questions.toSorted()).toEqual(['receiver.example 1', 'receiver.example 28']);
  });

  it('of the hosts file is honoured, and judged like any other', async () => {
    const receiver = await okReceiver();
    const server = await nameServer(() => ({ failure: 'NXDOMAIN' }));
    cleanups.push(() => server.close());
    const hostsPath = new URL('hosts.txt', import.meta.url).pathname;
    const client = newClient(new NameResolver({ servers: [server.server], hostsPath }));
    expect((await post(client, `http://from-hosts.example:${receiver.port}/`)).error).toBeNull();
    expect((await post(client, `http://bad-in-hosts.example:${receiver.port}/`)).error).toBe('ssrf_blocked');
    expect((await post(client, `http://not-in-hosts.example:${receiver.port}/`)).error).toBe('dns_error');
  });
});

describe('a TLS receiver', () => {
  it('with a certificate for its name or address is trusted', async () => {
    const url = await tlsReceiver({ cert: certificate('good.pem') });
    const client = newClient();
    for (const host of ['localhost', '127.0.0.1']) {
      expect(await post(client, url.replace('localhost', host))).toMatchObject({
        error: null,
        httpStatus: 200,
        response: 'ok',
      });
    }
  });

  it('gets the name that is meant, and no name for an address', async () => {
    const asked: (string | false)[] = [];
    const server = createTlsServer({ key: certificate('server.key'), cert: certificate('good.pem') }, (socket) => {
      asked.push(socket.servername ?? false);
      readRequests(socket, () => socket.write(OK));
    });
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanups.push(() => server.close());
    const address = server.address();
    const port = typeof address === 'object' && address !== null ? address.port : 0;
    const { resolver } = await names(() => ({ addresses: ['127.0.0.1'] }));
    const client = newClient(resolver);
    expect((await post(client, `https://receiver.example:${port}/`)).error).toBeNull();
    expect((await post(client, `https://127.0.0.1:${port}/`)).error).toBeNull();
    expect(asked).toEqual(['receiver.example', false]);
  });

  it.each<[string, AttemptError, TlsOptions]>([
    ['with a certificate signed by itself', 'tls_certificate_self_signed', { cert: certificate('self-signed.pem') }],
    ['with a certificate of another host', 'tls_certificate_wrong_name', { cert: certificate('wrong-host.pem') }],
    ['with a certificate that has expired', 'tls_certificate_expired', { cert: certificate('expired.pem') }],
    [
      'that speaks only TLS 1.1',
      'tls_version_too_old',
      { cert: certificate('good.pem'), minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
    ],
    [
      'that demands a client certificate',
      'tls_client_certificate_required',
      { cert: certificate('good.pem'), ca: certificate('ca.pem'), requestCert: true, rejectUnauthorized: true },
    ],
    // An anonymous one, which no client accepts: a failure of TLS that has no code of its own.
    ['without a certificate', 'tls_error', { key: undefined, ciphers: 'ADH-AES128-SHA256@SECLEVEL=0', maxVersion: 'TLSv1.2' }],
  ])('%s is told as %s', async (_, error, options) => {
    const url = await tlsReceiver(options);
    expect(await post(newClient(), url)).toMatchObject({ error, httpStatus: null, response: null });
  });

  it('of an authority that only tests know is not trusted by default, whatever the environment says', async () => {
    const url = await tlsReceiver({ cert: certificate('good.pem') });
    process.env['NODE_TLS_REJECT_UNAUTHORIZED'] = '0';
    cleanups.push(() => delete process.env['NODE_TLS_REJECT_UNAUTHORIZED']);
    expect((await post(newClient(undefined, null), url)).error).toBe('tls_certificate_unknown_issuer');
  });

  it.each(['HTTP/1.1 400 Bad Request\r\n\r\n', 'SSH-2.0-OpenSSH_9.9\r\n', '220 mail.example ESMTP\r\n'])(
    'that speaks plain %j fails with that reason',
    async (greeting) => {
      const receiver = await socketReceiver((socket) => socket.once('data', () => socket.end(greeting)));
      cleanups.push(() => receiver.close());
      expect((await post(newClient(), `https://localhost:${receiver.port}/`)).error).toBe('tls_not_spoken');
    },
  );

  it('that says nothing in the handshake holds the attempt until its deadline, and leaves no socket', async () => {
    const receiver = await socketReceiver(() => {});
    cleanups.push(() => receiver.close());
    const client = newClient();
    const outcome = await post(client, `https://localhost:${receiver.port}/`, 500);
    expect(outcome).toMatchObject({ error: 'timeout', httpStatus: null });
    expect(outcome.durationMs).toBeLessThan(500 + SLACK_MS);
    expect(client.sockets).toBe(0);
  });

  it('that says nothing in the handshake is given five seconds, whatever the deadline', async () => {
    const receiver = await socketReceiver(() => {});
    cleanups.push(() => receiver.close());
    const outcome = await post(newClient(), `https://localhost:${receiver.port}/`, 30_000);
    expect(outcome.error).toBe('timeout');
    expect(outcome.durationMs).toBeGreaterThanOrEqual(4990);
    expect(outcome.durationMs).toBeLessThan(5000 + SLACK_MS);
  });

  it('that hangs up in the handshake is a closed connection', async () => {
    const receiver = await socketReceiver((socket) => socket.once('data', () => socket.resetAndDestroy()));
    cleanups.push(() => receiver.close());
    expect((await post(newClient(), `https://localhost:${receiver.port}/`)).error).toBe('connection_reset');
  });
});
