// `publish order.created`: publishes an event as a service of HomeChef would.
import { parseArgs } from 'node:util';
import { connect, CONNECTION_USAGE, type Connection, connectionOptions } from './connection.ts';
import { jsonBytes } from './json-argument.ts';
import { moment } from './moment.ts';
import { type Command, onlyArgument, UsageError } from './usage.ts';

const USAGE = `Usage: publish <event type> (--to <user id>… | --broadcast) [options]

Publishes an event; answered once it and all its deliveries are committed.

  --to <user id>   Whose webhooks get it; may be repeated
  --broadcast      Every subscribed webhook gets it
  --data <json>    What has happened: JSON, or @file, or - for standard input; else the catalogue's sample
  --key <key>      Idempotency key
  --ordering-key <key>  What must stay in order, such as an order's number
  --collapse-key <key>  What this is the newest state of: older ones that wait are not sent
  --deliver-before <time>  No attempt begins later, as in 2030-01-31T12:00:00Z
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
      'ordering-key': { type: 'string' },
      'collapse-key': { type: 'string' },
      'deliver-before': { type: 'string' },
    },
    allowPositionals: true,
  });
  const eventType = onlyArgument(positionals, '<event type>');
  const connection = connect(values, 'service');
  const published = await connection.events.publishEvent({
    eventType,
    payload: { case: 'dataJson', value: await dataOf(connection, eventType, values.data) },
    audience: { userIds: values.to, broadcast: values.broadcast },
    idempotencyKey: values.key,
    ...(values['ordering-key'] === undefined ? {} : { orderingKey: values['ordering-key'] }),
    ...(values['collapse-key'] === undefined ? {} : { collapseKey: values['collapse-key'] }),
    ...(values['deliver-before'] === undefined ? {} : { deliverBefore: moment('--deliver-before', values['deliver-before']) }),
  });
  const duplicate = published.duplicate ? ', published before under this key' : '';
  const expired = published.expired === true ? ', too late: nothing is sent' : '';
  console.log(`${published.eventId}  goes to ${published.deliveries} webhooks${duplicate}${expired}`);
}

async function dataOf({ webhooks }: Connection, eventType: string, data: string | undefined): Promise<Uint8Array> {
  if (data !== undefined) return jsonBytes(data);
  const { sample } = await webhooks.getEventType({ name: eventType });
  if (sample === undefined) throw new UsageError(`the catalogue has no sample of "${eventType}"; give --data`);
  return Buffer.from(JSON.stringify(sample));
}
