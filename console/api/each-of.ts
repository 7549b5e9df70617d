// One call for each of several things, a few at a time, and what came of them together.
import { toFailure } from './failure.ts';

/** Calls at once: a page of rows is done in a second or two, and one reader does not crowd out others. */
const PARALLEL = 4;

export interface EachResult {
  readonly done: readonly string[];
  /** Each refusal in the service's words, and how often. */
  readonly refusals: ReadonlyMap<string, number>;
}

/** @param onStep called after each call, whatever came of it */
export async function eachOf(
  ids: readonly string[],
  act: (id: string) => Promise<unknown>,
  onStep: () => void = () => {},
): Promise<EachResult> {
  const left = [...ids];
  const done: string[] = [];
  const refusals = new Map<string, number>();
  const work = async () => {
    for (let id = left.shift(); id !== undefined; id = left.shift()) {
      try {
        await act(id);
        done.push(id);
      } catch (error) {
        const { message } = toFailure(error);
        refusals.set(message, (refusals.get(message) ?? 0) + 1);
      }
      onStep();
    }
  };
  await Promise.all(Array.from({ length: PARALLEL }, work));
  return { done, refusals };
}
