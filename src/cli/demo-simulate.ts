// `npm run demo -- simulate`: the lives of many orders, receivers with faults, and a table of what each got without and with ordering keys and deadlines.
import { parseArgs } from 'node:util';
import { eventTypes } from '../domain/event-types.ts';
import { pause } from '../lifecycle/pause.ts';
import { mintToken } from '../security/tokens.ts';
import { caller, type Call, until } from './demo-calls.ts';
import { startDemoService } from './demo-service.ts';
import { type Fault, faults, type Seen, startSimulatedReceivers, type SimulatedReceivers } from './simulated-receiver.ts';
import { wholeNumber } from './usage.ts';

const USAGE = `Usage: npm run demo -- simulate [--orders 200] [--rate 20] [--faults slow,down,gone,flaky,reordered]

Starts a service of its own, plays the lives of so many orders, so many new ones a second, to receivers with these faults and one without, and prints what each
of them got.`;

/** Orders: what a machine plays in some minutes. */
const MAX_ORDERS = 2000;
/** New orders a second, each with six events to three users for each fault. */
const MAX_RATE = 100;
/** ms. Between two events of an order. */
const STEP_MS = 250;
/** ms. For so long an event is of use to its receiver, in the world with deadlines. */
const FRESH_MS = 4000;
/** ms. The slowest receiver takes some thirty events a second, and a retry may be half a minute away. */
const SETTLE_MS = 90_000;
const SETTLE_MS_PER_ORDER = 300;
/** Retries come soon, so that a life of seconds shows what takes hours otherwise. */
const RETRY_POLICY = { max_retries: 12, retry_delay: 0.3 };

/** Four of five orders are eaten, one of five is not paid and cancelled: together they have every documented type. */
const EATEN = ['order.created', 'payment.success', 'chef.approved', 'delivery.assigned', 'order.completed', 'tip.received'];
const CANCELLED = ['order.created', 'payment.failed', 'order.cancelled'];
const CANCELLED_EVERY = 5;

/** The same events, in three ways. */
const worlds = ['plain', 'keys', 'deadlines'] as const;
type World = (typeof worlds)[number];

const HEADER = [
  'receiver',
  'events',
  'requests',
  'duplicates',
  'out of order',
  'with keys',
  'stale',
  'with deadlines',
  'ended unsent',
  'lost',
];

interface Webhook {
  readonly id: string;
}
interface Counted {
  readonly total: number;
}

export async function simulate(args: string[]): Promise<boolean> {
  const { orders, rate, chosen } = optionsOf(args);
  console.log(`${orders} orders, ${rate} new ones a second, for receivers of which one each
${chosen.map((fault) => `  ${fault.padEnd(10)} ${faults[fault]}`).join('\n')}
Every event goes out three times: plain; with an ordering_key to webhooks with "ordering": "key"; and with a deliver_before ${FRESH_MS / 1000} s after it happened.\n`);
  const service = await startDemoService();
  const receivers = await startSimulatedReceivers(rankOf(), FRESH_MS);
  try {
    const { tokens } = service.config;
    const admin = caller(service.http, await mintToken(tokens, { user: 'operator', role: 'admin' }));
    const publisher = caller(service.http, await mintToken(tokens, { user: 'order-service', role: 'service' }));
    return await new Simulation({ admin, publisher, receivers, orders, rate, chosen }).play();
  } finally {
    await receivers.close();
    await service.stop();
  }
}

interface Options {
  readonly orders: number;
  readonly rate: number;
  /** With `none` first. */
  readonly chosen: readonly Fault[];
}

function optionsOf(args: string[]): Options {
  const { values } = parseArgs({
    args,
    options: {
      orders: { type: 'string', default: '200' },
      rate: { type: 'string', default: '20' },
      faults: { type: 'string', default: 'slow,down,gone,flaky,reordered' },
      help: { type: 'boolean', short: 'h', default: false },
    },
  });
  if (values.help) throw new Error(USAGE);
  const [orders, rate] = [wholeNumber('--orders', values.orders), wholeNumber('--rate', values.rate)];
  if (orders < 1 || orders > MAX_ORDERS) throw new Error(`--orders must be 1 to ${MAX_ORDERS}`);
  if (rate < 1 || rate > MAX_RATE) throw new Error(`--rate must be 1 to ${MAX_RATE}`);
  const named = values.faults.split(',').map((name) => name.trim());
  const unknown = named.find((name) => !Object.hasOwn(faults, name));
  if (unknown !== undefined) throw new Error(`--faults: "${unknown}" is none of ${Object.keys(faults).join(', ')}`);
  return { orders, rate, chosen: [...new Set<Fault>(['none', ...(named as Fault[])])] };
}

/** Where in the life of its order an event stands. */
function rankOf(): Map<string, number> {
  return new Map([EATEN, CANCELLED].flatMap((life) => life.map((type, rank): [string, number] => [type, rank])));
}

class Simulation {
  readonly #admin: Call;
  readonly #publisher: Call;
  readonly #receivers: SimulatedReceivers;
  readonly #options: Options;
  readonly #webhookIds = new Map<string, string>();
  #events = 0;

  constructor(options: Options & { admin: Call; publisher: Call; receivers: SimulatedReceivers }) {
    this.#admin = options.admin;
    this.#publisher = options.publisher;
    this.#receivers = options.receivers;
    this.#options = options;
  }

