// What a diagnosis says of receivers that are well, and of each way to be unwell: real servers, certificates and names.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import type { Socket } from 'node:net';
import { createServer as createTlsServer, type TlsOptions } from 'node:tls';
import { Webhook } from 'standardwebhooks';
import { afterEach, describe, expect, it } from 'vitest';
import { AccessTokens } from '../../src/delivery/access-tokens.ts';
import { createAttempt } from '../../src/delivery/attempt.ts';
import { createDiagnoser, MAX_PING_MS } from '../../src/delivery/diagnoser.ts';
import type { Target } from '../../src/delivery/webhook-directory.ts';
import type { Diagnosis, DiagnosedStep, DiagnosisStep } from '../../src/domain/diagnosis.ts';
import { DAY_MS } from '../../src/domain/time-units.ts';
import { CONNECT_TIMEOUT_MS } from '../../src/outbound/dial.ts';
import { HttpClient } from '../../src/outbound/http-client.ts';
import { NameResolver } from '../../src/outbound/name-resolver.ts';
import { EgressPolicy } from '../../src/security/egress-policy.ts';
import { RateLimit } from '../../src/security/rate-limit.ts';
import { newSecret, signingKey } from '../../src/security/signature.ts';
import type { Diagnoser } from '../../src/service/diagnoser.ts';
import { createTracing } from '../../src/telemetry/tracing.ts';
import { MAX_CALL_MS } from '../../src/transport/call/interceptors/deadline.ts';
import { deafListener } from '../outbound/deaf-listener.ts';
import { nameServer, type Answer } from '../outbound/name-server.ts';
import { rawReceiver, readRequests, socketReceiver, type RawReceiver, type RawRequest } from '../outbound/raw-receiver.ts';

const SECRET = newSecret();
const WEBHOOK_ID = 'webhook_01hm5w0qs8f4e2b6d9c1a7g3h5';
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const certificate = (name: string): string => readFileSync(new URL(`certificates/${name}`, import.meta.url), 'utf8');

interface World {
  readonly url: string;
  readonly answer?: (name: string, before: number) => Answer;
  readonly trusted?: string[] | null;
  readonly now?: () => number;
  readonly timeoutMs?: number;
  readonly perMinute?: number;
  readonly maxSockets?: number;
  readonly change?: Partial<Target>;
}

async function diagnoserOf({ url, ...world }: World): Promise<{ diagnoser: Diagnoser; client: HttpClient }> {
  const egress = { allowedCidrs: ['127.0.0.1/32', '::1/128'], allowHttp: true };
  const policy = new EgressPolicy({ environment: 'development', egress });
  const names = world.answer === undefined ? undefined : await nameServer(world.answer);
  const trusted = world.trusted === undefined ? [certificate('ca.pem')] : world.trusted;
  const now = world.now ?? Date.now;
  const client = new HttpClient({
    policy,
    now,
    ...(names === undefined ? {} : { resolver: new NameResolver({ servers: [names.server], hostsPath: '/dev/null' }) }),
    ...(trusted === null ? {} : { trustedCertificates: trusted }),
    ...(world.maxSockets === undefined ? {} : { maxSockets: world.maxSockets }),
  });
  cleanups.push(
    () => client.close(),
    () => names?.close(),
  );
  const retry = { maxRetries: 3, retryDelayMs: 1000, timeoutMs: world.timeoutMs ?? 2000 };
  const target: Target = {
    id: WEBHOOK_ID,
    userId: 'alice',
    url,
    keys: [{ key: signingKey(SECRET), expiresAtMs: Number.POSITIVE_INFINITY, signsHeader: true }],
    customHeaders: { 'X-Team': 'kitchen' },
    policy: retry,
    rateLimit: 0,
    revision: 1,
    // A webhook that was disabled is the one to be looked at.
    isDeliverable: false,
    isPaused: false,
    fault: null,
    lacksKey: false,
    ...world.change,
  };
  const tokens = new AccessTokens(async () => {
    throw new Error('this webhook has no token server');
  });
  const send = createAttempt({
    client,
    tokens,
    signatureHeader: 'X-HomeChef-Signature',
    userAgent: 'HomeChef-Webhooks/test',
    maxTimeoutMs: 60_000,
    signal: new AbortController().signal,
    now,
    tracing: createTracing(null),
  });
  const diagnoser = createDiagnoser({
    directory: { load: async (id) => (id === WEBHOOK_ID ? target : null) },
    client,
    send,
    tokens,
    checkUrl: (text) => policy.checkUrl(text),
    rate: new RateLimit(world.perMinute ?? 6, null),
    policy: retry,
    now,
  });
  return { diagnoser, client };
}

