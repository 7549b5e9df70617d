// How long-running parts start and stop.

/** A part that works until told to stop. */
export interface LongRunning {
  readonly name: string;
  /** Starts working; resolves once it does. */
  start(): Promise<void>;
  /** Takes nothing new, finishes what it holds, and resolves when it holds nothing. Never rejects; a second call waits too. */
  drain(): Promise<void>;
}

/** Resolves after `ms`, or at once when the signal aborts. Never rejects. */
export function pause(ms: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const timer = setTimeout(done, ms);
    function done(): void {
      clearTimeout(timer);
      signal?.removeEventListener('abort', done);
      resolve();
    }
    signal?.addEventListener('abort', done, { once: true });
  });
}

/** Runs `task` again and again, `intervalMs` apart, until the signal aborts; a task that throws is reported and tried again. */
export async function repeat(
  task: () => Promise<void>,
  intervalMs: number,
  signal: AbortSignal,
  onError: (error: unknown) => void,
): Promise<void> {
  while (!signal.aborted) {
    try {
      await task();
    } catch (error) {
      onError(error);
    }
    await pause(intervalMs, signal);
  }
}
