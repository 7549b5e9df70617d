// What every long-running part can do: start, and drain.

/** A part that works until it is drained. */
export interface LongRunning {
  readonly name: string;
  /** Starts working; resolves once it does. */
  start(): Promise<void>;
  /** Takes nothing new and finishes what is under way; resolves when nothing is left. Never rejects; a second call waits too. */
  drain(): Promise<void>;
}
