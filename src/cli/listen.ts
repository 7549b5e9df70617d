// `listen`: a developer's own events on their own machine, each POSTed there with its original body, freshly signed.
import { parseArgs } from 'node:util';
import { type Delivery, DeliveryStatusSchema } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { readEnv, toConfig } from '../config.ts';
import { newSecret, signHeaders, signingKey, type SigningKey } from '../security/signature.ts';
import { connect, CONNECTION_USAGE, type Connection, connectionOptions, explain, printable } from './connection.ts';
import { follow } from './follow.ts';
import { untilInterrupted } from './interrupt.ts';
import { type Command, UsageError } from './usage.ts';

const USAGE = `Usage: listen --forward <url> [options]

Streams your own events to your machine and POSTs each of them there: the body byte for byte as your webhook got it, the same
headers, signed now with --secret. Resumes where it was when the connection was lost. Ctrl-C ends it.

  --forward <url>  Where to, as in http://localhost:3000/hook
  --secret <s>     The webhook's secret (whsec_…), or HOMECHEF_WEBHOOK_SECRET; else one is made up for this session and shown
  --webhook <id>   Only this webhook's events; may be repeated
  --event <type>   Only events of this type; may be repeated
  --every-attempt  Forward each attempt of a delivery; without it each delivery comes once
  --after <cursor> Start from this cursor instead of from now
${CONNECTION_USAGE}`;

/** A handler on the developer's own machine gets as long as a receiver in production does by default. */
const TIMEOUT_MS = 30_000;
/** Deliveries remembered so that each comes once. */
const MAX_REMEMBERED = 10_000;

export const listen: Command = { usage: USAGE, run };

async function run(args: string[]): Promise<void> {
  const { values } = parseArgs({
    args,
    options: {
      ...connectionOptions,
      forward: { type: 'string' },
      secret: { type: 'string' },
      webhook: { type: 'string', multiple: true, default: [] },
      event: { type: 'string', multiple: true, default: [] },
      'every-attempt': { type: 'boolean', default: false },
      after: { type: 'string', default: '' },
    },
  });
  const { forward } = values;
  if (forward === undefined) throw new UsageError('--forward is missing: give a URL, as in http://localhost:3000/hook');
  if (!/^https?:\/\//.test(forward) || !URL.canParse(forward))
    throw new UsageError(`--forward: "${forward}" is not an http or https URL, as in http://localhost:3000/hook`);
  const connection = connect(values, 'developer');
  const secret = values.secret ?? readEnv()['HOMECHEF_WEBHOOK_SECRET'] ?? newSecret();
  const key = keyOf(secret);
  if (values.secret === undefined && readEnv()['HOMECHEF_WEBHOOK_SECRET'] === undefined) {
    console.log(`Requests are signed with this session's secret: ${secret}`);
  }
  const forwarded = new Set<string>();
  await untilInterrupted((signal) =>
    follow(connection, {
      request: { after: values.after, webhookIds: values.webhook, eventTypes: values.event },
      signal,
      onConnected: () => console.log(`Listening on ${connection.url}, forwarding to ${forward}. Ctrl-C ends it.`),
      onLost: (error, delayMs) => console.error(`${explain(error, connection.url)}; trying again in ${delayMs / 1000} s`),
      onDelivery: async (delivery) => {
        const what = values['every-attempt'] ? `${delivery.id} ${delivery.attemptCount}` : delivery.id;
        if (delivery.attemptCount === 0 || forwarded.has(what)) return;
        remember(forwarded, what);
        console.log(await forwardOne(connection, delivery, { forward, key, signal }));
      },
    }),
  );
}

/** Forwards one delivery and prints in a line what came of it. */
async function forwardOne(
  connection: Connection,
  delivery: Delivery,
  options: { readonly forward: string; readonly key: SigningKey; readonly signal: AbortSignal },
): Promise<string> {
  const status = DeliveryStatusSchema.value[delivery.status]?.localName.toLowerCase() ?? 'unknown';
  const about = `${new Date().toTimeString().slice(0, 8)}  ${delivery.eventType.padEnd(18)} ${delivery.id}  (${status})`;
  const startedAt = performance.now();
  try {
    const { body } = await connection.deliveries.getDelivery({ deliveryId: delivery.id }, { signal: options.signal });
    if (body === undefined) return `${about}  not forwarded: its event is no longer stored`;
    const response = await fetch(options.forward, {
      method: 'POST',
      headers: headersOf(delivery, body, options.key),
      body,
      redirect: 'manual',
      signal: AbortSignal.any([options.signal, AbortSignal.timeout(TIMEOUT_MS)]),
    });
    await response.body?.cancel();
    return `${about}  → ${response.status} ${printable(response.statusText)}  ${Math.round(performance.now() - startedAt)} ms`;
  } catch (error) {
    return `${about}  → ${reasonOf(error)}`;
  }
}

function headersOf(delivery: Delivery, body: string, key: SigningKey): Record<string, string> {
  const { delivery: config, version } = toConfig(readEnv());
  return {
    ...signHeaders({
      keys: [key],
      deliveryId: delivery.id,
      body,
      timestampSeconds: Math.floor(Date.now() / 1000),
      homechefHeaderName: config.signatureHeader,
    }),
    'content-type': 'application/json',
    'user-agent': `HomeChef-Webhooks/${version}`,
    'x-homechef-event': delivery.eventType,
    'x-homechef-delivery': delivery.id,
    'x-homechef-attempt': String(delivery.attemptCount),
  };
}

function keyOf(secret: string): SigningKey {
  try {
    return signingKey(secret);
  } catch {
    throw new UsageError('--secret: is not a secret of a webhook, which begins with whsec_');
  }
}

// fetch has the real reason only in its cause.
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return printable(String(error));
  const { cause } = error as { cause?: { code?: string; message?: string } };
  if (cause?.code === 'ECONNREFUSED') return 'no program listens there';
  return printable(cause?.message ?? error.message);
}

function remember(forwarded: Set<string>, what: string): void {
  forwarded.add(what);
  if (forwarded.size <= MAX_REMEMBERED) return;
  const [oldest] = forwarded;
  if (oldest !== undefined) forwarded.delete(oldest);
}
