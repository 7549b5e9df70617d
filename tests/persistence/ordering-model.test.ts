// The order of a key under random schedules: the real statements beside a model of some lines. A longer run: ORDERING_SECONDS=600; one again: ORDERING_SEED.
import type { EntityManager } from '@mikro-orm/postgresql';
import type { Pool } from 'pg';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { cancelDeliveries } from '../../src/persistence/queries/cancel-deliveries.ts';
import { cancelByCaller } from '../../src/persistence/queries/cancel-delivery.ts';
import { expireDelivery } from '../../src/persistence/queries/expire-deliveries.ts';
import { gatherScheduled, holdDeliveries } from '../../src/persistence/queries/hold-deliveries.ts';
import { insertEvents, type EventRow } from '../../src/persistence/queries/insert-events.ts';
import { loadDeliveries, type LoadedDelivery } from '../../src/persistence/queries/load-deliveries.ts';
import { recordOutcomes, type OutcomeRow } from '../../src/persistence/queries/record-outcomes.ts';
import { stepRelease } from '../../src/persistence/queries/release-step.ts';
import { rescueDeliveries } from '../../src/persistence/queries/rescue-deliveries.ts';
import { clearFlights } from '../../src/persistence/queries/ordering-heads.ts';
import { retryDelivery } from '../../src/persistence/queries/retry-delivery.ts';
import { createPool } from '../../src/persistence/pool.ts';
import { batchSettings } from '../../src/persistence/session.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventRow, outcomeRow } from './hot-rows.ts';

const SECONDS = Number(process.env['ORDERING_SECONDS'] ?? 20);
/** Schedules that take their steps side by side, so that each statement has the rows of many. */
const SIDE_BY_SIDE = 250;
const STEPS = 12;
const HOLDER = 17;

let database: TestDatabase;
let pool: Pool;
beforeAll(async () => {
  database = await createTestDatabase();
  pool = createPool(database.config, () => undefined, { max: 6, settings: batchSettings });
  // Begins go by claims from Redis, whose leases do not stand in the rows.
  await pool.query(
    `insert into processes (id, seen_at, claims, is_served, claimed_at) values ('p', now() + interval '1 day', true, true, now())`,
  );
});
afterAll(async () => {
  await pool.end();
  await database.drop();
});

