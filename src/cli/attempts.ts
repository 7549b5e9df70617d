// `attempts <delivery id>`: what was sent at each attempt, and what came back.
import { parseArgs } from 'node:util';
import { timestampDate } from '@bufbuild/protobuf/wkt';
import { type Attempt, AttemptTriggerSchema, type HttpHeader } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import { connect, CONNECTION_USAGE, connectionOptions, printable } from './connection.ts';
import { type Command, onlyArgument } from './usage.ts';

const USAGE = `Usage: attempts <delivery id> [options]

Shows the attempts of a delivery, oldest first: where each went, the headers of both sides, and the body of the response. Signatures, custom headers and
whatever may be a credential are masked. Of a first attempt that succeeded the headers are not kept.

${CONNECTION_USAGE}`;

export const attempts: Command = { usage: USAGE, run };

async function run(args: string[]): Promise<void> {
  const { values, positionals } = parseArgs({ args, options: connectionOptions, allowPositionals: true });
  const deliveryId = onlyArgument(positionals, '<delivery id>');
  const delivery = await connect(values, 'developer').deliveries.getDelivery({ deliveryId });
  for (const attempt of delivery.attempts) print(attempt);
}

function print(attempt: Attempt): void {
  const { number, startedAt, trigger, httpStatus, errorMessage, durationMs, remoteAddress, tlsVersion, response } = attempt;
  const when = startedAt === undefined ? '' : timestampDate(startedAt).toISOString();
  const cause = AttemptTriggerSchema.value[trigger]?.localName.toLowerCase() ?? '';
  console.log(`${number}  ${when}  ${cause}  ${errorMessage ?? `answered ${httpStatus}`}  ${durationMs} ms`);
  if (remoteAddress !== undefined) console.log(`  to ${remoteAddress}${tlsVersion === undefined ? '' : ` over ${tlsVersion}`}`);
  printHeaders('>', attempt.requestHeaders);
  printHeaders('<', attempt.responseHeaders);
  for (const line of (response ?? '').split('\n')) if (line !== '') console.log(`  ${printable(line)}`);
}

function printHeaders(side: string, headers: readonly HttpHeader[]): void {
  for (const { name, value } of headers) console.log(`  ${side} ${printable(name)}: ${printable(value)}`);
}
