// Releases: what is held becomes due in its order, at its pace, each once, with any leader and however often a leader dies.
import type { Pool } from 'pg';
import { afterAll, afterEach, beforeAll, beforeEach, expect, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { Releases } from '../../src/maintenance/releases.ts';
import { createPool } from '../../src/persistence/pool.ts';
import { insertEvents } from '../../src/persistence/queries/insert-events.ts';
import { recordOutcomes } from '../../src/persistence/queries/record-outcomes.ts';
import { stepRelease } from '../../src/persistence/queries/release-step.ts';
import { batchSettings } from '../../src/persistence/session.ts';
import type { Scheduled } from '../../src/schedule/scheduler.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { pause } from '../../src/lifecycle/pause.ts';
import { eventually } from '../fixtures/eventually.ts';
import { eventRow, outcomeRow } from '../persistence/hot-rows.ts';

const WEBHOOK = 'webhook_00000000000000000000000001';
const PATIENCE = { deadlineMs: 25_000 };
const RELEASING = 2;

let database: TestDatabase;
let pool: Pool;
const leaders: { releases: Releases; pool: Pool }[] = [];
/** The sessions of leaders, the newest last. */
let backends: number[];
let enqueued: Scheduled[];
beforeAll(async () => {
  database = await createTestDatabase();
  ({ pool } = database);
});
afterAll(() => database.drop());
beforeEach(async () => {
  enqueued = [];
  backends = [];
  await pool.query('truncate webhook_endpoints, deliveries, events, attempts, releases, release_notes');
  await pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, hold)
     values ($1, 'alice', 'https://example.com/', '["order.created"]', 's', 'h', $2)`,
    [WEBHOOK, RELEASING],
  );
});
/** What goes on beside a test, until it ends. */
const ongoing: (() => Promise<void>)[] = [];
function keepDoing(work: () => Promise<unknown>, intervalMs: number): void {
  let isOver = false;
  const loop = (async () => {
    while (!isOver) {
      await work();
      await pause(intervalMs);
    }
  })();
  ongoing.push(() => {
    isOver = true;
    return loop;
  });
}
afterEach(async () => {
  for (const end of ongoing.splice(0)) await end();
  for (const leader of leaders.splice(0)) {
    await leader.releases.drain();
    await leader.pool.end();
  }
});

/** One that believes to lead, on connections of its own. */
async function lead(isLeading: () => boolean = () => true): Promise<Releases> {
  const own = createPool(database.config, () => undefined, { max: 2, settings: batchSettings });
  own.on('connect', (client) => void backends.push((client as unknown as { processID: number }).processID));
  const releases = new Releases({
    pool: own,
    scheduler: { enqueue: async (items) => enqueued.push(...items) },
    isLeading,
    onWebhookChanged: () => undefined,
    onHeld: () => undefined,
    onReleased: () => undefined,
    onError: () => undefined,
  });
  leaders.push({ releases, pool: own });
  await releases.start();
  return releases;
}

/** Past its slow start unless said. */
async function addRelease(rate: number, differing: { isSlow?: boolean } = {}): Promise<string> {
  const { rows } = await pool.query<{ no: string }>(
    `insert into releases (id, webhook_id, user_id, kind, rate, begun_at)
     values ('release_1', $1, 'alice', 'resume', $2, case when $3 then null else now() - interval '1 minute' end) returning no`,
    [WEBHOOK, rate, differing.isSlow === true],
  );
  await pool.query(`update webhook_endpoints set release_id = 'release_1'`);
  return rows[0]?.no ?? '';
}

async function addReplay(): Promise<void> {
  await pool.query(
    `insert into releases (id, webhook_id, user_id, kind, rate, filter, stop)
     values ('replay_1', $1, 'alice', 'replay', 10, '{"statuses": ["failed"]}', 'delivery_~')`,
    [WEBHOOK],
  );
}

/** Oldest first. */
async function hold(count: number): Promise<string[]> {
  const now = Date.now() - count;
  const ids = Array.from({ length: count }, (_, index) => newId('delivery', now + index));
  await pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, held_at)
     select id, 'event_1', $2, 'alice', 'order.created', now() from unnest($1::text[]) id`,
    [ids, WEBHOOK],
  );
  return ids;
}

