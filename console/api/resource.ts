// Reading from the service while a component is on screen: loading, error, data, and again.
import { useCallback, useEffect, useState } from 'preact/hooks';
import { type Failure, toFailure } from './failure.ts';
import { signIns } from './session.ts';

export interface Resource<T> {
  /** What was read last, also while it is being read again. */
  readonly data: T | undefined;
  readonly failure: Failure | undefined;
  readonly loading: boolean;
  readonly reload: () => void;
}

interface State<T> {
  readonly key: string;
  readonly data: T | undefined;
  readonly failure: Failure | undefined;
  readonly loading: boolean;
}

/**
 * Reads when mounted, whenever `key` or `version` changes, and after a sign-in.
 * Data of another key is not shown; that of an earlier version is, until the newer has come.
 */
export function useResource<T>(
  key: string,
  read: (signal: AbortSignal) => Promise<T>,
  version: string | number = 0,
): Resource<T> {
  const [state, setState] = useState<State<T>>({ key, data: undefined, failure: undefined, loading: true });
  const [round, setRound] = useState(0);
  useEffect(() => {
    const controller = new AbortController();
    setState((before) => ({ key, data: before.key === key ? before.data : undefined, failure: undefined, loading: true }));
    const load = async () => {
      try {
        const data = await read(controller.signal);
        if (!controller.signal.aborted) setState({ key, data, failure: undefined, loading: false });
      } catch (error) {
        if (controller.signal.aborted) return;
        setState((before) => ({ key, data: before.data, failure: toFailure(error), loading: false }));
      }
    };
    void load();
    return () => controller.abort();
    // `read` closes over what `key` names.
  }, [key, version, round, signIns.value]);
  const reload = useCallback(() => setRound((before) => before + 1), []);
  const current = state.key === key;
  return {
    data: current ? state.data : undefined,
    failure: current ? state.failure : undefined,
    loading: current ? state.loading : true,
    reload,
  };
}