async function diagnose(world: World): Promise<Diagnosis> {
  const { diagnoser, client } = await diagnoserOf(world);
  const diagnosis = await diagnoser.ofWebhook(WEBHOOK_ID);
  if (diagnosis === null) throw new Error('there is no such webhook');
  // Whatever came of it, what was opened to look is closed again; the ping's own connection may idle.
  expect(client.sockets).toBeLessThanOrEqual(1);
  for (const { message } of diagnosis.steps) expect(message).not.toBe('');
  return diagnosis;
}

const brief = ({ steps }: Diagnosis): string => steps.map(({ step, result }) => `${step} ${result}`).join(', ');

function stepOf({ steps }: Diagnosis, name: DiagnosisStep): DiagnosedStep {
  const found = steps.find(({ step }) => step === name);
  if (found === undefined) throw new Error(`there is no step ${name}`);
  return found;
}

function answer(status: string, headers: Readonly<Record<string, string>> = {}, body = 'ok'): string {
  const lines = Object.entries({ date: new Date().toUTCString(), 'content-length': String(body.length), ...headers });
  return `HTTP/1.1 ${status}\r\n${lines.map(([name, value]) => `${name}: ${value}\r\n`).join('')}\r\n${body}`;
}

async function receiver(
  reply: string | ((socket: Socket, request: RawRequest) => void) = answer('200 OK'),
): Promise<RawReceiver> {
  const made = await rawReceiver(typeof reply === 'string' ? (socket) => socket.write(reply) : reply);
  cleanups.push(() => made.close());
  return made;
}

async function tlsReceiver(options: TlsOptions): Promise<string> {
  const server = createTlsServer({ key: certificate('server.key'), ...options }, (socket) =>
    readRequests(socket, () => socket.write(answer('200 OK'))),
  );
  server.on('tlsClientError', () => {});
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  cleanups.push(() => server.close());
  const address = server.address();
  return `https://127.0.0.1:${typeof address === 'object' && address !== null ? address.port : 0}/hook`;
}

describe('a receiver that is well', () => {
  it('is ok in every step, and gets one request like any delivery, which its secret verifies', async () => {
    const received: RawRequest[] = [];
    const server = createTlsServer({ key: certificate('server.key'), cert: certificate('good.pem') }, (socket) =>
      readRequests(socket, (request) => {
        received.push(request);
        socket.write(answer('204 No Content', { 'content-length': '0' }, ''));
      }),
    );
    server.listen(0, '127.0.0.1');
    await once(server, 'listening');
    cleanups.push(() => server.close());
    const { port } = server.address() as { port: number };
    const diagnosis = await diagnose({
      url: `https://receiver.example:${port}/hook?a=b`,
      answer: () => ({ addresses: ['127.0.0.1'] }),
    });
    expect(brief(diagnosis)).toBe('url ok, resolve ok, connect ok, tls ok, ping ok, clock ok');
    expect(diagnosis.verdict).toBe('ok');
    expect(diagnosis.steps.map(({ advice }) => advice)).toEqual(['', '', '', '', '', '']);
    expect(stepOf(diagnosis, 'resolve').message).toContain('receiver.example stands for 127.0.0.1');
    const tls = stepOf(diagnosis, 'tls').message;
    expect(tls).toMatch(/^TLSv1\.3, with a certificate of HomeChef test authority for .*receiver\.example.* ends in \d+ days/);
    expect(received).toHaveLength(1);
    const [ping] = received;
    expect(ping?.head).toMatch(/^POST \/hook\?a=b HTTP\/1\.1\r\n/);
    expect(ping?.head).toMatch(/^X-Team: kitchen$/im);
    const headers = Object.fromEntries(
      [...(ping?.head ?? '').matchAll(/^([\w-]+): (.*?)\r?$/gm)].map(([, name, value]) => [name, value]),
    );
    expect(new Webhook(SECRET).verify(ping?.body ?? '', headers as Record<string, string>)).toMatchObject({
      event: 'webhook.ping',
      webhook_id: WEBHOOK_ID,
    });
  });

  it('over plain HTTP on this machine is ok, without a connection left behind', async () => {
    const { url } = await receiver();
    expect(brief(await diagnose({ url }))).toBe('url ok, resolve ok, connect ok, tls ok, ping ok, clock ok');
  });

  it('whose response has no Date is ok all the same, and the step says so', async () => {
    const { url } = await receiver('HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n');
    const diagnosis = await diagnose({ url });
    expect(diagnosis.verdict).toBe('ok');
    expect(stepOf(diagnosis, 'clock').message).toContain('no Date');
  });
});