/** Takes all that is due as a receiver does that answers at once, so that no release gets ahead of it. */
async function deliverDue(): Promise<number> {
  const { rows } = await pool.query<{ id: string; attemptCount: number }>(
    'select id, attempt_count as "attemptCount" from deliveries where next_attempt_at is not null limit 500',
  );
  await recordOutcomes(
    pool,
    rows.map(({ id, attemptCount }) => outcomeRow(id, { webhookId: WEBHOOK, attemptCount })),
  );
  return rows.length;
}

interface State {
  state: string;
  reason: string | null;
  released: number;
  delivered: number;
  hold: number;
  held: number;
}

async function state(): Promise<State> {
  const { rows } = await pool.query<State>(
    `select r.state, r.reason, r.released::integer, r.delivered::integer, w.hold,
       (select count(*)::integer from deliveries where held_at is not null) as held
     from releases r cross join webhook_endpoints w`,
  );
  return rows[0] as State;
}

test('a step makes the oldest due, in the order of their ids, no more than its pace allows', async () => {
  const ids = await hold(20);
  const no = await addRelease(1000);
  await pool.query('update releases set tokens = 5, filled_at = now()');
  const { due } = await stepRelease(pool, { releaseNo: no, max: 5 });
  expect(due.map(({ deliveryId }) => deliveryId).toSorted()).toEqual(ids.slice(0, 5));
  const { rows } = await pool.query(
    'select id from deliveries where next_attempt_at <= now() and held_at is null and release_no = $1',
    [no],
  );
  expect(rows).toHaveLength(5);
  expect(await state()).toMatchObject({ released: 5, held: 15 });
});

test('a release starts at a tenth of its pace', async () => {
  await hold(500);
  const no = await addRelease(100, { isSlow: true });
  await pool.query(`update releases set tokens = 0, begun_at = now(), filled_at = now() - interval '1 second'`);
  const { due } = await stepRelease(pool, { releaseNo: no });
  expect(due.length).toBeGreaterThanOrEqual(9);
  expect(due.length).toBeLessThan(40);
});

test('a leader that was away makes no burst: it makes due what one second allows', async () => {
  await hold(500);
  const no = await addRelease(100);
  await pool.query(`update releases set filled_at = now() - interval '1 hour'`);
  expect((await stepRelease(pool, { releaseNo: no })).due).toHaveLength(100);
});

test('a release is never faster than its webhook’s own rate limit', async () => {
  await pool.query('update webhook_endpoints set rate_limit = 7');
  await hold(100);
  const no = await addRelease(1000);
  await pool.query(`update releases set filled_at = now() - interval '1 hour'`);
  expect((await stepRelease(pool, { releaseNo: no })).due).toHaveLength(7);
});

test('two leaders share one pace, to a tenth', async () => {
  await hold(4000);
  await addRelease(200);
  await Promise.all([lead(), lead()]);
  const at = async () => {
    const { rows } = await pool.query<{ released: number; at: number }>(
      'select released::integer, (extract(epoch from filled_at))::float8 as at from releases',
    );
    return rows[0] ?? { released: 0, at: 0 };
  };
  keepDoing(deliverDue, 100);
  const first = await eventually(async () => {
    const now = await at();
    return now.released >= 200 && now;
  }, PATIENCE);
  const last = await eventually(async () => {
    const now = await at();
    return now.at > first.at + 10 && now;
  }, PATIENCE);
  const pace = (last.released - first.released) / (last.at - first.at);
  expect(pace).toBeGreaterThan(180);
  expect(pace).toBeLessThan(220);
});

