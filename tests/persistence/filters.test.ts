// Filters as PostgreSQL evaluates them: in the publish statement, at no cost to webhooks without one, and never to the harm of an event.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import pg from 'pg';
import { faultOfFilter } from '../../src/domain/payload-filter.ts';
import { createPool } from '../../src/persistence/pool.ts';
import { type EventRow, insertEvents } from '../../src/persistence/queries/insert-events.ts';
import { tryFilter } from '../../src/persistence/queries/try-filter.ts';
import { batchSettings } from '../../src/persistence/session.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventRow } from './hot-rows.ts';

let database: TestDatabase;
let pool: pg.Pool;
let number = 0;

beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool(database.config, () => undefined, { max: 1, settings: batchSettings });
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});
beforeEach(async () => {
  await database.pool.query('delete from webhook_endpoints');
});

async function webhook(
  filter: string | null,
  columns: { user?: string; events?: string[]; scope?: string } = {},
): Promise<string> {
  const id = `webhook_${String((number += 1)).padStart(26, '0')}`;
  const { user = 'user_1', events = ['order.created'], scope = 'user' } = columns;
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, scope, filter)
     values ($1, $2, 'https://example.com/', $3, 's', 'h', $4, $5)`,
    [id, user, JSON.stringify(events), scope, filter],
  );
  return id;
}

/** The webhooks that get an event, of each event. */
async function receivers(...events: Partial<EventRow>[]): Promise<string[][]> {
  const rows = events.map((event) => eventRow(event));
  const { deliveries } = await insertEvents(pool, rows, null);
  return rows.map(({ id }) => (deliveries.get(id) ?? []).map(({ webhookId }) => webhookId).toSorted());
}

describe('an event becomes a delivery of a webhook with a filter', () => {
  test.each([
    ['$.total > 50', '{"total":50.5}', true],
    ['$.total > 50', '{"total":50}', false],
    ['$.total > 50', '{}', false],
    ['$.total > 50', '{"total":"51"}', false],
    ['$.items[*].price > 5', '{"items":[{"price":1},{"price":6}]}', true],
    ['exists($.items[*] ? (@.price > 5 && @.n == 1))', '{"items":[{"price":1,"n":1},{"price":6,"n":2}]}', false],
    ['$.city starts with "Ber"', '{"city":"Berlin"}', true],
    ['!exists($.coupon)', '{"city":"Berlin"}', true],
    ['strict $.a == $.b', '{"a":1,"b":1}', true],
    ['strict $.a == $.b', '{"a":1}', false],
    ['$.a / $.b > 1', '{"a":1,"b":0}', false],
    ['$.a == "x"', '{"a":"x","text":"\\u0000"}', false],
    ['!($.a == "x")', '{"text":"\\u0000"}', false],
    ['$.a > 0', '{"a":1e+308}', true],
  ])('%s with %s: %s', async (filter, data, isOwed) => {
    const filtered = await webhook(filter);
    const [owed] = await receivers({ data });
    expect(owed).toEqual(isOwed ? [filtered] : []);
  });
});

test('webhooks of one event each go by their own filter, and those without one get it, whatever its payload holds', async () => {
  const [all, dear, cheap] = [await webhook(null), await webhook('$.total > 50'), await webhook('$.total <= 50')];
  const everywhere = await webhook('$.total > 90', { user: 'admin', scope: 'platform' });
  const [first, second, third] = await receivers(
    { data: '{"total":91}' },
    { data: '{"total":1}' },
    { data: '{"total":1,"x":"\\u0000"}' },
  );
  expect(first).toEqual([all, dear, everywhere]);
  expect(second).toEqual([all, cheap]);
  expect(third).toEqual([all]);
});

test('a broadcast goes by filters as well: of webhooks that name its type, and of those with a pattern', async () => {
  const named = [await webhook('$.n == 1'), await webhook('$.n == 2', { user: 'user_2' })];
  const patterns = { events: ['order.*'] };
  const others = [await webhook('$.n == 2', patterns), await webhook(null, { ...patterns, user: 'user_3' })];
  const [owed] = await receivers({ data: '{"n":2}', userIds: [], broadcast: true });
  expect(owed).toEqual([named[1], ...others]);
});

test('a change of the filter is generated with it', async () => {
  const id = await webhook('$.n == 1');
  await database.pool.query(`update webhook_endpoints set filter = '$.n == 2' where id = $1`, [id]);
  expect(await receivers({ data: '{"n":1}' }, { data: '{"n":2}' })).toEqual([[], [id]]);
  await database.pool.query(`update webhook_endpoints set filter = null where id = $1`, [id]);
  expect(await receivers({ data: '{"n":1}' })).toEqual([[id]]);
});

interface PlanNode {
  'Actual Loops': number;
  Output?: string[];
  Plans?: PlanNode[];
}

/** How often the publish statement reads a payload as jsonb. */
async function documentsRead(events: readonly Partial<EventRow>[]): Promise<number> {
  let sent: { text: string; values: unknown[] } | undefined;
  const recorder = {
    query: (query: { text: string; values: unknown[] }) => {
      sent = query;
      return Promise.resolve({ rows: [] });
    },
  };
  await insertEvents(
    recorder as unknown as pg.Pool,
    events.map((event) => eventRow(event)),
    null,
  );
  await database.pool.query('analyze webhook_endpoints');
  const { rows } = await pool.query<{ 'QUERY PLAN': { Plan: PlanNode }[] }>(
    `explain (analyze, verbose, format json) ${sent?.text}`,
    sent?.values,
  );
  const nodes = (node: PlanNode): PlanNode[] => [node, ...(node.Plans ?? []).flatMap(nodes)];
  const reads = rows
    .flatMap((row) => row['QUERY PLAN'].flatMap(({ Plan }) => nodes(Plan)))
    .filter(({ Output: output }) => output?.length === 1 && output[0]?.startsWith('payload_document(') === true);
  // One a way to look up webhooks.
  expect(reads).toHaveLength(4);
  return reads.reduce((sum, node) => sum + node['Actual Loops'], 0);
}

describe('the payload is read', () => {
  const events = (count: number, more: object = {}) => Array.from({ length: count }, () => ({ data: '{"n":1}', ...more }));

  test('not at all while no webhook has a filter', async () => {
    for (let n = 0; n < 10; n += 1) await webhook(null);
    expect(await documentsRead(events(5))).toBe(0);
    expect(await documentsRead(events(5, { broadcast: true, userIds: [] }))).toBe(0);
  });

  test('not for a filter of another user, or of webhooks that are subscribed to other types', async () => {
    await webhook(null);
    await webhook('$.n == 1', { user: 'user_2' });
    await webhook('$.n == 1', { events: ['tip.received'] });
    expect(await documentsRead(events(5))).toBe(0);
  });

  test('once an event, however many webhooks filter it', async () => {
    for (let n = 0; n < 10; n += 1) await webhook(`$.n == ${n}`);
    expect(await documentsRead(events(5))).toBe(5);
    expect(await documentsRead(events(5, { broadcast: true, userIds: [] }))).toBe(5);
  });
});

test('PostgreSQL takes every filter that passes the check, and no payload makes it fail', async () => {
  const random = seeded(20_261_128);
  const payloads = [
    '{}',
    '{"a":[1,[2,"x"],{"b":null}],"b":{"c":"2026-01-01","a":[[[]]]},"c":1e+308}',
    '{"a":"\\u0000"}',
    '{"a":{"a":{"a":[true,-1]}}}',
  ];
  const accepted: string[] = [];
  while (accepted.length < 400) {
    const filter = randomFilter(random);
    if (faultOfFilter(filter) === null) accepted.push(filter);
  }
  for (const filter of accepted) {
    const { results, error } = await tryFilter(database.pool, filter, payloads);
    expect({ filter, error }).toEqual({ filter, error: null });
    expect(results?.map(({ isHeld }) => isHeld)).toEqual([true, true, false, true]);
  }
});

/** The same numbers in each run: a failure can be repeated. */
function seeded(seed: number): () => number {
  let state = seed;
  return () => {
    state = (Math.imul(state, 1_664_525) + 1_013_904_223) >>> 0;
    return state / 2 ** 32;
  };
}

/** Made of the grammar's parts, and of some that do not fit. */
function randomFilter(random: () => number): string {
  const one = (...options: (string | (() => string))[]): string => {
    const option = options[Math.floor(random() * options.length)] ?? '';
    return typeof option === 'string' ? option : option();
  };
  let depth = 0;
  const step = (): string =>
    one(
      '.a',
      '.b',
      '."c"',
      '.*',
      '[*]',
      '[0]',
      '[last]',
      '[0 to last]',
      '[last - 1]',
      '.size()',
      '.type()',
      '.abs()',
      '.double()',
      '.floor()',
      '.a',
      ' ? (@ == 1)',
      inner,
    );
  const inner = (): string => (depth > 2 ? '.b' : ` ? (${condition('@')})`);
  const path = (root: string): string => `${one(root, root, '$', '@')}${step()}${one('', step)}${one('', step)}`;
  const value = (root: string): string =>
    one(
      '1',
      '-1',
      '"x"',
      'true',
      'null',
      '2.5e3',
      '0',
      () => path(root),
      () => `(${path(root)})`,
      () => `${path(root)} ${one('+', '-', '*', '/', '%')} ${path(root)}`,
      () => `-${path(root)}`,
    );
  const condition = (root: string): string => {
    depth += 1;
    const made = one(
      () => `${value(root)} ${one('==', '!=', '<>', '<', '<=', '>', '>=')} ${value(root)}`,
      () => `${path(root)} starts with "x"`,
      () => `exists(${path(root)})`,
      () => (depth > 3 ? '1 == 1' : `!(${condition(root)})`),
      () => (depth > 3 ? '1 == 1' : `(${condition(root)}) is unknown`),
      () => (depth > 3 ? '1 == 1' : `${condition(root)} ${one('&&', '||')} ${condition(root)}`),
    );
    depth -= 1;
    return made;
  };
  return `${one('', 'strict ', 'lax ')}${condition('$')}`;
}