describe('a URL', () => {
  it.each([
    ['ftp://example.com/', 'absolute http or https URL'],
    ['http://169.254.169.254/latest', 'private, reserved or metadata address'],
    ['http://printer/', 'public host name'],
  ])('%s is refused in the first step, and nothing else is tried', async (url, message) => {
    const diagnosis = await diagnose({ url });
    expect(diagnosis).toMatchObject({ verdict: 'failed', steps: [{ step: 'url', result: 'failed' }] });
    expect(diagnosis.steps).toHaveLength(1);
    expect(stepOf(diagnosis, 'url').message).toContain(message);
  });

  it('without a webhook is pinged with a secret that no one has; a receiver that refuses it is warned of, not failed', async () => {
    const good = await receiver();
    const { diagnoser } = await diagnoserOf({ url: good.url });
    const diagnosis = await diagnoser.ofUrl(good.url);
    expect(diagnosis.verdict).toBe('ok');
    expect(good.requests[0]?.head).toMatch(/^webhook-signature: v1,/m);
    expect(good.requests[0]?.head).not.toMatch(/X-Team/i);
    const strict = await receiver(answer('401 Unauthorized'));
    const refused = await diagnoser.ofUrl(strict.url);
    expect(stepOf(refused, 'ping')).toMatchObject({
      result: 'warning',
      message: expect.stringContaining('No webhook exists yet'),
    });
    const broken = await receiver(answer('500 Broken'));
    expect(stepOf(await diagnoser.ofUrl(broken.url), 'ping').result).toBe('failed');
  });
});

describe('a name', () => {
  it.each<[string, Answer]>([
    ['nobody knows', { failure: 'NXDOMAIN' }],
    ['has no addresses', { addresses: [] }],
    ['no name server answers for', 'silence'],
  ])('that %s fails to resolve', async (_, told) => {
    const diagnosis = await diagnose({ url: 'http://receiver.example/', answer: () => told });
    expect(brief(diagnosis)).toBe('url ok, resolve failed');
    expect(stepOf(diagnosis, 'resolve')).toMatchObject({
      message: 'The host name could not be resolved.',
      advice: 'Check the host name in the URL and its DNS records.',
    });
  });

  it.each([[['10.11.12.13']], [['127.0.0.1', '10.11.12.13']], [['169.254.169.254']], [['127.0.0.1', 'fd00::17']]])(
    'that stands for %j is refused as one where webhooks may not go, without a word about these addresses',
    async (addresses) => {
      const open = await receiver();
      const told: unknown[] = [];
      for (const port of [open.port, 1]) {
        const diagnosis = await diagnose({ url: `http://inside.example:${port}/`, answer: () => ({ addresses }) });
        expect(brief(diagnosis)).toBe('url ok, resolve failed');
        for (const address of [...addresses, '10.', 'fd00']) expect(JSON.stringify(diagnosis)).not.toContain(address);
        told.push(diagnosis.steps.map(({ step, result, message, advice }) => ({ step, result, message, advice })));
      }
      // The same whether something listens there or not: one port looks like another.
      expect(told[0]).toEqual(told[1]);
      expect(open.connections()).toBe(0);
    },
  );

  it('of which one address is dead is warned of, with the address', async () => {
    const { port } = await receiver();
    const diagnosis = await diagnose({
      url: `http://receiver.example:${port}/`,
      answer: () => ({ addresses: ['127.0.0.1', '::1'] }),
    });
    expect(diagnosis.verdict).toBe('warning');
    expect(stepOf(diagnosis, 'connect')).toMatchObject({
      result: 'warning',
      message: expect.stringMatching(/^127\.0\.0\.1 can be reached, ::1 cannot be reached\./),
    });
    expect(stepOf(diagnosis, 'ping').result).toBe('ok');
  });
});

describe('a connection', () => {
  it('that is refused fails, with the address', async () => {
    const { url, port } = await receiver();
    await cleanups.pop()?.();
    const diagnosis = await diagnose({ url });
    expect(brief(diagnosis)).toBe('url ok, resolve ok, connect failed');
    expect(stepOf(diagnosis, 'connect')).toMatchObject({ message: expect.stringContaining('127.0.0.1 cannot be reached') });
    expect(port).toBeGreaterThan(0);
  });

  it('into a black hole fails after five seconds', async () => {
    const hole = await deafListener('127.0.0.1');
    cleanups.push(() => hole.close());
    const diagnosis = await diagnose({ url: `http://127.0.0.1:${hole.port}/` });
    expect(brief(diagnosis)).toBe('url ok, resolve ok, connect failed');
    const { durationMs, advice } = stepOf(diagnosis, 'connect');
    expect(durationMs).toBeGreaterThanOrEqual(4900);
    expect(durationMs).toBeLessThan(7000);
    expect(advice).toContain('firewall');
  });
});

