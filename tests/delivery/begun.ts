// The outcome of a request that had what it needed of this machine, as in every test but those of shortages.
import { hasBegun, type NotBegun, type Outcome } from '../../src/domain/delivery.ts';

export async function begun(posted: Promise<Outcome | NotBegun>): Promise<Outcome> {
  const outcome = await posted;
  if (!hasBegun(outcome)) throw new Error(`the request did not begin: ${outcome.shortage}`);
  return outcome;
}
