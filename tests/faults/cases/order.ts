// The order of keys while a worker is killed, Redis is emptied, and PostgreSQL restarts.
import { eventually } from '../../fixtures/eventually.ts';
import type { FaultCase } from '../case.ts';
import { judge } from '../verdict.ts';
import type { World } from '../world.ts';

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

export const cases: readonly FaultCase[] = Object.entries(faults).map(([name, { title, strike }]) => ({
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
