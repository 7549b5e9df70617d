// One call that changes something: busy while it runs, and what went wrong.
import { useState } from 'preact/hooks';
import { type Failure, toFailure } from './failure.ts';

export interface Action<A extends unknown[]> {
  readonly busy: boolean;
  readonly failure: Failure | undefined;
  readonly run: (...input: A) => Promise<void>;
}

export function useAction<A extends unknown[]>(act: (...input: A) => Promise<void>): Action<A> {
  const [busy, setBusy] = useState(false);
  const [failure, setFailure] = useState<Failure | undefined>(undefined);
  return {
    busy,
    failure,
    async run(...input) {
      if (busy) return;
      setBusy(true);
      setFailure(undefined);
      try {
        await act(...input);
      } catch (error) {
        setFailure(toFailure(error));
      } finally {
        setBusy(false);
      }
    },
  };
}
