// docs/receivers.md, played: each row of its tables is what a receiver of bare sockets sends, and what the client then makes of it.
import { readFileSync } from 'node:fs';
import { afterEach, describe, expect, it } from 'vitest';
import { responseOddities } from '../../src/domain/response-oddity.ts';
import { headerLines } from '../../src/outbound/header-lines.ts';
import { HttpClient } from '../../src/outbound/http-client.ts';
import { EgressPolicy } from '../../src/security/egress-policy.ts';
import { eventually } from '../fixtures/eventually.ts';
import { rawReceiver } from '../outbound/raw-receiver.ts';
import { begun } from './begun.ts';

const page = readFileSync(new URL('../../docs/receivers.md', import.meta.url), 'utf8');
const policy = new EgressPolicy({ environment: 'development', egress: { allowedCidrs: ['127.0.0.0/8'], allowHttp: true } });
const cleanups: (() => unknown)[] = [];

afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

/** The cells of every row in the tables that follow this comment, without backquotes. */
function rowsAfter(comment: string): string[][] {
  return page
    .split(`<!-- ${comment}:`)
    .slice(1)
    .flatMap((part) => /\n\n((?:\|[^\n]*\n)+)/.exec(part)?.[1]?.trim().split('\n').slice(2) ?? [])
    .map((row) =>
      row
        .split('|')
        .slice(1, -1)
        .map((cell) => cell.trim().replaceAll('`', '')),
    );
}

const ESCAPES: Record<string, string> = { r: '\r', n: '\n', t: '\t', 0: '\0' };

/** The bytes that a cell stands for, and whether the receiver closes behind them. */
function sentBy(cell: string): { readonly bytes: Buffer; readonly ends: boolean } {
  const text = cell
    .replace(/\{end\}$/, '')
    .replaceAll(/\{(.)\*(\d+)\}/g, (_, character: string, count: string) => character.repeat(Number(count)))
    .replaceAll(/\\([rnt0])/g, (_, letter: string) => ESCAPES[letter] ?? '');
  return { bytes: Buffer.from(text, 'latin1'), ends: cell.endsWith('{end}') };
}

function newClient(): HttpClient {
  const client = new HttpClient({ policy });
  cleanups.push(() => client.close());
  return client;
}

const post = (client: HttpClient, url: string) =>
  begun(client.post({ url, headers: headerLines({}), body: Buffer.from('{}'), timeoutMs: 5000 }));

const responses = rowsAfter('responses');

describe('a response', () => {
  it('is documented for every oddity', () => {
    expect(new Set(responses.map(([, , oddity]) => oddity))).toEqual(new Set(['', ...Object.keys(responseOddities)]));
    expect(rowsAfter('oddities')).toEqual(Object.entries(responseOddities));
  });

  it.each(responses)('%j counts as %s, is odd by %j, and its connection is %s', async (cell, counted, oddity, connection) => {
    const { bytes, ends } = sentBy(cell ?? '');
    const receiver = await rawReceiver((socket) => void (ends ? socket.end(bytes) : socket.write(bytes)));
    cleanups.push(() => receiver.close());
    const client = newClient();
    const outcome = await post(client, receiver.url);
    expect(outcome.error ?? 'delivered').toBe(counted);
    expect(outcome.responseOddity ?? '').toBe(oddity);
    const statuses = [...bytes.toString('latin1').matchAll(/HTTP\/1\.\d (\d{3})/g)].map(([, status]) => Number(status));
    const isAnswered = ['delivered', 'http_status', 'redirect_not_followed'].includes(counted ?? '');
    expect(isAnswered ? statuses : [null]).toContain(outcome.httpStatus);
    expect(receiver.requests).toHaveLength(1);
    await eventually(() => client.sockets === (connection === 'kept' ? 1 : 0), { what: `the connection ${connection}` });
  });

  it.each(responses.filter(([, , oddity]) => oddity !== ''))('%j is the last one on its connection', async (cell) => {
    const { bytes } = sentBy(cell ?? '');
    const good = 'HTTP/1.1 201 Made\r\ncontent-length: 0\r\n\r\n';
    const receiver = await rawReceiver((socket) => socket.write(receiver.requests.length === 1 ? bytes : good));
    cleanups.push(() => receiver.close());
    const client = newClient();
    await post(client, receiver.url);
    expect((await post(client, receiver.url)).httpStatus).toBe(201);
    expect(receiver.requests.map(({ number }) => number)).toEqual([1, 1]);
  });
});

describe('Retry-After', () => {
  it.each(rowsAfter('retry-after'))('%j asks for %s s', async (value, seconds) => {
    const receiver = await rawReceiver((socket) =>
      socket.write(`HTTP/1.1 429 Slow\r\nretry-after: ${value}\r\ncontent-length: 0\r\n\r\n`),
    );
    cleanups.push(() => receiver.close());
    const asked = (await post(newClient(), receiver.url)).retryAfterMs;
    expect(asked).toBe(seconds === 'not believed' ? null : Number(seconds) * 1000);
  });
});
