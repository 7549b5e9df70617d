// `cancel <delivery id>`: ends a delivery that has not been delivered yet.
import { parseArgs } from 'node:util';
import { DeliveryStatusSchema } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { connect, CONNECTION_USAGE, connectionOptions } from './connection.ts';
import { type Command, onlyArgument } from './usage.ts';

const USAGE = `Usage: cancel <delivery id> [options]

Ends a delivery that has not been delivered yet: it is sent no more. A request that is under way may still arrive.

${CONNECTION_USAGE}`;

export const cancel: Command = { usage: USAGE, run };

async function run(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({ args, options: connectionOptions, allowPositionals: true });
  const deliveryId = onlyArgument(positionals, '<delivery id>');
  const delivery = await connect(values, 'developer').deliveries.cancelDelivery({ deliveryId });
  const status = DeliveryStatusSchema.value[delivery.status]?.localName.toLowerCase();
  const reason = delivery.cancelReason === undefined ? '' : ` (${delivery.cancelReason})`;
  console.log(`${delivery.id}  ${delivery.eventType}  ${status}${reason}`);
}
