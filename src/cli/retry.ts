// `retry <delivery id>`: tries a delivery again, now.
import { parseArgs } from 'node:util';
import { DeliveryStatusSchema } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { connect, CONNECTION_USAGE, connectionOptions } from './connection.ts';
import { type Command, onlyArgument } from './usage.ts';

const USAGE = `Usage: retry <delivery id> [options]

Tries a delivery again now, whatever its status, without using up its automatic retries.

${CONNECTION_USAGE}`;

export const retry: Command = { usage: USAGE, run };

async function run(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({ args, options: connectionOptions, allowPositionals: true });
  const deliveryId = onlyArgument(positionals, '<delivery id>');
  const delivery = await connect(values, 'developer').deliveries.retryDelivery({ deliveryId });
  const status = DeliveryStatusSchema.value[delivery.status]?.localName.toLowerCase();
  console.log(`${delivery.id}  ${delivery.eventType}  ${status}, attempt ${delivery.attemptCount + 1} is due now`);
}