describe('TLS', () => {
  it.each<[string, TlsOptions, RegExp, RegExp]>([
    ['that has expired', { cert: certificate('expired.pem') }, /has expired/, /Renew/],
    ['of another name', { cert: certificate('wrong-host.pem') }, /another host name/, /names exactly the host/],
    ['signed by itself', { cert: certificate('self-signed.pem') }, /signed by itself/, /public authority/],
    [
      'behind TLS 1.1',
      { cert: certificate('good.pem'), minVersion: 'TLSv1', maxVersion: 'TLSv1.1', ciphers: 'DEFAULT@SECLEVEL=0' },
      /no TLS from 1\.2 on/,
      /Switch on TLS 1\.2/,
    ],
  ])('with a certificate %s fails and says so', async (_, options, message, advice) => {
    const diagnosis = await diagnose({ url: await tlsReceiver(options) });
    expect(brief(diagnosis)).toBe('url ok, resolve ok, connect ok, tls failed');
    expect(stepOf(diagnosis, 'tls').message).toMatch(message);
    expect(stepOf(diagnosis, 'tls').advice).toMatch(advice);
  });

  it('of an unknown authority fails and says so', async () => {
    const diagnosis = await diagnose({ url: await tlsReceiver({ cert: certificate('good.pem') }), trusted: null });
    expect(stepOf(diagnosis, 'tls')).toMatchObject({ result: 'failed', message: expect.stringContaining('issuer') });
  });

  it.each<[string, (socket: Socket) => void, RegExp]>([
    ['that is cut off', (socket) => void socket.once('data', () => socket.resetAndDestroy()), /cut off in the TLS handshake/],
    [
      'that is plain HTTP',
      (socket) => void socket.once('data', () => socket.end('HTTP/1.1 400 Bad Request\r\n\r\n')),
      /plain HTTP/,
    ],
    ['that is a tarpit', () => {}, /said nothing in the TLS handshake/],
  ])('%s fails and says so', async (_, accept, message) => {
    const server = await socketReceiver(accept);
    cleanups.push(() => server.close());
    const diagnosis = await diagnose({ url: `https://localhost:${server.port}/` });
    expect(brief(diagnosis)).toBe('url ok, resolve ok, connect ok, tls failed');
    expect(stepOf(diagnosis, 'tls').message).toMatch(message);
  });

  it('whose certificate ends within two weeks is warned of, with the days that are left', async () => {
    // The certificate of these tests ends on 2126-10-30.
    const now = () => Date.UTC(2126, 9, 30, 16, 35, 35) - 3.5 * DAY_MS;
    const diagnosis = await diagnose({ url: await tlsReceiver({ cert: certificate('good.pem') }), now });
    expect(stepOf(diagnosis, 'tls')).toMatchObject({
      result: 'warning',
      message: expect.stringContaining('ends in 3 days, on 2126-10-30'),
      advice: 'Renew the certificate of the receiver.',
    });
  });
});

