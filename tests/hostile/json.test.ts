// Everything that strangers may write, through every protocol: never our fault, never half taken, and what is taken arrives as it was sent.
import fc from 'fast-check';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { restClient, type Rest } from '../fixtures/rest.ts';
import { openProtocols, structOf, type Answer, type Listeners } from './protocols.ts';
import { naughtyStrings, ownValues, parsingSet, type Input } from './inputs.ts';

const PATIENCE_MS = 240_000;
/** INTERNAL, UNKNOWN, DATA_LOSS: ours to explain. UNAVAILABLE and DEADLINE_EXCEEDED have no reason to come here either. */
const OUR_FAULT = new Set(['2', '4', '13', '14', '15', 'internal', 'unknown', 'unavailable', 'deadline_exceeded', 'data_loss']);
const MAX_AT_ONCE = 16;
const DEVELOPERS = 16;

let service: TestApp;
let receiver: Receiver;
let protocols: Listeners;
let secret: string;
let alice: Rest;
/** Those who create webhooks, by user id. */
const developers = new Map<string, Rest>();
/** The canonical data that each accepted event must be delivered with. */
const accepted = new Map<string, string>();
const counts: Record<string, number> = {};

beforeAll(async () => {
  receiver = await startReceiver();
  service = await startApp({ env: { MAX_WEBHOOKS_PER_USER: '100000', RATE_LIMIT_PER_MINUTE: '100000000' } });
  const tokens: string[] = [];
  for (let index = 0; index < DEVELOPERS; index += 1) {
    const token = await service.token(`developer-${index}`);
    tokens.push(token);
    developers.set(`developer-${index}`, restClient(service.http, token));
  }
  const publisher = await service.token('order-service', 'service');
  protocols = await openProtocols(service.http, service.grpc, { publisher, developers: tokens });
  alice = await service.as('alice');
  const { body } = await alice('POST', '/api/v1/webhooks', { url: receiver.url('/alice'), events: ['order.created'] });
  secret = body.secret as string;
}, PATIENCE_MS);
afterAll(async () => {
  protocols.close();
  await service.close();
  await receiver.close();
});

test('the sets are whole', () => {
  expect(parsingSet.length).toBe(318);
  expect(naughtyStrings.length).toBeGreaterThan(450);
});

