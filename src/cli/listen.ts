// `listen`: a developer's own events on their own machine, each printed, or POSTed there and freshly signed.
import { timestampMs } from '@bufbuild/protobuf/wkt';
import { parseArgs } from 'node:util';
import { type Delivery, DeliveryStatusSchema, type WatchedEvent } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { BoundedMap } from '../bounded-map.ts';
import { readEnv } from '../config.ts';
import { newSecret, signingKey, type SigningKey } from '../security/signature.ts';
import { connect, CONNECTION_USAGE, type Connection, connectionOptions, explain, printable } from './connection.ts';
import { follow } from './follow.ts';
import { Forwarder } from './forwarder.ts';
import { untilInterrupted } from './interrupt.ts';
import { type Command, UsageError } from './usage.ts';

const USAGE = `Usage: listen [--forward <url>] [options]

Streams your own events to your machine as they are published: no webhook and no public URL is needed. A temporary webhook gets them, which is gone
when this ends. Each is printed; with --forward it is POSTed there, signed with --secret. Resumes where it was when the connection was lost. Ctrl-C
ends it.

  --forward <url>  Where to, as in http://localhost:3000/hook; without it the bodies are printed
  --secret <s>     A webhook's secret (whsec_…), or HOMECHEF_WEBHOOK_SECRET; else one is made up for this session and shown
  --event <type>   Only events of this type; may be repeated
  --filter <path>  Only payloads for which this SQL/JSON path is true, as in '$.total_amount > 50'; not with --webhook or --every-attempt
  --after <cursor> Start from this cursor instead of from now
  --webhook <id>   Not a temporary webhook's events but the deliveries of this one, as they are attempted: the body byte for byte as it got it;
                   may be repeated
  --every-attempt  Each attempt of a delivery; without it each delivery comes once. Without --webhook, of all your webhooks
${CONNECTION_USAGE}`;

