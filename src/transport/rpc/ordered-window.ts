// Works on the items of a stream side by side, a bounded number at a time, and gives the results in the order of the items.

/**
 * Reads on while results are awaited, but never holds more than `limit` unfinished or unread results, nor takes more than one item on
 * while `isFull`: a caller that does not read its results is not read from either. `work` must not reject.
 */
export async function* orderedWindow<Item, Result>(
  items: AsyncIterable<Item>,
  { limit, isFull = () => false }: { readonly limit: number; readonly isFull?: () => boolean },
  work: (item: Item, index: number) => Promise<Result>,
): AsyncGenerator<Result> {
  const results: Promise<Result>[] = [];
  let isRead = false;
  let isAbandoned = false;
  let failure: { readonly error: unknown } | null = null;
  let onChange: () => void = () => {};
  let onRoom: () => void = () => {};

  async function read(): Promise<void> {
    let index = 0;
    for await (const item of items) {
      if (isAbandoned) return;
      results.push(work(item, index));
      index += 1;
      onChange();
      while ((results.length >= limit || (results.length > 0 && isFull())) && !isAbandoned)
        await new Promise<void>((resolve) => (onRoom = resolve));
    }
  }

  const reading = read()
    .catch((error: unknown) => (failure = { error }))
    .finally(() => {
      isRead = true;
      onChange();
    });
  try {
    for (;;) {
      const next = results[0];
      if (next !== undefined) {
        yield await next;
        void results.shift();
        onRoom();
      } else if (isRead) {
        await reading;
        // What was accepted before the stream broke is answered first.
        if (failure !== null) throw (failure as { error: unknown }).error;
        return;
      } else {
        await new Promise<void>((resolve) => (onChange = resolve));
      }
    }
  } finally {
    isAbandoned = true;
    onRoom();
  }
}
