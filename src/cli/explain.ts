// `explain <id>`: why a webhook got an event or did not, rule by rule.
import { type Explanation, ExplanationVerdictSchema, RuleResultSchema } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { connect, CONNECTION_USAGE, type Connection, printable, readOneOrWebhook } from './connection.ts';
import { type Command, onlyArgument, UsageError } from './usage.ts';

const USAGE = `Usage: explain <delivery or event id> [options]

Names the rule that stopped an event on its way to a webhook, among all rules in the order in which the service applies them.

  --webhook <id>   With the id of an event: at this webhook
${CONNECTION_USAGE}`;

/** As wide as the longest result, and the longest code. */
const RESULT_WIDTH = 'stopped_here'.length;
const CODE_WIDTH = 'receiver_there'.length;

export const explain: Command = { usage: USAGE, run };

async function run(args: string[]): Promise<void> {
  const { values, positionals } = readOneOrWebhook(args);
  const id = onlyArgument(positionals, '<delivery or event id>');
  print(await explanationOf(connect(values, 'developer'), id, values.webhook));
}

async function explanationOf({ deliveries }: Connection, id: string, webhookId: string | undefined): Promise<Explanation> {
  if (id.startsWith('delivery_')) {
    const delivery = await deliveries.getDelivery({ deliveryId: id });
    return deliveries.explainDelivery({ webhookId: delivery.webhookId, deliveryId: id });
  }
  if (!id.startsWith('event_')) throw new UsageError(`"${id}" is the id of neither a delivery nor an event`);
  if (webhookId === undefined) throw new UsageError('An event is explained at a webhook: give --webhook.');
  return deliveries.explainDelivery({ webhookId, eventId: id });
}

function print({ verdict, summary, rules }: Explanation): void {
  console.log(`${ExplanationVerdictSchema.value[verdict]?.localName.toLowerCase()}: ${printable(summary)}`);
  for (const { code, result, message } of rules) {
    const shown = RuleResultSchema.value[result]?.localName.toLowerCase() ?? '';
    console.log(`  ${shown.padEnd(RESULT_WIDTH)}  ${code.padEnd(CODE_WIDTH)}  ${printable(message)}`);
  }
}