describe('publishing', () => {
  test(
    'every file of JSONTestSuite, as a value of the payload',
    async () => {
      const own = ownValues.map((text, index): Input => ({ name: `i_own_${index}`, bytes: Buffer.from(text) }));
      await eachProtocol([...parsingSet, ...own], async (send, { name, bytes }) => {
        const value = Buffer.concat([Buffer.from('{"value":'), bytes, Buffer.from('}')]);
        const expected = canonical(value);
        // Our reading of JSON is the suite's.
        if (name.startsWith('y_')) expect([name, expected === null]).toEqual([name, false]);
        if (name.startsWith('n_')) expect([name, expected]).toEqual([name, null]);
        await publishes(name, send(value), wouldChange(name, bytes) ? null : expected);
      });
    },
    PATIENCE_MS,
  );

  test(
    'every file of JSONTestSuite, as the payload itself',
    async () => {
      await eachProtocol(parsingSet, async (send, { name, bytes }) => {
        await publishes(name, send(bytes), wouldChange(name, bytes) ? null : canonical(bytes));
      });
    },
    PATIENCE_MS,
  );

  test(
    'every naughty string, as key and value of the payload',
    async () => {
      await eachProtocol(
        naughtyStrings.map((text) => ({ name: text, bytes: Buffer.from(JSON.stringify({ [text]: text })) })),
        async (send, { name, bytes }) => publishes(name, send(bytes), canonical(bytes)),
      );
    },
    PATIENCE_MS,
  );

  test(
    'every naughty string and every value of the suite in a protobuf Struct',
    async () => {
      await counted('gRPC Struct', async () => {
        await inParallel(naughtyStrings, async (text) => {
          const value = { [text]: [text] };
          await publishes(text, protocols.publishStruct(structOf(value)), canonical(Buffer.from(JSON.stringify(value))));
        });
        await inParallel(parsingSet, async ({ name, bytes }) => {
          // What is no JSON has no Struct; but its bytes can stand where text should.
          const json = parsed(bytes);
          const value = { value: json === undefined ? new Uint8Array(bytes) : json };
          const isText = json !== undefined || parsedText(bytes) !== undefined;
          const asText = json === undefined ? parsedText(bytes) : json;
          const expected = isText && isWellFormed(asText) ? canonical(Buffer.from(JSON.stringify({ value: asText }))) : null;
          // JSON writes Infinity as null; the Struct carries it as it is.
          await publishes(name, protocols.publishStruct(structOf(value)), holdsInfinity(json) ? null : expected);
        });
        for (const number of [Number.NaN, Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY]) {
          await publishes(String(number), protocols.publishStruct(structOf({ value: number })), null);
        }
      });
    },
    PATIENCE_MS,
  );

  test(
    'any JSON that a program can make',
    async () => {
      const anything = fc.dictionary(fc.string({ unit: 'binary' }), fc.jsonValue({ maxDepth: 6 }), { maxKeys: 5 });
      for (const [protocol, send] of Object.entries(protocols.publish)) {
        await counted(`${protocol}, generated`, () =>
          fc.assert(
            fc.asyncProperty(anything, async (data) => {
              const bytes = Buffer.from(JSON.stringify(data));
              await publishes(bytes.toString(), send(bytes), canonical(bytes));
            }),
            { numRuns: 150 },
          ),
        );
      }
    },
    PATIENCE_MS,
  );

  test(
    'what was accepted is what the database holds, what the API shows, and what the receiver could verify',
    async () => {
      const { rows } = await service.database.pool.query<{ id: string; data: string }>('select id, data from events');
      expect(rows.length).toBe(accepted.size);
      for (const { id, data } of rows) expect(data).toBe(accepted.get(id));

      await receiver.waitFor((requests) => requests.length >= accepted.size, PATIENCE_MS);
      const webhook = new Webhook(secret);
      const sent = new Set(accepted.values());
      for (const { body, headers } of receiver.requests) {
        const text = body.toString();
        // Throws when the signature is not the body's.
        const { data } = webhook.verify(text, { ...headers }) as { data: unknown };
        // What a receiver makes of it that parses first and serialises again.
        expect(JSON.stringify(JSON.parse(text))).toBe(text);
        expect(sent.has(JSON.stringify(data)) ? '' : text).toBe('');
      }
      expect(new Set(receiver.requests.map(({ headers }) => headers['x-homechef-delivery'])).size).toBe(accepted.size);

      const deliveries = await service.database.pool.query<{ id: string; event_id: string }>(
        'select id, event_id from deliveries',
      );
      expect(deliveries.rowCount).toBe(accepted.size);
      await inParallel(deliveries.rows, async ({ id, event_id }) => {
        const { status, body } = await alice('GET', `/api/v1/webhooks/deliveries/${id}`);
        const data = accepted.get(event_id) ?? '';
        expect([status, JSON.stringify(JSON.parse(body.body).data)]).toEqual([200, data]);
        const asPayload = await alice('GET', `/api/v1/webhooks/deliveries/${id}?view=payload`);
        expect([asPayload.body.body, JSON.stringify(asPayload.body.payload.data)]).toEqual([undefined, data]);
      });
      console.log(`accepted, delivered, verified and read back: ${accepted.size} events`, counts);
    },
    PATIENCE_MS,
  );
});

describe('any bytes as the whole body', () => {
  test(
    'every file of JSONTestSuite and anything at all is refused as the caller’s mistake',
    async () => {
      const before = await rowCounts();
      for (const [protocol, send] of Object.entries(protocols.whole)) {
        await inParallel(parsingSet, async ({ name, bytes }) => {
          const answer = await send(bytes);
          expect([protocol, name, answer.accepted, isOurFault(answer)]).toEqual([protocol, name, false, false]);
        });
        await fc.assert(
          fc.asyncProperty(fc.oneof(fc.uint8Array({ maxLength: 300 }), brokenRequest), async (bytes) => {
            const answer = await send(Buffer.from(bytes));
            expect([answer.accepted, isOurFault(answer)]).toEqual([false, false]);
          }),
          { numRuns: 100 },
        );
      }
      expect(await rowCounts()).toEqual(before);
    },
    PATIENCE_MS,
  );
});

