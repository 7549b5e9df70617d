// The order of keys, and the newest of collapse keys, while a worker is killed, Redis is emptied, and PostgreSQL restarts.
import { eventually } from '../../fixtures/eventually.ts';
import type { FaultCase } from '../case.ts';
import { judge } from '../verdict.ts';
import { SETTLE_MS, type World } from '../world.ts';

const EVENTS = 200;
const KEYS = 10;

const faults: Readonly<Record<string, { readonly title: string; readonly strike: (world: World) => Promise<unknown> }>> = {
  kill: {
    title: 'a worker is killed while keys are delivered in order',
    strike: async (world) => {
      await world.w1.kill();
      await world.startProcess('worker');
    },
  },
  flushall: {
    title: 'Redis is emptied while keys are delivered in order',
    strike: (world) => world.redis.client.flushall(),
  },
  postgres: {
    title: 'PostgreSQL restarts while keys are delivered in order',
    strike: (world) => world.postgres.restart('immediate'),
  },
};

const ordered: readonly FaultCase[] = Object.entries(faults).map(([name, { title, strike }]) => ({
  id: `order-${name}`,
  title,
  ci: true,
  async run(world, check) {
    world.sink.behave('/in-order', { statuses: [200], delayMs: 50 });
    await world.createWebhook('/in-order', { ordering: 'key' });
    const events = Array.from({ length: EVENTS }, (_, n) => ({
      event_type: 'order.created',
      data: { n },
      audience: { user_ids: ['someone'] },
      ordering_key: `key-${n % KEYS}`,
    }));
    const { body } = await world.rest('POST', '/api/v1/events/batch', { events });
    if (body['accepted'] !== EVENTS) throw new Error(`not published: ${JSON.stringify(body).slice(0, 300)}`);
    await eventually(() => world.sink.arrivals.length > EVENTS / 4, { what: 'a quarter of the requests' });
    await strike(world);
    await world.settle();
    const numbers = world.sink.arrivals.map(({ body: text }) => (JSON.parse(text) as { data: { n: number } }).data.n);
    const highest = new Map<number, number>();
    let violations = 0;
    for (const n of numbers) {
      if (n < (highest.get(n % KEYS) ?? 0)) violations += 1;
      highest.set(n % KEYS, Math.max(n, highest.get(n % KEYS) ?? 0));
    }
    check('order violations', violations === 0, violations);
    check('lost', new Set(numbers).size === EVENTS, EVENTS - new Set(numbers).size);
    const verdict = await judge(world);
    check('attempt gaps', verdict.gaps === 0, verdict.gaps);
  },
}));

/** Changes of each state, published one after the other. */
const CHANGES = 40;
/** What was under way when its process died keeps its key for a minute. */
const NEWEST_SETTLE_MS = 2 * SETTLE_MS;

const newest: readonly FaultCase[] = Object.entries(faults).map(([name, { title, strike }]) => ({
  id: `order-newest-${name}`,
  title: title.replace('keys are delivered in order', 'states change'),
  ci: true,
  async run(world, check) {
    world.sink.behave('/newest', { statuses: [200], delayMs: 150 });
    await world.createWebhook('/newest');
    const publish = async (change: number): Promise<void> => {
      const events = Array.from({ length: KEYS }, (_, key) => ({
        event_type: 'order.created',
        data: { key, change },
        audience: { user_ids: ['someone'] },
        collapse_key: `key-${key}`,
      }));
      await eventually(async () => (await world.rest('POST', '/api/v1/events/batch', { events })).body['accepted'] === KEYS, {
        what: `change ${change} to be taken`,
      });
    };
    let struck: Promise<unknown> = Promise.resolve();
    for (let change = 1; change <= CHANGES; change += 1) {
      await publish(change);
      if (change === CHANGES / 2) struck = strike(world);
    }
    await struck;
    await world.settle(NEWEST_SETTLE_MS);
    const highest = new Map<number, number>();
    let stale = 0;
    for (const { body } of world.sink.arrivals) {
      const { key, change } = (JSON.parse(body) as { data: { key: number; change: number } }).data;
      if (change < (highest.get(key) ?? 0)) stale += 1;
      highest.set(key, Math.max(change, highest.get(key) ?? 0));
    }
    const last = [...highest.values()].filter((change) => change === CHANGES).length;
    check('stale after new', stale === 0, stale);
    check('keys whose newest state arrived', last === KEYS, last);
    check('requests', world.sink.arrivals.length < CHANGES * KEYS, world.sink.arrivals.length);
  },
}));

export const cases: readonly FaultCase[] = [...ordered, ...newest];
