// Commands that run until Ctrl-C.

/** Runs a task whose signal aborts at the first SIGINT or SIGTERM; a second one ends the process at once. */
export async function untilInterrupted(task: (signal: AbortSignal) => Promise<void>): Promise<void> {
  const interrupted = new AbortController();
  const interrupt = (): void => interrupted.abort();
  process.once('SIGINT', interrupt);
  process.once('SIGTERM', interrupt);
  try {
    await task(interrupted.signal);
  } finally {
    process.off('SIGINT', interrupt);
    process.off('SIGTERM', interrupt);
  }
}
