// `npm run demo`: an order's life against the running service, and an account of what arrived. `npm run demo -- night`: a night (demo-night.ts).
// `npm run demo -- simulate`: many orders against receivers with faults (demo-simulate.ts).
import { randomUUID } from 'node:crypto';
import { type Config, ConfigError, readEnv, toConfig } from '../config.ts';
import { pause } from '../lifecycle/pause.ts';
import { mintToken } from '../security/tokens.ts';
import { playNight } from './demo-night.ts';
import { createPublisher } from './demo-publisher.ts';
import { startDemoReceiver, type Arrival } from './demo-receiver.ts';
import { simulate } from './demo-simulate.ts';

/** Three retries a second apart and doubling take seven seconds at the most; a service that needs longer than this is broken. */
const DEADLINE_MS = 30_000;
const POLL_INTERVAL_MS = 100;

const orderId = `order_${randomUUID().slice(0, 8)}`;
const story = [
  { what: 'placed', eventType: 'order.created', data: { order_id: orderId, dishes: ['Lamb biryani'], total_amount: 32.5 } },
  { what: 'accepted by the chef', eventType: 'chef.approved', data: { order_id: orderId, chef_id: 'chef_anita' } },
  { what: 'paid', eventType: 'payment.success', data: { order_id: orderId, amount: 32.5, currency: 'EUR' } },
  { what: 'given to a courier', eventType: 'delivery.assigned', data: { order_id: orderId, courier: 'Łukasz' } },
  { what: 'completed', eventType: 'order.completed', data: { order_id: orderId, rating: 5 } },
];
/** The receiver answers these event types 503 so often before it takes them. */
const badMoments = { 'payment.success': 2, 'delivery.assigned': 1 };

interface Webhook {
  readonly id: string;
  readonly secret: string;
}
interface Delivery {
  readonly id: string;
  readonly event_type: string;
  readonly status: string;
  readonly http_status?: number;
  readonly attempt_count: number;
}

const config = configOrExit();
const host = /^(0\.0\.0\.0|::)$/.test(config.host) ? '127.0.0.1' : config.host;
const http = `http://${host}:${config.httpPort}`;
const userId = `demo-${randomUUID().slice(0, 8)}`;
const developerToken = await mintToken(config.tokens, { user: userId, role: 'developer' });
const serviceToken = await mintToken(config.tokens, { user: 'order-service', role: 'service' });

try {
  process.exitCode = (await played()) ? 0 : 1;
} catch (error) {
  console.error(explain(error));
  process.exitCode = 1;
}

function played(): Promise<boolean> {
  const [which = 'order', ...more] = process.argv.slice(2);
  if (which === 'simulate') return simulate(more);
  if (more.length > 0 || (which !== 'order' && which !== 'night'))
    throw new Error('Usage: npm run demo, npm run demo -- night, or npm run demo -- simulate');
  return which === 'night' ? playNight() : play();
}

async function play(): Promise<boolean> {
  const startedAtMs = performance.now();
  const say = (line: string): void =>
    console.log(`${((performance.now() - startedAtMs) / 1000).toFixed(2).padStart(6)} s  ${line}`);
  const receiver = await startDemoReceiver(config.delivery.signatureHeader, badMoments, (arrival) => say(describe(arrival)));
  const publisher = createPublisher(`${host}:${config.grpcPort}`, serviceToken);
  let webhook: Webhook | undefined;
  try {
    webhook = await rest<Webhook>('POST', '/api/v1/webhooks', {
      url: receiver.url,
      events: story.map((step) => step.eventType),
      description: 'The demo',
      retry_policy: { max_retries: 3, retry_delay: 1 },
    });
    receiver.expectSecret(webhook.secret);
    say(`${userId} made ${webhook.id} for ${receiver.url}, over REST`);
    for (const { what, eventType, data } of story) {
      const { event_id } = await publisher.publish(eventType, data, userId, `${orderId}-${eventType}`);
      say(`${orderId} is ${what}: ${eventType} published over gRPC as ${event_id}`);
    }
    const deliveries = await untilSettled(webhook.id);
    printLog(deliveries);
    return printVerdict(receiver.arrivals, deliveries);
  } finally {
    if (webhook !== undefined) await rest('DELETE', `/api/v1/webhooks/${webhook.id}`);
    publisher.close();
    await receiver.close();
  }
}

// A setting that cannot be is the caller's to mend: the message says which, and a stack would hide it.
function configOrExit(): Config {
  try {
    return toConfig(readEnv());
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    console.error(error.message);
    return process.exit(2);
  }
}

function describe(arrival: Arrival): string {
  const verified = arrival.homechefSignature && arrival.standardSignature ? 'both signatures verify' : 'A SIGNATURE IS WRONG';
  return `    -> ${arrival.eventType}, attempt ${arrival.attempt}: ${verified}; answered ${arrival.status}`;
}

async function untilSettled(webhookId: string): Promise<Delivery[]> {
  const giveUpAt = performance.now() + DEADLINE_MS;
  for (;;) {
    const { deliveries } = await rest<{ deliveries: Delivery[] }>(
      'GET',
      `/api/v1/webhooks/deliveries?webhook_id=${webhookId}&limit=100`,
    );
    const settled = deliveries.filter((delivery) => delivery.status === 'delivered' || delivery.status === 'failed');
    if (settled.length === story.length || performance.now() > giveUpAt) return deliveries;
    await pause(POLL_INTERVAL_MS);
  }
}

function printLog(deliveries: readonly Delivery[]): void {
  console.log(`\nThe delivery log of ${userId}, over REST:\n`);
  const row = (...cells: string[]): void =>
    console.log(`  ${cells.map((cell, index) => cell.padEnd([38, 20, 12, 10][index] ?? 0)).join('')}`);
  row('delivery', 'event', 'status', 'attempts', 'answer');
  for (const delivery of deliveries.toReversed()) {
    row(delivery.id, delivery.event_type, delivery.status, String(delivery.attempt_count), String(delivery.http_status ?? '-'));
  }
}

function printVerdict(arrivals: readonly Arrival[], deliveries: readonly Delivery[]): boolean {
  const delivered = deliveries.filter((delivery) => delivery.status === 'delivered').length;
  const verified = arrivals.filter((arrival) => arrival.homechefSignature && arrival.standardSignature).length;
  const refused = arrivals.filter((arrival) => arrival.status !== 200).length;
  console.log(
    `\n${story.length} events published, ${delivered} delivered; ${arrivals.length} requests, ${refused} of them answered 503 and`,
  );
  console.log(`tried again; ${verified} of ${arrivals.length} carried two good signatures.`);
  const expectedRefusals = Object.values(badMoments).reduce((sum, count) => sum + count, 0);
  return delivered === story.length && verified === arrivals.length && refused === expectedRefusals;
}

async function rest<T>(method: string, path: string, body?: object): Promise<T> {
  const response = await fetch(http + path, {
    method,
    headers: { authorization: `Bearer ${developerToken}`, 'content-type': 'application/json' },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
  const answer = await response.text();
  if (!response.ok) throw new Error(`${method} ${path} answered ${response.status}: ${answer}`);
  return (answer === '' ? undefined : JSON.parse(answer)) as T;
}

function explain(error: unknown): string {
  const { message, cause } = error as Error & { cause?: { code?: string; name?: string } };
  if (cause?.code === 'ECONNREFUSED')
    return `There is no service at ${http}: start it with \`make run\`, then run the demo in another terminal.`;
  if (cause?.name === 'HTTPParserError')
    return `What listens at ${http} does not speak HTTP/1.1: give the service's SERVER_PORT, not GRPC_PORT.`;
  return message;
}