test('two leaders whose backends are killed again and again make each delivery due once, and leave none', async () => {
  const ids = await hold(2000);
  const no = await addRelease(1000);
  await Promise.all([lead(), lead()]);
  let kills = 0;
  keepDoing(deliverDue, 50);
  keepDoing(async () => {
    const { rowCount } = await pool.query('select from (select pg_terminate_backend($1) as ended) t where ended', [
      backends.pop() ?? 0,
    ]);
    kills += rowCount ?? 0;
  }, 300);
  await eventually(async () => (await state()).delivered === ids.length, { what: 'every delivery', ...PATIENCE });
  await eventually(async () => (await state()).state === 'completed', { what: 'the end', ...PATIENCE });
  expect(kills).toBeGreaterThan(3);
  expect(await state()).toEqual({ state: 'completed', reason: null, released: 2000, delivered: 2000, hold: 0, held: 0 });
  const { rows } = await pool.query(
    'select count(*)::integer as n from deliveries where release_no = $1 and attempt_count = 1',
    [no],
  );
  expect(rows).toEqual([{ n: 2000 }]);
  const told = enqueued.map(({ deliveryId }) => deliveryId);
  expect(new Set(told).size).toBe(told.length);
});

test('a replay by two leaders whose backends are killed again and again sends each failed and each missing one once', async () => {
  const made = Date.now() - 60_000;
  const failed = Array.from({ length: 1000 }, (_, index) => newId('delivery', made + index));
  await pool.query('update webhook_endpoints set hold = 0');
  await pool.query(
    `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, attempt_count, attempted_at, failed_at)
     select id, 'event_1', $2, 'alice', 'order.created', 'failed', 1, now(), now() from unnest($1::text[]) id`,
    [failed, WEBHOOK],
  );
  const missing = Array.from({ length: 500 }, (_, index) => newId('event', made + index));
  await pool.query(
    `insert into events (id, event_type, data, occurred_at, publisher, user_ids, broadcast)
     select id, 'order.created', '{}', now(), 'test', '{alice}', false from unnest($1::text[]) id`,
    [missing],
  );
  const lists = '"statuses": ["failed"], "event_types": [], "error_codes": [], "http_statuses": []';
  await pool.query(
    `insert into releases (id, webhook_id, user_id, kind, rate, begun_at, filter, cursor, stop)
     values ('replay_1', $1, 'alice', 'replay', 1000, now() - interval '1 minute',
       '{${lists}, "include_missing": true, "cursor": "delivery_"}', 'delivery_', 'delivery_z')`,
    [WEBHOOK],
  );
  await Promise.all([lead(), lead()]);
  let kills = 0;
  keepDoing(deliverDue, 50);
  keepDoing(async () => {
    const { rowCount } = await pool.query('select from (select pg_terminate_backend($1) as ended) t where ended', [
      backends.pop() ?? 0,
    ]);
    kills += rowCount ?? 0;
  }, 300);
  await eventually(async () => (await state()).delivered === 1500, { what: 'every delivery', ...PATIENCE });
  await eventually(async () => (await state()).state === 'completed', { what: 'the end', ...PATIENCE });
  expect(kills).toBeGreaterThan(1);
  expect(await state()).toMatchObject({ reason: null, released: 1500, delivered: 1500 });
  const { rows } = await pool.query(
    'select attempt_count as attempts, count(*)::integer as n from deliveries group by 1 order by 1',
  );
  expect(rows).toEqual([
    { attempts: 1, n: 500 },
    { attempts: 2, n: 1000 },
  ]);
  const told = enqueued.map(({ deliveryId }) => deliveryId);
  expect(new Set(told).size).toBe(told.length);
});

test('a publish that read the hold before it ended, and is committed after it, is sent as well, and none overtakes it', async () => {
  await addRelease(1000);
  // The walk has passed it, as it does when the id was made before the event of another call.
  await pool.query(`update releases set cursor = 'delivery_z'`);
  const late = await pool.connect();
  try {
    await late.query('begin');
    const { deliveries: owed } = await insertEvents(late as unknown as Pool, [eventRow({ userIds: ['alice'] })], null);
    const [lateOne] = [...owed.values()].flat();
    expect(lateOne?.isHeld).toBe(true);
    await lead();
    await eventually(async () => (await state()).hold === 3, { what: 'the tail', ...PATIENCE });
    const { deliveries: next } = await insertEvents(pool, [eventRow({ userIds: ['alice'] })], null);
    const [nextOne] = [...next.values()].flat();
    const { rows } = await pool.query('select next_attempt_at > now() as "isLater" from deliveries where id = $1', [
      nextOne?.deliveryId,
    ]);
    expect(rows).toEqual([{ isLater: true }]);
    await late.query('commit');
    await eventually(async () => (await state()).state === 'completed', { what: 'the end', ...PATIENCE });
    expect(enqueued.map(({ deliveryId }) => deliveryId)).toEqual([lateOne?.deliveryId]);
    expect(await state()).toMatchObject({ hold: 0, held: 0, released: 1 });
  } finally {
    late.release();
  }
});

