// What a command is, and what it says when it was called wrongly: one line, no stack.
import type { Reason } from '../domain/errors.ts';

/** What the command line refuses itself, for the reason that the service would give. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
  readonly reason: Reason;

  constructor(message: string, reason: Reason = 'field_invalid') {
    super(message);
    this.reason = reason;
  }
}

export interface Command {
  readonly usage: string;
  /** Throws a UsageError when it was called wrongly. */
  readonly run: (args: string[]) => Promise<void>;
}

/** The one argument that a command takes, refused in words when it is missing or not alone. */
export function onlyArgument(positionals: readonly string[], what: string): string {
  const [argument, extra] = positionals;
  if (argument === undefined) throw new UsageError(`${what} is missing`);
  if (extra !== undefined) throw new UsageError(`"${extra}" is one argument too many: only ${what} is expected`);
  return argument;
}

/** The value of an option that is a whole number; which ones are allowed, the service says. */
export function wholeNumber(option: string, text: string): number {
  if (!/^\d{1,9}$/.test(text)) throw new UsageError(`${option}: "${text}" is not a whole number`);
  return Number(text);
}
