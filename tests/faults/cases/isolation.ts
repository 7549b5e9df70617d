// isolation: what one tenant, or six, whose receivers are bad in any way do to a healthy one beside them.
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as wait } from 'node:timers/promises';
import { badKinds, badTitles, startBadReceiver, type BadKind } from '../bad-receivers.ts';
import type { Check, FaultCase } from '../case.ts';
import { latencies, quantile } from '../figures.ts';
import type { PublishRecord, World } from '../world.ts';

/** Seconds that a bad receiver holds a request. */
const HELD = 5;
/** A slow one answers so long after the request came, in milliseconds. */
const SLOW_MS = HELD * 900;
const LEASE = 20;
const BAD_USERS = 6;
const WEBHOOKS_OF_USER = 100;
const EVENTS_OF_USER = 10;
/** The healthy tenant publishes so much in each round, so many a second. */
const ROUND = 60;
const PER_SECOND = 30;
/** The machine has bad seconds of its own: the quietest round counts, alone and beside. */
const ROUNDS = 3;
/** What may be added to twice the latency that the healthy tenant has alone, in milliseconds. */
const EXTRA_MS = 20;
const ARRIVAL_DEADLINE_MS = 20_000;
const CALLS_AT_ONCE = 20;

const env = { WEBHOOK_TIMEOUT: String(HELD), WEBHOOK_LEASE: String(LEASE), RATE_LIMIT_PER_MINUTE: '100000000' };

export const cases: readonly FaultCase[] = [
  ...badKinds.map((kind): FaultCase => ({
    id: `isolation-${kind}`,
    title: `one user, then six, with a hundred webhooks each, whose receivers ${badTitles[kind]}`,
    // The two worst.
    ci: kind === 'slow' || kind === 'hang',
    isAlone: true,
    env,
    startsProcesses: false,
    async run(world, check) {
      await play(world, check, kind);
    },
  })),
  {
    id: 'isolation-descriptors',
    title: 'the same receivers that never answer, while the process may have 512 files open',
    ci: false,
    isAlone: true,
    env: { ...env, WITH_DESCRIPTORS: '512' },
    startsProcesses: false,
    async run(world, check) {
      await play(world, check, 'hang');
    },
  },
  {
    id: 'isolation-idle-callers',
    title: 'the same receivers that answer just before the timeout, beside 2,000 idle connections to SERVER_PORT',
    ci: false,
    isAlone: true,
    env,
    startsProcesses: false,
    async run(world, check) {
      await play(world, check, 'slow', 2000);
    },
  },
];

async function play(world: World, check: Check, kind: BadKind, idleCallers = 0): Promise<void> {
  world.api = await world.startProcess('all');
  const idle = await openIdle(new URL(world.api.http), idleCallers);
  const bad = await startBadReceiver(kind, SLOW_MS);
  try {
    const healthyId = await world.createWebhook('/healthy', { user_id: 'healthy', retry_policy: { max_retries: 0 } });
    const alone = await rounds(world);
    for (const users of [1, BAD_USERS]) {
      await addBadUsers(world, bad.url, users);
      const beside = await rounds(world);
      const limit = 2 * alone.p95 + EXTRA_MS;
      check(
        `beside ${users === 1 ? 'one user' : `${users} users`}: everything arrives, p95 at most ${limit} ms`,
        beside.arrived === ROUNDS * ROUND && beside.p95 <= limit,
        `${beside.arrived} of ${ROUNDS * ROUND}, p95 ${beside.p95} ms beside ${alone.p95} ms, longest ${beside.longest} ms`,
      );
    }
    const [failures] = await world.postgres.query<{ undelivered: number; attempts: number; against: number }>(
      `select count(*) filter (where d.status <> 'delivered')::integer as undelivered,
         (count(*) filter (where d.attempt_count <> 1))::integer as attempts, max(w.consecutive_failures)::integer as against
       from deliveries d join webhook_endpoints w on w.id = d.webhook_id where w.id = '${healthyId}'`,
    );
    check(
      'nothing failed and nothing is recorded against the healthy one',
      failures !== undefined && failures.undelivered + failures.attempts + failures.against === 0,
      JSON.stringify(failures),
    );
    check('the process lives', world.running.length === 1, world.running.length);
  } finally {
    bad.close();
    for (const socket of idle) socket.destroy();
  }
}

/** Publishes for the healthy tenant in rounds; the 95th percentile is that of the quietest. */
async function rounds(world: World): Promise<{ arrived: number; p95: number; longest: number }> {
  const all: number[] = [];
  const p95s: number[] = [];
  for (let round = 0; round < ROUNDS; round += 1) {
    const records = await world.publishMany(ROUND, PER_SECOND, { userId: 'healthy' });
    const found = await arrivalsOf(world, records);
    all.push(...found);
    p95s.push(quantile(found, 0.95));
  }
  return { arrived: all.length, p95: Math.min(...p95s), longest: Math.max(...all) };
}

/** Latencies of those that have arrived by the deadline. */
async function arrivalsOf(world: World, records: readonly PublishRecord[]): Promise<number[]> {
  const giveUpAt = performance.now() + ARRIVAL_DEADLINE_MS;
  for (;;) {
    const found = latencies(world, '/healthy', records);
    if (found.length === records.length || performance.now() > giveUpAt) return found;
    await wait(20);
  }
}

/** Brings the bad users to so many, and matches the same number of deliveries to each of their webhooks. */
async function addBadUsers(world: World, url: string, users: number): Promise<void> {
  const ids = Array.from({ length: users }, (_, n) => `bad-${n}`);
  const created = ids.filter((id) => users === 1 || id !== 'bad-0');
  const webhooks = created.flatMap((user) => Array.from({ length: WEBHOOKS_OF_USER }, (_, n) => ({ user, n })));
  for (let start = 0; start < webhooks.length; start += CALLS_AT_ONCE) {
    await Promise.all(
      webhooks.slice(start, start + CALLS_AT_ONCE).map(({ user, n }) =>
        world.createWebhook('/', {
          user_id: user,
          url: `${url}${user}-${n}`,
          retry_policy: { max_retries: 1, retry_delay: 1 },
        }),
      ),
    );
  }
  for (let n = 0; n < EVENTS_OF_USER; n += 1) await Promise.all(ids.map((userId) => world.publish({ userId })));
}

async function openIdle(address: URL, count: number): Promise<Socket[]> {
  const sockets: Socket[] = [];
  for (let n = 0; n < count; n += 1) {
    const socket = connect(Number(address.port), address.hostname).on('error', () => undefined);
    sockets.push(socket);
    await Promise.race([once(socket, 'connect'), once(socket, 'close')]);
  }
  return sockets;
}