test('a release waits while its receiver fails, says so, tries it with one delivery, and goes on once it is back', async () => {
  await hold(50);
  await pool.query('update webhook_endpoints set consecutive_failures = 5');
  await addRelease(1000);
  await lead();
  await eventually(async () => (await state()).released === 1, { what: 'the probe', ...PATIENCE });
  expect(await state()).toMatchObject({ state: 'waiting', reason: 'receiver_failing', held: 49 });
  await deliverDue();
  expect(await state()).toMatchObject({ held: 49 });
  await eventually(async () => (await deliverDue(), (await state()).state === 'completed'), { what: 'the end', ...PATIENCE });
  expect((await state()).held).toBe(0);
});

test('a release does not run ahead of a receiver that takes nothing', async () => {
  await hold(1000);
  await addRelease(10);
  await pool.query(`update releases set rate = 10, tokens = 10`);
  keepDoing(() => pool.query(`update releases set filled_at = now() - interval '1 second'`), 20);
  await lead();
  let last = -1;
  let changedAt = 0;
  const rests = async (): Promise<boolean> => {
    const { released } = await state();
    if (released !== last) changedAt = performance.now();
    last = released;
    return performance.now() > changedAt + 2000;
  };
  await eventually(rests, { what: 'a release that rests', ...PATIENCE });
  expect(last).toBeGreaterThanOrEqual(100);
  expect((await state()).held).toBeGreaterThan(0);
});

test('of a webhook that was disabled the release ends, and says why', async () => {
  await hold(10);
  await addRelease(1);
  await pool.query('update webhook_endpoints set is_active = false');
  await lead();
  await eventually(async () => (await state()).state === 'cancelled', { what: 'the end', ...PATIENCE });
  expect(await state()).toMatchObject({ reason: 'webhook_disabled', hold: 0 });
});

test('a replay that waits for a paused webhook is looked at, and not written again and again', async () => {
  await pool.query('update webhook_endpoints set hold = 1');
  await addReplay();
  await lead();
  await eventually(async () => (await state()).reason === 'webhook_paused', { what: 'the reason', ...PATIENCE });
  const own = leaders[0]?.pool as Pool;
  const sent: string[] = [];
  const query = own.query.bind(own) as (statement: { name: string }) => unknown;
  own.query = ((statement: { name: string }) => (sent.push(statement.name), query(statement))) as Pool['query'];
  const looks = (): number => sent.filter((name) => name === 'list-open-releases').length;
  await eventually(() => looks() >= 5, { what: 'five looks', ...PATIENCE });
  expect(sent).not.toContain('set-release-waiting');
});

test('a process that no longer leads knows of no release', async () => {
  await pool.query('update webhook_endpoints set hold = 1');
  await addReplay();
  let isLeading = true;
  const releases = await lead(() => isLeading);
  await eventually(() => releases.waiting === 1, { what: 'a replay that waits', ...PATIENCE });
  expect(releases.running).toBe(1);
  isLeading = false;
  expect(releases.running).toBeNaN();
  expect(releases.waiting).toBeNaN();
});

test('the walk of a step goes along the index of what is held', async () => {
  await hold(5000);
  // Without it the planner goes by what an earlier test left in the table.
  await pool.query('analyze deliveries');
  await lead();
  const own = leaders[0]?.pool ?? pool;
  const { rows } = await own.query<{ 'QUERY PLAN': string }>(
    `explain select d.id from deliveries d where d.webhook_id = '${WEBHOOK}' and d.held_at is not null and d.status = 'pending' and d.id > ''
     order by d.id limit 500`,
  );
  const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
  expect(plan).not.toMatch(/Seq Scan|-> +Sort/);
});
