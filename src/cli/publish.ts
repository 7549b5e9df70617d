// `publish order.created`: publishes an event as a service of HomeChef would.
import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { findEventType } from '../domain/event-types.ts';
import { connect, CONNECTION_USAGE, connectionOptions } from './connection.ts';
import { type Command, onlyArgument, UsageError } from './usage.ts';

const USAGE = `Usage: publish <event type> (--to <user id>… | --broadcast) [options]

Publishes an event; answered once it and all its deliveries are committed.

  --to <user id>   Whose webhooks get it; may be repeated
  --broadcast      Every subscribed webhook gets it
  --data <json>    What has happened: JSON, or @file, or - for standard input; else the catalogue's sample
  --key <key>      Idempotency key
${CONNECTION_USAGE}
With --user the token is one of a service.`;

export const publish: Command = { usage: USAGE, run };

async function run(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({
    args,
    options: {
      ...connectionOptions,
      to: { type: 'string', multiple: true, default: [] },
      broadcast: { type: 'boolean', default: false },
      data: { type: 'string' },
      key: { type: 'string', default: '' },
    },
    allowPositionals: true,
  });
  const eventType = onlyArgument(positionals, '<event type>');
  const published = await connect(values, 'service').events.publishEvent({
    eventType,
    payload: { case: 'dataJson', value: dataOf(eventType, values.data) },
    audience: { userIds: values.to, broadcast: values.broadcast },
    idempotencyKey: values.key,
  });
  const duplicate = published.duplicate ? ', published before under this key' : '';
  console.log(`${published.eventId}  goes to ${published.deliveries} webhooks${duplicate}`);
}

/** The bytes as they are: the service checks them, so that nothing here can differ from what it would say. */
function dataOf(eventType: string, data: string | undefined): Uint8Array {
  if (data === '-') return readFileSync(0);
  if (data?.startsWith('@') === true) return readFileSync(data.slice(1));
  if (data !== undefined) return Buffer.from(data);
  const known = findEventType(eventType);
  if (known === undefined) throw new UsageError(`"${eventType}" is not an event type of the catalogue; give --data`);
  return Buffer.from(JSON.stringify(known.sample));
}