describe('creating a webhook', () => {
  test(
    'every naughty string and every file of JSONTestSuite as its description',
    async () => {
      const inputs = [
        ...parsingSet,
        ...naughtyStrings.map((text) => ({ name: text, bytes: Buffer.from(JSON.stringify(text)) })),
      ];
      const before = (await rowCounts()).webhooks;
      const made = new Map<string, string>();
      for (const [protocol, send] of Object.entries(protocols.create)) {
        await inParallel(inputs, async ({ name, bytes }) => {
          // Over gRPC the bytes are the text; elsewhere they are its JSON.
          const text = protocol === 'gRPC' ? parsedText(bytes) : parsed(bytes);
          // A null is a field that is not given, as protobuf's JSON has it; REST wants no guessing.
          const isNull = text === null && protocol === 'Connect JSON';
          const isText =
            typeof text === 'string' && isWellFormed(text) && !text.includes('\0') && Array.from(text).length <= 1000;
          const answer = await send(bytes);
          expect([protocol, name, isOurFault(answer), answer.accepted]).toEqual([protocol, name, false, isText || isNull]);
          if (answer.accepted) made.set(answer.id, isNull ? '' : String(text));
        });
      }
      const { rows } = await service.database.pool.query<{ id: string; user_id: string; description: string }>(
        `select id, user_id, description from webhook_endpoints where user_id <> 'alice'`,
      );
      expect(new Map(rows.map(({ id, description }) => [id, description]))).toEqual(made);
      expect((await rowCounts()).webhooks).toBe(before + made.size);
      await inParallel(rows, async ({ id, user_id, description }) => {
        const answer = await developers.get(user_id)?.('GET', `/api/v1/webhooks/${id}`);
        expect(answer?.body.description).toBe(description);
      });
      console.log(`${made.size} webhooks created and read back`);
    },
    PATIENCE_MS,
  );

  test(
    'no naughty string is a fault of ours in any other place',
    async () => {
      const publisher = await service.as('order-service', 'service');
      const webhook = { url: 'https://example.com/hook', events: ['order.created'] };
      const event = { event_type: 'order.created', data: {}, audience: { user_ids: ['nobody'] } };
      const placesOf = (bob: Rest): readonly ((text: string) => ReturnType<Rest>)[] => [
        (text) => bob('POST', '/api/v1/webhooks', { ...webhook, url: text }),
        (text) => bob('POST', '/api/v1/webhooks', { ...webhook, url: `https://example.com/${text}` }),
        (text) => bob('POST', '/api/v1/webhooks', { ...webhook, events: [text] }),
        (text) => bob('POST', '/api/v1/webhooks', { ...webhook, custom_headers: { 'X-Naughty': text } }),
        (text) => bob('POST', '/api/v1/webhooks', { ...webhook, custom_headers: Object.fromEntries([[text, 'x']]) }),
        (text) => bob('POST', '/api/v1/webhooks', { ...webhook, user_id: text }),
        (text) => bob('POST', '/api/v1/webhooks', Object.fromEntries([[text, 'x']])),
        (text) => bob('GET', `/api/v1/webhooks/${encodeURIComponent(text)}`),
        (text) => bob('GET', `/api/v1/webhooks/deliveries/${encodeURIComponent(text)}`),
        (text) => bob('GET', `/api/v1/webhooks/deliveries?event_type=${encodeURIComponent(text)}`),
        (text) => bob('GET', `/api/v1/webhooks/deliveries?page_token=${encodeURIComponent(text)}`),
        (text) => bob('GET', `/api/v1/webhooks/deliveries?since=${encodeURIComponent(text)}`),
        (text) => bob('GET', `/api/v1/webhooks?${encodeURIComponent(text)}=x`),
        (text) => publisher('POST', '/api/v1/events', { ...event, event_type: text }),
        (text) => publisher('POST', '/api/v1/events', { ...event, audience: { user_ids: [text] } }),
        (text) => publisher('POST', '/api/v1/events', { ...event, idempotency_key: text }),
        (text) => publisher('POST', '/api/v1/events', { ...event, occurred_at: text }),
      ];
      let calls = 0;
      const everybody = [...developers.values()];
      await inParallel([...naughtyStrings.entries()], async ([index, text]) => {
        const developer = everybody[index % everybody.length] ?? alice;
        for (const ask of placesOf(developer)) {
          calls += 1;
          const { status, body } = await ask(text);
          expect([text, status < 500, status]).toEqual([text, true, status]);
          if (status >= 400) expect(body.error.reason).toMatch(/^[a-z_]+$/);
        }
      });
      console.log(`${calls} calls with a naughty string in some other place`);
    },
    PATIENCE_MS,
  );
});

const twice = new Set([
  'y_object_duplicated_key.json',
  'y_object_duplicated_key_and_value.json',
  `i_own_${ownValues.indexOf('{"a":1,"a":2}')}`,
]);

