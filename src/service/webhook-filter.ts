// The filter of a webhook: refused when it is written, not when an event meets it.
import { invalid } from '../domain/errors.ts';
import { faultOfFilter } from '../domain/payload-filter.ts';
import { isSubscribedBy } from '../domain/subscription.ts';
import { tryFilter } from '../persistence/queries/try-filter.ts';
import type { ManagementContext } from './context.ts';

/** Samples of the catalogue that a new filter is tried on: as many types as most webhooks name. */
const MAX_SAMPLES = 10;
/** For a webhook whose types have no sample: PostgreSQL reads the filter all the same. */
const EMPTY_PAYLOAD = '{}';

/**
 * Throws `filter_invalid`, with the place where there is one.
 * @param filter empty: there is none
 * @param subscriptions whose samples it is tried on
 */
export async function checkFilter(
  { pool, catalogue }: Pick<ManagementContext, 'pool' | 'catalogue'>,
  filter: string,
  subscriptions: readonly string[],
): Promise<void> {
  if (filter === '') return;
  const fault = faultOfFilter(filter);
  if (fault !== null) throw invalid('filter_invalid', 'filter', `at character ${fault.position}: ${fault.message}`);
  const samples = catalogue
    .list()
    .filter(({ name, sample }) => sample !== null && subscriptions.some((subscription) => isSubscribedBy(name, subscription)))
    .slice(0, MAX_SAMPLES)
    .map(({ sample }) => JSON.stringify(sample));
  const { error } = await tryFilter(pool, filter, samples.length === 0 ? [EMPTY_PAYLOAD] : samples);
  if (error !== null) throw invalid('filter_invalid', 'filter', error);
}