/** Characters of a body that are printed: enough for what a person reads. */
const MAX_PRINTED_CHARACTERS = 2000;
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
      filter: { type: 'string', default: '' },
      'every-attempt': { type: 'boolean', default: false },
      after: { type: 'string', default: '' },
    },
  });
  const { forward, after, filter, webhook: webhookIds, event: eventTypes, 'every-attempt': everyAttempt } = values;
  if (forward !== undefined && (!/^https?:\/\//.test(forward) || !URL.canParse(forward)))
    throw new UsageError(`--forward: "${forward}" is not an http or https URL, as in http://localhost:3000/hook`);
  const isOfDeliveries = webhookIds.length > 0 || everyAttempt;
  if (filter !== '' && isOfDeliveries)
    throw new UsageError('--filter: goes neither with --webhook nor with --every-attempt: a webhook has a filter of its own');
  const connection = connect(values, 'developer');
  const forwarder = forward === undefined ? null : new Forwarder(forward, sessionKey(values.secret));
  const to = forward === undefined ? '' : `, forwarding to ${forward}`;
  const listening = (of: string) => () => console.log(`Listening on ${connection.url} ${of}${to}. Ctrl-C ends it.`);
  if (isOfDeliveries) {
    const request = { webhookIds, eventTypes };
    return listenToDeliveries(connection, {
      after,
      request,
      everyAttempt,
      forwarder,
      onConnected: listening('for deliveries'),
    });
  }
  return listenToEvents(connection, {
    after,
    request: { eventTypes, filter },
    forwarder,
    onConnected: listening('for your events'),
  });
}

interface Listening<Request> {
  readonly after: string;
  readonly request: Request;
  /** Null: bodies are printed. */
  readonly forwarder: Forwarder | null;
  readonly onConnected: () => void;
}

/** What a temporary webhook gets. */
async function listenToEvents(
  connection: Connection,
  { after, request, forwarder, onConnected }: Listening<{ readonly eventTypes: string[]; readonly filter: string }>,
): Promise<void> {
  await untilInterrupted((signal) =>
    follow({
      open: (cursor, call) => connection.deliveries.watchEvents({ ...request, after: cursor }, call),
      after,
      signal,
      onConnected,
      onLost: sayLost(connection),
      keyOf: ({ cursor, message }) => {
        if (message.case === 'event') return message.value.deliveryId;
        return message.case === 'behind' ? `behind ${cursor}` : null;
      },
      onMessage: async ({ message }) => {
        if (message.case === 'event') await showEvent(message.value, forwarder, signal);
        else if (message.case === 'behind' && message.value.since !== undefined)
          console.error(`Behind: what follows was published since ${clock(timestampMs(message.value.since))}`);
      },
    }),
  );
}

async function showEvent(event: WatchedEvent, forwarder: Forwarder | null, signal: AbortSignal): Promise<void> {
  const { eventType, deliveryId } = event;
  const about = aboutOf(eventType, deliveryId);
  if (forwarder === null) return console.log(`${about}\n${printedBody(event.body)}`);
  const { schemaVersion, body } = event;
  console.log(`${about}  → ${await forwarder.post({ deliveryId, eventType, attemptNumber: 1, schemaVersion, body }, signal)}`);
}

/** What the caller's registered webhooks got. */
async function listenToDeliveries(
  connection: Connection,
  options: Listening<{ readonly webhookIds: string[]; readonly eventTypes: string[] }> & { readonly everyAttempt: boolean },
): Promise<void> {
  const shown = new BoundedMap<string, true>(MAX_REMEMBERED);
  await untilInterrupted((signal) =>
    follow({
      open: (cursor, call) => connection.deliveries.watchDeliveries({ ...options.request, after: cursor }, call),
      after: options.after,
      signal,
      onConnected: options.onConnected,
      onLost: sayLost(connection),
      keyOf: ({ cursor, message }) => (message.case === 'delivery' ? cursor : null),
      onMessage: async ({ message }) => {
        if (message.case !== 'delivery') return;
        const delivery = message.value;
        const what = options.everyAttempt ? `${delivery.id} ${delivery.attemptCount}` : delivery.id;
        if (delivery.attemptCount === 0 || shown.get(what) !== undefined) return;
        shown.set(what, true);
        await showDelivery(connection, delivery, options.forwarder, signal);
      },
    }),
  );
}

async function showDelivery(
  connection: Connection,
  delivery: Delivery,
  forwarder: Forwarder | null,
  signal: AbortSignal,
): Promise<void> {
  const status = DeliveryStatusSchema.value[delivery.status]?.localName.toLowerCase() ?? 'unknown';
  const about = `${aboutOf(delivery.eventType, delivery.id)}  (${status})`;
  try {
    const { body } = await connection.deliveries.getDelivery({ deliveryId: delivery.id }, { signal });
    if (body === undefined) return console.log(`${about}  not forwarded: its event is no longer stored`);
    if (forwarder === null) return console.log(`${about}\n${printedBody(body)}`);
    const { id: deliveryId, eventType, attemptCount: attemptNumber } = delivery;
    console.log(`${about}  → ${await forwarder.post({ deliveryId, eventType, attemptNumber, body }, signal)}`);
  } catch (error) {
    console.log(`${about}  → ${explain(error, connection.url)}`);
  }
}

/** The key that signs; a secret that is made up is shown, so that the handler can verify with it. */
function sessionKey(given: string | undefined): SigningKey {
  const known = given ?? readEnv()['HOMECHEF_WEBHOOK_SECRET'];
  const secret = known ?? newSecret();
  if (known === undefined) console.log(`Requests are signed with this session's secret: ${secret}`);
  try {
    return signingKey(secret);
  } catch {
    throw new UsageError('--secret: is not a secret of a webhook, which begins with whsec_');
  }
}

const sayLost = (connection: Connection) => (error: unknown, delayMs: number) =>
  console.error(`${explain(error, connection.url)}; trying again in ${delayMs / 1000} s`);

function aboutOf(eventType: string, deliveryId: string): string {
  return `${clock(Date.now())}  ${printable(eventType).padEnd(18)} ${deliveryId}`;
}

function printedBody(body: string): string {
  const text = printable(body.slice(0, MAX_PRINTED_CHARACTERS));
  return body.length > MAX_PRINTED_CHARACTERS ? `${text}… (${body.length} characters)` : text;
}

function clock(ms: number): string {
  return new Date(ms).toTimeString().slice(0, 8);
}
