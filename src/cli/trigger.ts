// `trigger order.created`: sends a sample event, signed, to one's own webhooks for it, at once.
import type { Webhook } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { isSubscribedBy } from '../domain/subscription.ts';
import { connect, CONNECTION_USAGE, type Connection, printable, readOneOrWebhook } from './connection.ts';
import { type Command, onlyArgument, UsageError } from './usage.ts';

const USAGE = `Usage: trigger <event type> [options]

Sends a sample event to your active webhooks for that type, and shows what they answered. Logged, not retried; 'watch' and 'listen' see it.

  --webhook <id>   Only to this one
${CONNECTION_USAGE}`;

const PAGE = 100;

export const trigger: Command = { usage: USAGE, run };

async function run(args: string[]): Promise<void> {
  const { values, positionals } = readOneOrWebhook(args);
  const eventType = onlyArgument(positionals, '<event type>');
  const connection = connect(values, 'developer');
  const targets = values.webhook === undefined ? await webhooksFor(connection, eventType) : [values.webhook];
  if (targets.length === 0)
    throw new UsageError(`No active webhook of yours is subscribed to ${printable(eventType)}.`, 'not_found');
  for (const webhookId of targets) {
    const { deliveryId, success, attempt } = await connection.webhooks.testWebhook({ webhookId, eventType });
    const answer = attempt?.httpStatus === undefined ? (attempt?.errorCode ?? 'no answer') : `HTTP ${attempt.httpStatus}`;
    console.log(
      `${success ? 'delivered' : 'failed   '}  ${webhookId}  ${answer}  ${attempt?.durationMs ?? 0} ms  ${deliveryId}`,
    );
    if (!success) process.exitCode = 1;
  }
}

async function webhooksFor(connection: Connection, eventType: string): Promise<string[]> {
  const found: Webhook[] = [];
  let pageToken = '';
  do {
    const page = await connection.webhooks.listWebhooks({ limit: PAGE, pageToken });
    found.push(
      ...page.webhooks.filter(
        (webhook) => webhook.isActive && webhook.events.some((subscription) => isSubscribedBy(eventType, subscription)),
      ),
    );
    pageToken = page.nextPageToken;
  } while (pageToken !== '');
  return found.map(({ id }) => id);
}
