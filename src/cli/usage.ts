// What a command says when it was called wrongly, or could not do what it was asked: one message, no stack.

export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export interface Command {
  readonly usage: string;
  /** Throws a UsageError when it was called wrongly. */
  readonly run: (args: string[]) => Promise<void>;
}
