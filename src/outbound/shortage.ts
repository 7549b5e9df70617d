// What of this machine's own ran short, by the system's name for it: no failure of the receiver's.
import { isIPv6 } from 'node:net';
import { networkInterfaces } from 'node:os';
import type { AttemptError, NotBegun, Shortage } from '../domain/delivery.ts';
import { attemptErrorOf, codeOf } from './connection-errors.ts';

const SHORTAGES = new Map<string, Shortage>([
  ['EMFILE', 'descriptors'],
  ['ENFILE', 'descriptors'],
  ['ENOBUFS', 'memory'],
  ['ENOMEM', 'memory'],
  ['EADDRNOTAVAIL', 'ports'],
]);

/** What came of a connection that failed: the receiver's doing, or an attempt that could not begin. */
export type Failure = AttemptError | NotBegun;

/** The shortage behind an error; null when it is none of ours. */
export function shortageOf(error: unknown): Shortage | null {
  const shortage = SHORTAGES.get(codeOf(error)) ?? null;
  return shortage === 'ports' && !hasAddressFor(error) ? null : shortage;
}

export function failureOf(error: unknown, otherwise: (error: unknown) => AttemptError = attemptErrorOf): Failure {
  const shortage = shortageOf(error);
  return shortage === null ? otherwise(error) : { shortage };
}

export function isShortage(failure: Failure | null): failure is NotBegun {
  return typeof failure === 'object' && failure !== null;
}

// A machine without IPv6 says EADDRNOTAVAIL of every IPv6 address, for ever: that is a receiver out of reach.
function hasAddressFor(error: unknown): boolean {
  const address = error instanceof Error && 'address' in error && typeof error.address === 'string' ? error.address : '';
  return hasRouteTo(address);
}

/** Whether this machine has an address of the family of this one, from which it could be reached. */
export function hasRouteTo(address: string): boolean {
  if (!isIPv6(address)) return true;
  const isLoopback = address === '::1';
  return Object.values(networkInterfaces()).some((addresses) =>
    addresses?.some((own) => own.family === 'IPv6' && own.internal === isLoopback && !own.address.startsWith('fe80:')),
  );
}