  async play(): Promise<boolean> {
    const { orders, rate, chosen } = this.#options;
    for (const world of worlds) for (const fault of chosen) await this.#subscribe(world, fault);
    const startedAtMs = performance.now();
    const lives: Promise<void>[] = [];
    for (let number = 1; number <= orders; number += 1) {
      const dueMs = startedAtMs + ((number - 1) * 1000) / rate - performance.now();
      if (dueMs > 0) await pause(dueMs);
      lives.push(this.#live(number));
    }
    await Promise.all(lives);
    const publishedSeconds = (performance.now() - startedAtMs) / 1000;
    await until('the last delivery', async () => (await this.#unfinished()) === 0, SETTLE_MS + orders * SETTLE_MS_PER_ORDER);
    const seconds = (performance.now() - startedAtMs) / 1000;
    const isRight = await this.#printTable();
    console.log(
      `\n${this.#events} events in ${publishedSeconds.toFixed(0)} s, the last of them over after ${seconds.toFixed(0)} s.`,
    );
    return isRight;
  }

  async #subscribe(world: World, fault: Fault): Promise<void> {
    const { id } = await this.#admin<Webhook>('POST', '/api/v1/webhooks', {
      url: this.#receivers.url(world, fault),
      events: [...new Set([...EATEN, ...CANCELLED])],
      user_id: userOf(world, fault),
      retry_policy: RETRY_POLICY,
      ordering: world === 'keys' ? 'key' : 'none',
    });
    this.#webhookIds.set(userOf(world, fault), id);
  }

  async #live(number: number): Promise<void> {
    const orderId = `order_${number}`;
    for (const type of number % CANCELLED_EVERY === 0 ? CANCELLED : EATEN) {
      await Promise.all(worlds.map((world) => this.#publish(world, type, orderId)));
      await pause(STEP_MS);
    }
  }

  async #publish(world: World, eventType: string, orderId: string): Promise<void> {
    this.#events += 1;
    const sample = eventTypes.find(({ name }) => name === eventType)?.sample;
    await this.#publisher('POST', '/api/v1/events', {
      event_type: eventType,
      data: { ...sample, order_id: orderId },
      audience: { user_ids: this.#options.chosen.map((fault) => userOf(world, fault)) },
      ...(world === 'keys' ? { ordering_key: orderId } : {}),
      ...(world === 'deadlines' ? { deliver_before: new Date(Date.now() + FRESH_MS).toISOString() } : {}),
    });
  }

  async #unfinished(): Promise<number> {
    const counts = await Promise.all([this.#count('status=pending'), this.#count('status=retrying')]);
    return counts.reduce((sum, count) => sum + count, 0);
  }

  async #count(query: string): Promise<number> {
    return (await this.#admin<Counted>('GET', `/api/v1/webhooks/deliveries?limit=1&${query}`)).total;
  }

  /** Returns whether the table says what it should. */
  async #printTable(): Promise<boolean> {
    const rows = await Promise.all(this.#options.chosen.map((fault) => this.#account(fault)));
    printTable([HEADER, ...rows.map(({ cells }) => cells)]);
    return rows.every(({ isRight }) => isRight);
  }

  async #account(fault: Fault): Promise<{ readonly cells: readonly string[]; readonly isRight: boolean }> {
    const seen: Readonly<Record<World, Seen>> = {
      plain: this.#receivers.seenBy('plain', fault),
      keys: this.#receivers.seenBy('keys', fault),
      deadlines: this.#receivers.seenBy('deadlines', fault),
    };
    const events = await this.#countOf(fault, '');
    const unsent = (await this.#countOf(fault, '&status=cancelled')) + (await this.#countOf(fault, '&status=failed'));
    const sum = (of: (seen: Seen) => number): number => worlds.reduce((all, world) => all + of(seen[world]), 0);
    // A receiver may have taken what ended otherwise, because its answer was lost.
    const lost = Math.max(0, events - unsent - sum(({ taken }) => taken.size));
    const cells = [
      events,
      sum(({ requests }) => requests),
      sum(({ duplicates }) => duplicates),
      seen.plain.outOfOrder,
      seen.keys.outOfOrder,
      seen.plain.stale,
      seen.deadlines.stale,
      unsent,
      lost,
    ];
    const isRight = seen.keys.outOfOrder === 0 && seen.deadlines.stale === 0 && lost === 0;
    return { cells: [fault, ...cells.map(String)], isRight };
  }

  /** In all worlds. */
  async #countOf(fault: Fault, query: string): Promise<number> {
    const ids = worlds.map((world) => this.#webhookIds.get(userOf(world, fault)) ?? '');
    const counts = await Promise.all(ids.map((id) => this.#count(`webhook_id=${id}${query}`)));
    return counts.reduce((sum, count) => sum + count, 0);
  }
}

function userOf(world: World, fault: Fault): string {
  return `${world}-${fault}`;
}

function printTable(rows: readonly (readonly string[])[]): void {
  const widths = rows[0]?.map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0))) ?? [];
  const line = (row: readonly string[]): string =>
    `| ${row.map((cell, column) => (column === 0 ? cell.padEnd(widths[column] ?? 0) : cell.padStart(widths[column] ?? 0))).join(' | ')} |`;
  const [header = [], ...others] = rows;
  console.log(line(header));
  console.log(line(widths.map((width, column) => (column === 0 ? '-'.repeat(width) : `${'-'.repeat(width - 1)}:`))));
  for (const row of others) console.log(line(row));
}
