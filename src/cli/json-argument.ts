// JSON given to a command: as it is, in a file, or on standard input.
import { readFileSync } from 'node:fs';

/** The bytes of `{…}`, of `@file`, or of standard input for `-`. The service checks them, so that nothing here can differ from what it would say. */
export function jsonBytes(argument: string): Uint8Array {
  if (argument === '-') return readFileSync(0);
  return argument.startsWith('@') ? readFileSync(argument.slice(1)) : Buffer.from(argument);
}