/** A request as it should be, with a piece of it cut out or written over. */
const brokenRequest = fc.tuple(fc.nat(100), fc.uint8Array({ maxLength: 8 }), fc.nat(8)).map(([at, bytes, removed]) => {
  const whole = Buffer.from('{"event_type":5,"data":{"a":[1,2,{"b":null}]},"audience":{"user_ids":["nobody"]}}');
  const from = Math.min(at, whole.length);
  return Buffer.concat([whole.subarray(0, from), bytes, whole.subarray(from + removed)]);
});

/** Expects the canonical data to be taken, or (null) the call to be refused. */
async function publishes(name: string, answering: Promise<Answer>, expected: string | null): Promise<void> {
  const answer = await answering;
  const shown = name.slice(0, 80);
  expect([shown, isOurFault(answer)]).toEqual([shown, false]);
  expect([shown, answer.accepted, answer.text]).toEqual([shown, expected !== null, answer.text]);
  if (answer.accepted && expected !== null) accepted.set(answer.id, expected);
}

/** Whether JSON.parse drops a key of it, or makes another integer of one. */
function wouldChange(name: string, bytes: Uint8Array): boolean {
  if (twice.has(name)) return true;
  const integers =
    Buffer.from(bytes)
      .toString('latin1')
      .match(/(?<![\d.eE+-])-?\d{16,}(?![\d.eE])/g) ?? [];
  return integers.some((text) => String(Number(text)) !== text);
}

function isOurFault({ status, code }: Answer): boolean {
  return OUR_FAULT.has(code) || status >= 500;
}

async function eachProtocol(
  inputs: readonly Input[],
  task: (send: Listeners['publish'][string], input: Input) => Promise<void>,
) {
  for (const [protocol, send] of Object.entries(protocols.publish)) {
    await counted(protocol, () => inParallel(inputs, (input) => task(send, input)));
  }
}

/** Rows are written for what is accepted, and for nothing else. */
async function counted(protocol: string, task: () => Promise<unknown>): Promise<void> {
  const before = accepted.size;
  await task();
  expect((await rowCounts()).events).toBe(accepted.size);
  counts[protocol] = (counts[protocol] ?? 0) + accepted.size - before;
}

async function inParallel<T>(items: readonly T[], task: (item: T) => Promise<void>): Promise<void> {
  const left = items.values();
  const work = async (): Promise<void> => {
    for (const item of left) await task(item);
  };
  await Promise.all(Array.from({ length: MAX_AT_ONCE }, work));
}

async function rowCounts(): Promise<{ events: number; webhooks: number }> {
  const { rows } = await service.database.pool.query(
    `select (select count(*)::int from events) as events, (select count(*)::int from webhook_endpoints) as webhooks`,
  );
  return rows[0] as { events: number; webhooks: number };
}

/** What the data must be delivered as; null: it must be refused. Written for this test alone, from the rules of the payload. */
function canonical(bytes: Uint8Array): string | null {
  const value = parsed(bytes);
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return null;
  if (holdsInfinity(value) || depthOf(value) > 32 || holdsKey(value, '__proto__')) return null;
  return JSON.stringify(value);
}

function parsedText(bytes: Uint8Array): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function parsed(bytes: Uint8Array): unknown {
  try {
    return JSON.parse(parsedText(bytes) ?? '');
  } catch {
    return undefined;
  }
}

// With a list of what is left rather than by calling itself: some of what comes here is 100,000 levels deep.
function* within(value: unknown): Iterable<{ key: string | null; item: unknown; depth: number }> {
  const left = [{ key: null as string | null, item: value, depth: 0 }];
  for (let next = left.pop(); next !== undefined; next = left.pop()) {
    const { item, depth } = next;
    const isNested = typeof item === 'object' && item !== null;
    yield { ...next, depth: isNested ? depth + 1 : depth };
    if (!isNested) continue;
    for (const [key, inner] of Object.entries(item))
      left.push({ key: Array.isArray(item) ? null : key, item: inner, depth: depth + 1 });
  }
}

function holdsInfinity(value: unknown): boolean {
  return [...within(value)].some(({ item }) => typeof item === 'number' && !Number.isFinite(item));
}

function depthOf(value: unknown): number {
  return Math.max(...[...within(value)].slice(0, 100).map(({ depth }) => depth));
}

function holdsKey(value: unknown, name: string): boolean {
  return [...within(value)].some(({ key }) => key === name);
}

function isWellFormed(value: unknown): boolean {
  return [...within(value)].every(
    ({ key, item }) => key?.isWellFormed() !== false && (typeof item !== 'string' || item.isWellFormed()),
  );
}