/** xorshift: a seed gives the same schedule on every machine. */
function random(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

function must(isSo: boolean, otherwise: string, schedule?: Schedule): void {
  if (!isSo) throw new Error(schedule === undefined ? otherwise : `${otherwise}; ${contextOf(schedule)}`);
}

type State = 'waits' | 'go' | 'ended';

interface Modelled {
  readonly id: string;
  readonly seq: number;
  state: State;
  flight: LoadedDelivery | null;
  /** Sent again by hand, or beside the others after its gap was skipped: no one waits for it. */
  isExtra: boolean;
  readonly collapseKey: string | null;
}

/** The model: what a key is to do, whatever the statements look like. */
class Chain {
  readonly all: Modelled[] = [];
  turn: Modelled | null = null;
  highestBegun = 0;

  publish(
    id: string,
    { isOrdered, hasEnded, collapseKey }: { isOrdered: boolean; hasEnded: boolean; collapseKey: string | null },
  ): void {
    const seq = this.all.length + 1;
    const delivery: Modelled = { id, seq, state: 'go', flight: null, isExtra: !isOrdered, collapseKey };
    if (hasEnded) delivery.state = 'ended';
    else if (isOrdered && this.turn !== null) delivery.state = 'waits';
    else if (isOrdered) this.turn = delivery;
    this.all.push(delivery);
  }

  /** Behind a commit: what is older than the newest of a collapse key ends. */
  supersede(): void {
    for (const delivery of this.all) if (delivery.state !== 'ended' && !this.isNewest(delivery)) this.end(delivery);
  }

  isNewest({ collapseKey, seq }: Modelled): boolean {
    return collapseKey === null || !this.all.some((other) => other.collapseKey === collapseKey && other.seq > seq);
  }

  begin(delivery: Modelled, loaded: LoadedDelivery): void {
    must(delivery.state === 'go', `number ${delivery.seq} began, which was not let go`);
    const older = this.all.find(
      ({ flight, collapseKey, seq }) =>
        flight !== null && collapseKey !== null && collapseKey === delivery.collapseKey && seq < delivery.seq,
    );
    must(older === undefined, `number ${delivery.seq} began while the older number ${older?.seq} was under way`);
    if (!delivery.isExtra) {
      const other = this.all.find(({ flight, isExtra }) => flight !== null && !isExtra);
      must(other === undefined, `number ${delivery.seq} began while number ${other?.seq} was under way`);
      must(delivery.seq >= this.highestBegun, `number ${delivery.seq} began after number ${this.highestBegun}`);
      this.highestBegun = delivery.seq;
    }
    delivery.flight = loaded;
  }

  outcome(delivery: Modelled, { ended, skips }: { ended: boolean; skips: boolean }): void {
    if (delivery.state === 'go' && ended) this.end(delivery);
    else if (delivery.state === 'go' && skips && delivery.collapseKey === null) this.pass(delivery);
  }

  /** By an outcome, a caller or its deadline. What is under way then is not broken off. */
  end(delivery: Modelled): void {
    delivery.state = 'ended';
    this.pass(delivery);
  }

  pass(delivery: Modelled): void {
    if (this.turn !== delivery) return;
    delivery.isExtra = true;
    this.turn = this.all.find(({ state, seq }) => state === 'waits' && seq > delivery.seq) ?? null;
    if (this.turn !== null) this.turn.state = 'go';
  }

  retryByHand(delivery: Modelled): void {
    if (delivery.state !== 'ended') return;
    delivery.state = 'go';
    delivery.isExtra = true;
  }
}

interface Schedule {
  readonly seed: number;
  readonly webhookId: string;
  readonly pick: (below: number) => number;
  readonly chains: Map<string, Chain>;
  readonly skips: boolean;
  isOrdered: boolean;
  isPaused: boolean;
  readonly steps: string[];
}

let webhooks = 0;
async function schedules(firstSeed: number): Promise<Schedule[]> {
  const made = Array.from({ length: SIDE_BY_SIDE }, (_, index): Schedule => {
    const pick = random((firstSeed + index) * 2654435761);
    for (let warm = 0; warm < 8; warm += 1) pick(2);
    const webhookId = `webhook_${String((webhooks += 1)).padStart(26, '0')}`;
    return {
      seed: firstSeed + index,
      webhookId,
      pick,
      chains: new Map(),
      skips: pick(4) === 0,
      isOrdered: pick(8) > 0,
      isPaused: false,
      steps: [],
    };
  });
  await database.pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, ordering, ordering_gap)
     select id, id, 'https://example.com/', '["order.created"]', 's', 'h', case when ordered then 'key' else 'none' end, case when skips then 'skip' else 'wait' end
     from unnest($1::text[], $2::boolean[], $3::boolean[]) as w(id, ordered, skips)`,
    [made.map(({ webhookId }) => webhookId), made.map(({ isOrdered }) => isOrdered), made.map(({ skips }) => skips)],
  );
  return made;
}

const contextOf = ({ seed, steps }: Schedule): string => `seed ${seed}: ${steps.join(', ')}`;
const everything = ({ chains }: Schedule): [Chain, Modelled][] =>
  [...chains.values()].flatMap((chain) => chain.all.map((delivery): [Chain, Modelled] => [chain, delivery]));
const oneOf = <Item>({ pick }: Schedule, items: readonly Item[]): Item | undefined => items[pick(Math.max(1, items.length))];

/** What each schedule does in this step is put together: one statement of each kind for all of them, side by side. */
class Round {
  readonly #events: { schedule: Schedule; event: EventRow; leases: boolean }[] = [];
  readonly #begins: { chain: Chain; delivery: Modelled; schedule: Schedule }[] = [];
  readonly #outcomes: { chain: Chain; delivery: Modelled; row: OutcomeRow; skips: boolean }[] = [];
  readonly #others: (() => Promise<void>)[] = [];
  /** Outcomes of attempts that have one already. */
  readonly #repeated: OutcomeRow[] = [];
  #isRescuing = false;

  add(schedule: Schedule): void {
    const action = schedule.pick(100);
    if (action < 35) this.#publish(schedule);
    else if (action < 60) this.#begin(schedule);
    else if (action < 85) this.#end(schedule);
    else this.#change(schedule, action);
  }

  #publish(schedule: Schedule): void {
    schedule.steps.push('publish');
    for (let count = 1 + schedule.pick(3); count > 0; count -= 1) {
      const orderingKey = ['a', 'a', 'b', null][schedule.pick(4)] ?? null;
      const collapseKey = orderingKey === null || schedule.pick(3) === 0 ? 'newest' : null;
      const deadlines = [null, null, null, 0, Date.now() + 3_600_000];
      const deliverBeforeMs = deadlines[schedule.pick(deadlines.length)] ?? null;
      const event = eventRow({ userIds: [schedule.webhookId], orderingKey, collapseKey, deliverBeforeMs });
      this.#events.push({ schedule, event, leases: schedule.pick(2) === 0 });
    }
  }

  // Also of one that waits, or has ended: a schedule is only an index, and may have anything.
  #begin(schedule: Schedule): void {
    const found = oneOf(
      schedule,
      everything(schedule).filter(([, { flight }]) => flight === null),
    );
    if (found === undefined) return;
    schedule.steps.push(`begin ${found[1].seq}`);
    this.#begins.push({ chain: found[0], delivery: found[1], schedule });
  }

  #end(schedule: Schedule): void {
    const found = oneOf(
      schedule,
      everything(schedule).filter(([, { flight }]) => flight !== null),
    );
    if (found === undefined) return this.#begin(schedule);
    const [chain, delivery] = found;
    const kind =
      (['delivered', 'delivered', 'retry', 'shutdown', 'failed', 'crash', 'twice'] as const)[schedule.pick(7)] ?? 'delivered';
    schedule.steps.push(`${kind} ${delivery.seq}`);
    const { flight } = delivery;
    delivery.flight = null;
    if (kind === 'crash' || flight === null) return;
    const failure = {
      httpStatus: 500,
      errorCode: 'http_status',
      delayMs: schedule.pick(3) === 0 ? 60_000 : 0,
      status: 'retrying',
    } as const;
    const own =
      kind === 'retry'
        ? failure
        : kind === 'shutdown'
          ? { ...failure, errorCode: 'shutdown' as const, delayMs: 0 }
          : kind === 'failed'
            ? { ...failure, status: 'failed' as const, delayMs: null }
            : {};
    const row = outcomeRow(delivery.id, {
      webhookId: schedule.webhookId,
      orderingKey: flight.chain,
      attemptCount: flight.attemptCount,
      trigger: flight.trigger,
      ...own,
    });
    // Also where no retry was left, and a caller has asked for one by hand meanwhile.
    const skips = schedule.skips && (kind === 'retry' || kind === 'failed');
    this.#outcomes.push({ chain, delivery, row, skips });
    if (kind === 'twice') this.#repeated.push(row);
  }

  #change(schedule: Schedule, action: number): void {
    const { webhookId } = schedule;
    const set = (columns: string): Promise<unknown> =>
      database.pool.query(`update webhook_endpoints set ${columns} where id = $1`, [webhookId]);
    if (action < 87) {
      const found = oneOf(
        schedule,
        everything(schedule).filter(([, { state }]) => state !== 'ended'),
      );
      if (found === undefined) return;
      const [chain, delivery] = found;
      const expires = schedule.pick(2) === 0;
      schedule.steps.push(`${expires ? 'expire' : 'cancel'} ${delivery.seq}`);
      this.#others.push(async () => {
        const { id } = delivery;
        if (expires) await database.pool.query('update deliveries set deliver_before = now() where id = $1', [id]);
        const row = expires ? await expireDelivery(pool, id) : await cancelByCaller(transaction, id);
        must(row !== undefined, `number ${delivery.seq} did not end`, schedule);
        chain.end(delivery);
      });
    } else if (action < 89) {
      const found = oneOf(schedule, everything(schedule));
      if (found === undefined) return;
      schedule.steps.push(`retry by hand ${found[1].seq}`);
      const asked = found[1].state;
      this.#others.push(async () => {
        const row = await retryDelivery(transaction, found[1].id);
        must(
          row === undefined || found[0].isNewest(found[1]),
          `number ${found[1].seq} was tried again, which is not the newest`,
        );
        // Undefined: it has expired, or is not the newest.
        if (asked === 'ended' && row !== undefined) found[0].retryByHand(found[1]);
      });
    } else if (action < 92) {
      schedule.steps.push('close and open');
      this.#others.push(async () => {
        await set('is_active = false');
        await cancelDeliveries(pool, webhookId, 1000, false);
        await set('is_active = true');
        for (const [chain, delivery] of everything(schedule))
          if (delivery.state !== 'ended') chain.all[delivery.seq - 1]!.state = 'ended';
        for (const chain of schedule.chains.values()) chain.turn = null;
      });
    } else if (action < 95) {
      schedule.steps.push(schedule.isPaused ? 'resume' : 'pause');
      schedule.isPaused = !schedule.isPaused;
      if (schedule.isPaused)
        this.#others.push(async () => {
          await set('hold = 1, is_gathering = true');
          await gatherScheduled(pool, webhookId, 1000);
          await set('is_gathering = false');
        });
      else this.#others.push(() => resume(webhookId, set));
    } else if (action < 98) {
      schedule.steps.push('ordering on or off');
      schedule.isOrdered = !schedule.isOrdered;
      this.#others.push(() => set(`ordering = '${schedule.isOrdered ? 'key' : 'none'}'`).then(() => undefined));
    } else {
      schedule.steps.push('all leases over');
      this.#isRescuing = true;
    }
  }

  /** Each kind beside the others: they lock the same tables, not the same keys. */
  async run(): Promise<void> {
    await Promise.all([this.#runPublish(), this.#runBegins(), this.#runOutcomes(), ...this.#others.map((run) => run())]);
    if (this.#repeated.length > 0) await recordOutcomes(pool, this.#repeated);
    // By itself: it locks rows of every schedule, and a cancellation passes over what is locked.
    if (this.#isRescuing) await rescueDeliveries(pool, HOLDER);
  }

  async #runPublish(): Promise<void> {
    if (this.#events.length === 0) return;
    const lease = {
      leaseMs: 60_000,
      holder: HOLDER,
      events: this.#events.map(({ leases }) => leases),
      fullWebhookIds: [],
      fullUserIds: [],
    };
    const { deliveries } = await insertEvents(
      pool,
      this.#events.map(({ event }) => event),
      lease,
    );
    const touched = new Set<Chain>();
    for (const [index, { schedule, event }] of this.#events.entries()) {
      const key = event.chain ?? '';
      const chain = schedule.chains.get(key) ?? new Chain();
      schedule.chains.set(key, chain);
      const [delivery] = deliveries.get(event.id) ?? [];
      must(
        delivery?.ordering?.sequence === chain.all.length + 1,
        `a hole before number ${delivery?.ordering?.sequence}`,
        schedule,
      );
      const isTooLate = event.deliverBeforeMs === 0;
      must(
        (delivery?.endedAs === 'expired') === isTooLate,
        `number ${delivery?.ordering?.sequence} has expired: ${delivery?.endedAs}`,
        schedule,
      );
      const { collapseKey } = event;
      const hasNewer = this.#events.some(
        (other, at) =>
          at > index &&
          collapseKey !== null &&
          other.schedule === schedule &&
          other.event.chain === key &&
          other.event.collapseKey === collapseKey,
      );
      must(
        (delivery?.endedAs === 'superseded') === (hasNewer && !isTooLate),
        `number ${delivery?.ordering?.sequence} ended as ${delivery?.endedAs}`,
        schedule,
      );
      const isOrdered = (schedule.isOrdered && event.orderingKey !== null) || collapseKey !== null;
      chain.publish(delivery?.deliveryId ?? '', { isOrdered, hasEnded: isTooLate || hasNewer, collapseKey });
      touched.add(chain);
      const waits = delivery?.ordering?.waits ?? false;
      must(waits === (chain.all.at(-1)?.state === 'waits'), `number ${chain.all.length} waits: ${waits}`, schedule);
    }
    for (const chain of touched) chain.supersede();
  }

  async #runBegins(): Promise<void> {
    if (this.#begins.length === 0) return;
    const ids = this.#begins.map(({ delivery }) => delivery.id);
    const { rows } = await database.pool.query<{ id: string; token: number }>(
      'select id, (extract(epoch from leased_until) * 1000)::float8 as token from deliveries where id = any ($1)',
      [ids],
    );
    const tokens = new Map(rows.map(({ id, token }) => [id, token]));
    const loaded = await loadDeliveries(
      pool,
      ids.map((deliveryId) => ({ deliveryId, token: tokens.get(deliveryId) ?? 0 })),
    );
    const byId = new Map(loaded.map((row) => [row.id, row]));
    // As the dispatcher does with what it has claimed, and finds ended.
    await clearFlights(
      pool,
      loaded.flatMap(({ id, webhookId, waitMs, chain }) =>
        waitMs === null && chain !== null
          ? [{ deliveryId: id, webhookId, orderingKey: chain, token: tokens.get(id) ?? 1 }]
          : [],
      ),
    );
    for (const { chain, delivery, schedule } of this.#begins) {
      const row = byId.get(delivery.id);
      must(delivery.state === 'go' || row?.waitMs === null, `number ${delivery.seq} could be loaded`, schedule);
      if (row === undefined || row.waitMs !== 0) continue;
      // As the dispatcher does with what it has of a paused webhook.
      if (schedule.isPaused) await holdDeliveries(pool, [delivery.id]);
      else
        try {
          chain.begin(delivery, row);
        } catch (error) {
          throw new Error(contextOf(schedule), { cause: error });
        }
    }
  }

  async #runOutcomes(): Promise<void> {
    if (this.#outcomes.length === 0) return;
    const { states } = await recordOutcomes(
      pool,
      this.#outcomes.map(({ row }) => row),
    );
    for (const [index, { chain, delivery, row, skips }] of this.#outcomes.entries()) {
      const state = states[index];
      const ended = state !== undefined && ['delivered', 'failed', 'cancelled'].includes(state.status);
      if (state !== undefined) chain.outcome(delivery, { ended, skips: skips && state.status === 'retrying' });
      must(row.status !== 'delivered' || state === undefined || state.status === 'delivered', 'a success was not written');
    }
  }
}

async function resume(webhookId: string, set: (columns: string) => Promise<unknown>): Promise<void> {
  const { rows } = await database.pool.query<{ no: string }>(
    `insert into releases (id, webhook_id, user_id, kind, rate, tokens) values ('release_' || $1, $1, $1, 'resume', 1000, 1000)
     on conflict (id) do update set state = 'running', ended_at = null, cursor = '', tokens = 1000 returning no::text`,
    [webhookId],
  );
  await set('hold = 2');
  await stepRelease(pool, { releaseNo: rows[0]?.no ?? '', isLastPass: true });
  await set('hold = 0');
}

/** The statement of a caller, with parameters as the pool takes them. */
const transaction = {
  execute: async (text: string, values: unknown[]) => {
    let number = 0;
    return (
      await database.pool.query(
        text.replaceAll('?', () => `$${(number += 1)}`),
        values,
      )
    ).rows;
  },
} as unknown as EntityManager;

interface Stored {
  webhookId: string;
  key: string;
  id: string;
  sequence: number;
  state: State;
  isReachable: boolean;
  turnId: string | null;
}

async function compare(all: readonly Schedule[]): Promise<void> {
  const { rows } = await database.pool.query<Stored>(
    `select d.webhook_id as "webhookId", d.ordering_key as key, d.id, d.sequence::integer,
       case when d.status not in ('pending', 'retrying') then 'ended' when d.waits then 'waits' else 'go' end as state,
       d.next_attempt_at is not null or d.leased_until is not null or d.held_at is not null as "isReachable", h.turn_id as "turnId"
     from deliveries d join ordering_heads h on h.webhook_id = d.webhook_id and h.ordering_key = d.ordering_key
     where d.webhook_id = any ($1) order by d.webhook_id, d.ordering_key, d.sequence`,
    [all.map(({ webhookId }) => webhookId)],
  );
  const stored = Map.groupBy(rows, ({ webhookId }) => webhookId);
  for (const schedule of all) {
    const found = Map.groupBy(stored.get(schedule.webhookId) ?? [], ({ key }) => key);
    for (const [key, chain] of schedule.chains) {
      const is = (found.get(key) ?? []).map(({ id, sequence, state }) => ({ id, sequence, state }));
      const modelled = chain.all.map(({ id, seq, state }) => ({ id, sequence: seq, state }));
      const [isText, modelledText] = [JSON.stringify(is), JSON.stringify(modelled)];
      must(isText === modelledText, `key ${key} is ${isText}, the model ${modelledText}`, schedule);
      must((found.get(key)?.[0]?.turnId ?? null) === (chain.turn?.id ?? null), `key ${key}: another has the turn`, schedule);
      for (const { sequence, state, isReachable } of found.get(key) ?? [])
        must(isReachable === (state === 'go'), `key ${key}: number ${sequence} in the schedule: ${isReachable}`, schedule);
    }
  }
}

test(
  'random schedules of commits, outcomes, crashes, pauses, retries, cancellations, deadlines and collapse keys keep to the model of an order',
  { timeout: SECONDS * 1000 + 120_000 },
  async () => {
    const seed = Number(process.env['ORDERING_SEED'] ?? Date.now() % 1_000_000);
    console.log(`ordering: seeds from ${seed} on`);
    let count = 0;
    for (const endsAt = performance.now() + SECONDS * 1000; performance.now() < endsAt; count += SIDE_BY_SIDE) {
      const all = await schedules(seed + count);
      for (let step = 0; step < STEPS; step += 1) {
        const round = new Round();
        for (const schedule of all) round.add(schedule);
        await round.run();
      }
      await compare(all);
      await database.pool.query(
        'truncate webhook_endpoints, deliveries, events, attempts, ordering_heads, collapse_heads, releases, release_notes, late_changes',
      );
    }
    console.log(`ordering: ${count} schedules of ${STEPS} steps`);
    expect(count).toBeGreaterThan(0);
  },
);
