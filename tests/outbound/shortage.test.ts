// When sockets, descriptors or ports of this machine run short, no receiver is charged for it: requests wait, or do not begin.
import { execFile } from 'node:child_process';
import type { Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterEach, describe, expect, it } from 'vitest';
import { headerLines } from '../../src/outbound/header-lines.ts';
import { HttpClient, type HttpClientOptions } from '../../src/outbound/http-client.ts';
import { failureOf } from '../../src/outbound/shortage.ts';
import type { NotBegun, Outcome, Shortage } from '../../src/domain/delivery.ts';
import { EgressPolicy } from '../../src/security/egress-policy.ts';
import { eventually } from '../fixtures/eventually.ts';
import { rawReceiver, type RawReceiver } from './raw-receiver.ts';

const OK = 'HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok';
/** Of which two are for racing addresses. */
const MAX_SOCKETS = 8;
const PLACES = 6;
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

function newClient(options: Partial<HttpClientOptions> = {}): HttpClient {
  const egress = { allowedCidrs: ['127.0.0.0/8', '::1/128'], allowHttp: true };
  const policy = new EgressPolicy({ environment: 'development', egress });
  const client = new HttpClient({ policy, maxSockets: MAX_SOCKETS, ...options });
  cleanups.push(() => client.close());
  return client;
}

async function receiver(answer: (socket: Socket, head: string) => void): Promise<RawReceiver> {
  const made = await rawReceiver((socket, { head }) => answer(socket, head));
  cleanups.push(() => made.close());
  return made;
}

function post(client: HttpClient, url: string, more: { tenant?: string; timeoutMs?: number; beginBy?: number } = {}) {
  return client.post({ url, headers: headerLines({}), body: Buffer.from('{}'), timeoutMs: 5000, ...more });
}

describe('a request that finds every place taken', () => {
  it('waits for one, is then given its whole time, and is an attempt like any other', async () => {
    const held: Socket[] = [];
    const target = await receiver((socket) => void held.push(socket));
    const client = newClient();
    const busy = Array.from({ length: PLACES }, () => post(client, target.url));
    await eventually(() => held.length === PLACES);
    const late = post(client, target.url, { timeoutMs: 400 });
    expect(client.waiting).toBe(1);
    held[0]?.write(OK);
    await eventually(() => held.length === PLACES + 1);
    held.at(-1)?.write(OK);
    expect(await late).toMatchObject({ httpStatus: 200, error: null });
    for (const socket of held) socket.write(OK);
    for (const outcome of await Promise.all(busy)) expect(outcome).toMatchObject({ httpStatus: 200 });
    expect(client.waiting).toBe(0);
  });

  it('does not begin when none becomes free, dials nothing, and says what was missing', async () => {
    const target = await receiver(() => {});
    const other = await receiver((socket) => socket.write(OK));
    const shortages: Shortage[] = [];
    const client = newClient({ onShortage: (shortage) => shortages.push(shortage) });
    for (let i = 0; i < PLACES; i += 1) void post(client, target.url, { timeoutMs: 60_000 });
    await eventually(() => target.requests.length === PLACES);
    expect(client.isShort).toBe(false);
    expect(await post(client, other.url)).toEqual({ shortage: 'places' });
    expect(other.connections()).toBe(0);
    expect(shortages).toEqual(['places']);
    expect(client.isShort).toBe(true);
    expect(client.waiting).toBe(0);
  });

  it('waits no longer than its lease allows', async () => {
    const target = await receiver(() => {});
    const client = newClient();
    for (let i = 0; i < PLACES; i += 1) void post(client, target.url, { timeoutMs: 60_000 });
    const before = performance.now();
    expect(await post(client, target.url, { beginBy: before + 100 })).toEqual({ shortage: 'places' });
    expect(performance.now() - before).toBeLessThan(900);
  });

  it('is released when the client closes, as one that never began', async () => {
    const target = await receiver(() => {});
    const client = newClient();
    const busy = Array.from({ length: PLACES }, () => post(client, target.url));
    const late = post(client, target.url);
    client.close();
    expect(await late).toEqual({ shortage: 'places' });
    for (const outcome of await Promise.all(busy)) expect(outcome).toMatchObject({ error: 'shutdown' });
    expect(client.sockets).toBe(0);
  });

  it('is served in its tenant’s turn, and first come, first served among that tenant’s', async () => {
    const order: string[] = [];
    const held: Socket[] = [];
    const target = await receiver((socket, head) => {
      const name = /POST \/(\w+)/.exec(head)?.[1] ?? '';
      if (name === 'busy') return void held.push(socket);
      order.push(name);
      socket.write(OK);
    });
    const client = newClient();
    const to = (name: string) => target.url.replace('/hook', `/${name}`);
    const busy = Array.from({ length: PLACES }, () => post(client, to('busy')));
    await eventually(() => held.length === PLACES);
    const waiting: Promise<unknown>[] = [];
    for (const name of ['a1', 'a2', 'a3', 'a4', 'b1', 'c1', 'b2']) {
      waiting.push(post(client, to(name), { tenant: name.slice(0, 1) }));
    }
    held[0]?.write(OK);
    await Promise.all(waiting);
    expect(order).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3', 'a4']);
    for (const socket of held) socket.write(OK);
    await Promise.all(busy);
  });
});

