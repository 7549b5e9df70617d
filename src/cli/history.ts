// `history <webhook id>`: what was changed about a webhook, by whom and when.
import { parseArgs } from 'node:util';
import { toJson } from '@bufbuild/protobuf';
import { timestampDate, ValueSchema } from '@bufbuild/protobuf/wkt';
import { type ChangedField, type WebhookChange, WebhookActionSchema } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { connect, CONNECTION_USAGE, connectionOptions, printable } from './connection.ts';
import { type Command, onlyArgument } from './usage.ts';

const USAGE = `Usage: history <webhook id> [options]

Lists what was changed about a webhook, newest first: by whom, which fields, and what the service did itself and why. Also of a deleted webhook.

${CONNECTION_USAGE}`;

/** Entries asked for at a time: the most that a page may have. */
const PAGE = 100;
/** As wide as the longest action. */
const ACTION_WIDTH = 'rotation_completed'.length;

export const history: Command = { usage: USAGE, run };

async function run(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({ args, options: connectionOptions, allowPositionals: true });
  const webhookId = onlyArgument(positionals, '<webhook id>');
  const { webhooks } = connect(values, 'developer');
  let pageToken = '';
  do {
    const { changes, nextPageToken } = await webhooks.getWebhookHistory({ webhookId, limit: PAGE, pageToken });
    for (const change of changes) print(change);
    pageToken = nextPageToken;
  } while (pageToken !== '');
}

function print({ at, by, action, fields, reason }: WebhookChange): void {
  const when = at === undefined ? '' : timestampDate(at).toISOString();
  const shown = WebhookActionSchema.value[action]?.localName.toLowerCase() ?? '';
  console.log(`${when}  ${shown.padEnd(ACTION_WIDTH)}  ${printable(by)}${reason === '' ? '' : `  ${printable(reason)}`}`);
  for (const field of fields) console.log(`  ${field.field}: ${valueOf(field.old)} -> ${valueOf(field.new)}`);
}

function valueOf(value: ChangedField['old']): string {
  return value === undefined ? 'null' : printable(JSON.stringify(toJson(ValueSchema, value)));
}