describe('a ping', () => {
  it.each<[string, string, RegExp, RegExp]>([
    ['an error of the receiver', answer('500 Broken'), /answered 500/, /Its own logs/],
    ['a refusal', answer('403 Forbidden'), /answered 403/, /signature check/],
    ['nothing served there', answer('404 Not Found'), /answered 404/, /exactly the registered URL/],
    ['what is no HTTP', '220 mail.example ESMTP\r\n', /did not begin with a status line/, /not an HTTP server/],
    [
      'a redirect',
      answer('301 Moved', { location: 'https://elsewhere.example/x' }),
      /It leads to https:\/\/elsewhere\.example\/x\./,
      /Register the URL/,
    ],
  ])('answered with %s fails, and the answer is shown', async (_, reply, message, advice) => {
    const { url } = await receiver(reply);
    const diagnosis = await diagnose({ url });
    expect(diagnosis.verdict).toBe('failed');
    expect(stepOf(diagnosis, 'ping').message).toMatch(message);
    expect(stepOf(diagnosis, 'ping').advice).toMatch(advice);
  });

  it('is not sent where a redirect leads', async () => {
    const elsewhere = await receiver();
    const { url } = await receiver(answer('302 Found', { location: elsewhere.url }));
    await diagnose({ url });
    expect(elsewhere.connections()).toBe(0);
  });

  it('that a tarpit drips at fails at the webhook’s own deadline', async () => {
    const { url } = await receiver((socket) => {
      socket.write('HTTP/1.1 200 ');
      const timer = setInterval(() => socket.write('O'), 20);
      socket.on('close', () => clearInterval(timer));
    });
    const diagnosis = await diagnose({ url, timeoutMs: 1000 });
    expect(stepOf(diagnosis, 'ping')).toMatchObject({ result: 'failed', message: 'The answer did not come in time.' });
    expect(stepOf(diagnosis, 'ping').durationMs).toBeLessThan(5000);
  });

  it('is over before the call that waits for it, whatever the webhook’s timeout is', () => {
    const nameServersMs = 3000;
    expect(nameServersMs + CONNECT_TIMEOUT_MS + MAX_PING_MS).toBeLessThanOrEqual(MAX_CALL_MS - 5000);
  });

  it('that gets no response fails at the webhook’s own deadline', async () => {
    const { url } = await receiver(() => {});
    const diagnosis = await diagnose({ url, timeoutMs: 1000 });
    expect(stepOf(diagnosis, 'ping')).toMatchObject({ result: 'failed', message: 'The answer did not come in time.' });
    expect(stepOf(diagnosis, 'ping').durationMs).toBeLessThan(5000);
  });

  it('whose answer has no end is warned of', async () => {
    const { url } = await receiver((socket) => socket.write('HTTP/1.1 200 OK\r\n\r\nand so on'));
    expect(stepOf(await diagnose({ url }), 'ping')).toMatchObject({
      result: 'warning',
      message: expect.stringContaining('not read to the end'),
    });
  });

  it.each([
    [-3600, 'behind'],
    [7200, 'ahead of'],
  ])('answered by a clock that is off by %d s warns of it', async (seconds, direction) => {
    const { url } = await receiver((socket) =>
      socket.write(answer('200 OK', { date: new Date(Date.now() + seconds * 1000).toUTCString() })),
    );
    const diagnosis = await diagnose({ url });
    expect(diagnosis.verdict).toBe('warning');
    const { message } = stepOf(diagnosis, 'clock');
    expect(message).toContain(` s ${direction} ours`);
    expect(Math.abs(Number(/\d+/.exec(message)?.[0]) - Math.abs(seconds))).toBeLessThanOrEqual(2);
  });

  it('of a webhook whose secret cannot be read says that it is ours to mend', async () => {
    const { url, requests } = await receiver();
    const diagnosis = await diagnose({ url, change: { keys: [], fault: 'decrypt_failed' } });
    expect(stepOf(diagnosis, 'ping')).toMatchObject({ result: 'failed', advice: expect.stringContaining('operators') });
    expect(requests).toHaveLength(0);
  });
});

describe('who may', () => {
  it('have a webhook looked at once at a time, and six times a minute', async () => {
    const { diagnoser } = await diagnoserOf({ url: 'http://127.0.0.1/' });
    const limit = { code: 'resource_exhausted', reason: 'diagnose_limit_reached', retryAfterMs: expect.any(Number) };
    const end = await diagnoser.admit('alice', WEBHOOK_ID);
    await expect(diagnoser.admit('alice', WEBHOOK_ID)).rejects.toMatchObject(limit);
    end();
    for (let n = 1; n < 6; n += 1) (await diagnoser.admit('alice', WEBHOOK_ID))();
    await expect(diagnoser.admit('alice', WEBHOOK_ID)).rejects.toMatchObject(limit);
    (await diagnoser.admit('bob', 'webhook_2'))();
  });

  it('have eight under way in a process, for all callers together', async () => {
    const { diagnoser } = await diagnoserOf({ url: 'http://127.0.0.1/' });
    const ends = await Promise.all(Array.from({ length: 8 }, (_, n) => diagnoser.admit(`user${n}`, `webhook_${n}`)));
    await expect(diagnoser.admit('one more', 'webhook_9')).rejects.toMatchObject({ reason: 'diagnose_limit_reached' });
    ends[0]?.();
    (await diagnoser.admit('one more', 'webhook_9'))();
  });

  it('is refused until later when this process has no socket to spare: no step blames the receiver', async () => {
    const { url } = await receiver();
    const { diagnoser } = await diagnoserOf({ url, maxSockets: 0 });
    await expect(diagnoser.ofWebhook(WEBHOOK_ID)).rejects.toMatchObject({ reason: 'overloaded' });
  });
});