it('places of sockets that end in one turn are free in that turn', async () => {
  const silent = await receiver(() => {});
  const target = await receiver((socket) => socket.write(OK));
  const shortages: Shortage[] = [];
  const client = newClient({ onShortage: (shortage) => shortages.push(shortage) });
  const followed = Array.from({ length: PLACES }, async () => {
    expect(await post(client, silent.url, { timeoutMs: 200 })).toMatchObject({ error: 'timeout' });
    return post(client, target.url);
  });
  for (const outcome of await Promise.all(followed)) expect(outcome).toMatchObject({ httpStatus: 200 });
  expect(shortages).toEqual([]);
});

it.each<[string, unknown, unknown]>([
  ['EMFILE', {}, { shortage: 'descriptors' }],
  ['ENFILE', {}, { shortage: 'descriptors' }],
  ['ENOBUFS', {}, { shortage: 'memory' }],
  ['ENOMEM', {}, { shortage: 'memory' }],
  ['EADDRNOTAVAIL', { address: '127.0.0.1' }, { shortage: 'ports' }],
  ['ECONNREFUSED', {}, 'connection_refused'],
])('%s of %j is %j', (code, more, failure) => {
  expect(failureOf(Object.assign(new Error(code), { code }, more))).toEqual(failure);
});

describe.skipIf(process.platform === 'win32')('a process without a descriptor left', () => {
  // A process of its own under ulimit: this one's limit cannot be lowered and raised again.
  async function starved(posts: object): Promise<(Outcome | NotBegun)[]> {
    const script = fileURLToPath(new URL('starved.ts', import.meta.url));
    const command = 'ulimit -n 80 && exec "$0" "$1" "$2"';
    const { stdout } = await promisify(execFile)('sh', ['-c', command, process.execPath, script, JSON.stringify(posts)]);
    return JSON.parse(stdout) as (Outcome | NotBegun)[];
  }

  it('sends what waits as soon as it has some again', async () => {
    const target = await receiver((socket) => socket.write(OK));
    const outcomes = await starved({ urls: Array.from({ length: 40 }, () => target.url), starvedMs: 400 });
    for (const outcome of outcomes) expect(outcome).toMatchObject({ httpStatus: 200, error: null });
  });

  it('does not begin what it has none for in time, dials nothing, and blames no name', async () => {
    const target = await receiver((socket) => socket.write(OK));
    const urls = [target.url, `http://receiver.example:${target.port}/`];
    expect(await starved({ urls, starvedMs: 1500 })).toEqual(urls.map(() => ({ shortage: 'descriptors' })));
    expect(target.connections()).toBe(0);
  });

  it('sends one after the other over the few that there are', async () => {
    const target = await receiver((socket) => socket.end(OK.replace('\r\n', '\r\nconnection: close\r\n')));
    const outcomes = await starved({ urls: Array.from({ length: 60 }, () => target.url), starvedMs: 0, left: 5 });
    for (const outcome of outcomes) expect(outcome).toMatchObject({ httpStatus: 200, error: null });
  });
});
