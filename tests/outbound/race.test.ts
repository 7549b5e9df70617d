// Names with several addresses: each is given its time while the next ones are tried, and one connection comes of it.
import { afterEach, describe, expect, it } from 'vitest';
import { headerLines } from '../../src/outbound/header-lines.ts';
import { HttpClient, type HttpClientOptions } from '../../src/outbound/http-client.ts';
import { NameResolver } from '../../src/outbound/name-resolver.ts';
import { RacingPlaces } from '../../src/outbound/race.ts';
import type { Outcome } from '../../src/domain/delivery.ts';
import { EgressPolicy } from '../../src/security/egress-policy.ts';
import { eventually } from '../fixtures/eventually.ts';
import { begun } from '../delivery/begun.ts';
import { deafListener, type DeafListener } from './deaf-listener.ts';
import { nameServer } from './name-server.ts';
import { rawReceiver, type RawReceiver } from './raw-receiver.ts';

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** A client to whom `receiver.example` stands for these addresses, asked for each time. */
async function clientFor(addresses: () => readonly string[], options: Partial<HttpClientOptions> = {}): Promise<HttpClient> {
  const names = await nameServer(() => ({ addresses: addresses() }));
  cleanups.push(() => names.close());
  const client = new HttpClient({
    policy: new EgressPolicy({
      environment: 'development',
      egress: { allowedCidrs: ['127.0.0.0/8', '::1/128'], allowHttp: true },
    }),
    resolver: new NameResolver({ servers: [names.server], hostsPath: '/dev/null' }),
    ...options,
  });
  cleanups.push(() => client.close());
  return client;
}

async function deaf(host: string, port?: number): Promise<DeafListener> {
  const made = await deafListener(host, port);
  cleanups.push(() => made.close());
  return made;
}

async function receiver(host: string, port?: number): Promise<RawReceiver> {
  const made = await rawReceiver((socket) => socket.write(OK), host, port);
  cleanups.push(() => made.close());
  return made;
}

function post(client: HttpClient, port: number, host = 'receiver.example'): Promise<Outcome> {
  const url = `http://${host}:${port}/`;
  return begun(client.post({ url, headers: headerLines({}), body: Buffer.from('{}'), timeoutMs: 10_000 }));
}

describe('an address that answers late', () => {
  it.each([
    ['another refuses', ['127.0.0.1', '127.0.0.2']],
    ['one of the other family refuses', ['127.0.0.1', '::1']],
    ['it is the only one', ['127.0.0.1']],
  ])('because the first packet was lost is reached when %s', async (_, addresses) => {
    const late = await deaf('127.0.0.1');
    const client = await clientFor(() => addresses);
    const sent = post(client, late.port);
    setTimeout(() => late.listen(), 600);
    expect(await sent).toMatchObject({ error: null, httpStatus: 200 });
    expect(client.sockets).toBe(1);
  });

  it('is reached as well when it is what the URL names', async () => {
    const late = await deaf('127.0.0.1');
    const client = await clientFor(() => []);
    const sent = post(client, late.port, '127.0.0.1');
    setTimeout(() => late.listen(), 600);
    expect(await sent).toMatchObject({ error: null, httpStatus: 200 });
  });
});

describe('an address that never answers', () => {
  it('costs a quarter of a second, and no socket stays open to it', async () => {
    const silent = await deaf('127.0.0.1');
    const good = await receiver('127.0.0.2', silent.port);
    const client = await clientFor(() => ['127.0.0.1', '127.0.0.2']);
    const outcome = await post(client, silent.port);
    expect(outcome).toMatchObject({ error: null, httpStatus: 200 });
    expect(outcome.durationMs).toBeGreaterThanOrEqual(240);
    expect(outcome.durationMs).toBeLessThan(1500);
    expect(client.sockets).toBe(1);
    expect(good.connections()).toBe(1);
  });

  it('and has no other beside it is a timeout after five seconds, not before', async () => {
    const silent = await deaf('127.0.0.1');
    const client = await clientFor(() => ['127.0.0.1', '127.0.0.2']);
    const outcome = await post(client, silent.port);
    expect(outcome.error).toBe('timeout');
    expect(outcome.durationMs).toBeGreaterThanOrEqual(4990);
    expect(client.sockets).toBe(0);
  });
});

it('addresses that refuse are followed by the next at once', async () => {
  const good = await receiver('127.0.0.8');
  const addresses = Array.from({ length: 8 }, (_, n) => `127.0.0.${n + 1}`);
  const client = await clientFor(() => addresses);
  const outcome = await post(client, good.port);
  expect(outcome).toMatchObject({ error: null, httpStatus: 200 });
  // Seven waits of 250 ms would be 1,750 ms.
  expect(outcome.durationMs).toBeLessThan(1000);
});

it('of two that connect one gets the request, once', async () => {
  const first = await receiver('127.0.0.1');
  const second = await receiver('127.0.0.2', first.port);
  const client = await clientFor(() => ['127.0.0.1', '127.0.0.2']);
  for (let i = 0; i < 5; i += 1) expect((await post(client, first.port)).httpStatus).toBe(200);
  expect(first.requests).toHaveLength(5);
  expect(second.connections()).toBe(0);
});

it('names with many addresses leave half of the places for racing to those with two', () => {
  const places = new RacingPlaces(4);
  expect([places.tryTake(1), places.tryTake(2), places.tryTake(3)]).toEqual([true, true, false]);
  expect([places.tryTake(0), places.tryTake(0), places.tryTake(0)]).toEqual([true, true, false]);
  places.give(3);
  expect(places.taken).toBe(1);
  expect(places.tryTake(1)).toBe(true);
});

it('a name that moved is followed although its connection is never idle', async () => {
  let address = '127.0.0.1';
  const before = await receiver('127.0.0.1');
  const after = await receiver('127.0.0.2', before.port);
  const client = await clientFor(() => [address], { maxAgeMs: 300 });
  expect((await post(client, before.port)).httpStatus).toBe(200);
  address = '127.0.0.2';
  // One after the other, without a pause: by use alone the first connection would live for ever.
  await eventually(
    async () => {
      expect((await post(client, before.port)).httpStatus).toBe(200);
      return after.requests.length > 0;
    },
    { what: 'a request to the new address', deadlineMs: 10_000 },
  );
  expect(client.sockets).toBe(1);
});
