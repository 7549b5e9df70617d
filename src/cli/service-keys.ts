// `service-keys` and `rotate-service-key`: the key pairs that the service makes Ed25519 signatures with.
import { parseArgs } from 'node:util';
import { timestampDate } from '@bufbuild/protobuf/wkt';
import type { ServiceKeys } from '../../gen/homechef/webhook/v1/webhook_pb.ts';
import { connect, CONNECTION_USAGE, connectionOptions } from './connection.ts';
import { type Command, wholeNumber } from './usage.ts';

const LIST_USAGE = `Usage: service-keys [options]

Prints the public keys that verify Ed25519 signatures of the service, newest first.

${CONNECTION_USAGE}`;

const ROTATE_USAGE = `Usage: rotate-service-key [options]

As an admin, makes a new key pair. The one before signs beside it until the overlap ends.

  --overlap-hours <number>  0 to 720; 168 when not given. 0 takes every earlier key out of use, as for one that leaked
${CONNECTION_USAGE}`;

export const serviceKeys: Command = { usage: LIST_USAGE, run: runList };
export const rotateServiceKey: Command = { usage: ROTATE_USAGE, run: runRotate };

async function runList(args: string[]): Promise<void> {
  const { values } = parseArgs({ args, options: connectionOptions });
  print(await connect(values, 'developer').webhooks.listServiceKeys({}));
}

async function runRotate(args: string[]): Promise<void> {
  const options = { ...connectionOptions, 'overlap-hours': { type: 'string' } } as const;
  const { values } = parseArgs({ args, options });
  const hours = values['overlap-hours'];
  const overlap = hours === undefined ? {} : { overlapHours: wholeNumber('--overlap-hours', hours) };
  print(await connect(values, 'admin').webhooks.rotateServiceKey(overlap));
}

function print({ keys }: ServiceKeys): void {
  if (keys.length === 0)
    console.log('The service has no key yet: it makes one for the first webhook with "signatures": ["hmac", "ed25519"].');
  for (const { id, publicKey, signsUntil } of keys) {
    const end = signsUntil === undefined ? '' : `  until ${timestampDate(signsUntil).toISOString()}`;
    console.log(`${id}  ${publicKey}${end}`);
  }
}
