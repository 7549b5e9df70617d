// Evaluates a filter for some payloads by themselves, within a bound of time, and says what PostgreSQL finds wrong.
import type { Pool } from 'pg';
import { sqlState } from '../store-errors.ts';
import { inTransaction } from '../transaction.ts';

/** ms. An event's filters are evaluated in microseconds each: what takes longer for a sample would hold up every publish. */
export const MAX_FILTER_MS = 50;
/** A busy machine may take that long for anything once. */
const TRIES = 3;

const QUERY_CANCELLED = '57014';
/** What the filter itself is to blame for: data, limits, syntax. */
const OF_FILTER = /^(?:22|54|42601)/;

/** One result a payload, or what is wrong. */
export type FilterTrial =
  | { readonly results: readonly FilterResult[]; readonly error: null }
  | { readonly results: null; readonly error: string };

export interface FilterResult {
  /** Whether jsonb can hold the payload. */
  readonly isHeld: boolean;
  /** Null: the filter is neither true nor false for it. */
  readonly isTrue: boolean | null;
}

export async function tryFilter(pool: Pool, filter: string, payloads: readonly string[]): Promise<FilterTrial> {
  for (let tried = 1; ; tried += 1) {
    try {
      return { results: await evaluate(pool, filter, payloads), error: null };
    } catch (error) {
      const state = sqlState(error) ?? '';
      if (state === QUERY_CANCELLED && tried < TRIES) continue;
      if (state === QUERY_CANCELLED) return { results: null, error: `takes longer than ${MAX_FILTER_MS} ms for one payload` };
      if (!OF_FILTER.test(state)) throw error;
      return { results: null, error: error instanceof Error ? error.message : String(error) };
    }
  }
}

function evaluate(pool: Pool, filter: string, payloads: readonly string[]): Promise<FilterResult[]> {
  return inTransaction(pool, 'begin read only', async (client) => {
    await client.query(`set local statement_timeout = ${MAX_FILTER_MS}`);
    const results: FilterResult[] = [];
    for (const payload of payloads) {
      const { rows } = await client.query<FilterResult>(statement, [payload, filter]);
      results.push(...rows);
    }
    return results;
  });
}

const statement = `
select document is not null as "isHeld", document @@ $2::jsonpath as "isTrue"
from (select payload_document($1::text) as document offset 0) d`;
