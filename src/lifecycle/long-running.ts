// What every long-running part can do: start, and drain.

/** A part that works until told to stop. */
export interface LongRunning {
  readonly name: string;
  /** Starts working; resolves once it does. */
  start(): Promise<void>;
  /** Takes nothing new, finishes what it holds, and resolves when it holds nothing. Never rejects; a second call waits too. */
  drain(): Promise<void>;
}
