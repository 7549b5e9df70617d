// What the sums of the delivery log consist of, as fragments of the statements that write and read them.
import { BUCKETS, bucketBoundsMs } from '../../domain/latency-histogram.ts';

/** An hour of a webhook gets a row when it has so many deliveries, or one that was not delivered. Of others the log is read: 19 rows an hour. */
export const BUSY_DELIVERIES = 20;
/** An hour of a webhook or a user says its event types when it has so many deliveries: of others a search reads the log itself. */
export const TYPED_DELIVERIES = 1000;
/** An hour of the platform names the deliveries of a type when there are no more than these. */
export const RARE_DELIVERIES = 50;

const buckets = Array.from({ length: BUCKETS }, (_, n) => n);

/** By status; what is in none of them is pending. */
const statusColumns = ['retrying', 'delivered', 'failed', 'cancelled'] as const;
export const bucketColumns: readonly string[] = buckets.map((n) => `ms_${n}`);
export const countColumns: readonly string[] = ['total', ...statusColumns, ...bucketColumns];

/** Which bucket of the histogram a duration is in; null for none. */
export const bucketOfDuration = (durationMs: string): string =>
  `width_bucket(${durationMs}, '{${bucketBoundsMs.join(',')}}'::integer[])`;

/** What is in the way of delivery `d`: the status of the last response, or the error of the last attempt; null when nothing is. */
export const causeOf = (d: string): string =>
  `case when ${d}.status not in ('delivered', 'cancelled') and ${d}.error_code is not null
    then coalesce('http_' || ${d}.http_status, ${d}.error_code) end`;

/** Aggregates over rows with `status` and `b`, their bucket; each row counts `weight` times. */
export const counted = (weight = '1'): string =>
  [
    `sum(${weight})::integer as total`,
    ...statusColumns.map((status) => `coalesce(sum(${weight}) filter (where status = '${status}'), 0)::integer as ${status}`),
    ...buckets.map((n) => `nullif(sum(${weight}) filter (where b = ${n}), 0)::integer as ms_${n}`),
  ].join(', ');

/** Aggregates over rows of sums. */
export const summed: string = countColumns.map((column) => `coalesce(sum(${column}), 0)::float8 as ${column}`).join(', ');

/** The assignments of `on conflict do update` that add what was to be inserted to row `s`. A type that a row does not name is not counted. */
export const added: string = [
  ...['total', ...statusColumns].map((column) => `${column} = s.${column} + excluded.${column}`),
  ...bucketColumns.map((column) => `${column} = nullif(coalesce(s.${column}, 0) + coalesce(excluded.${column}, 0), 0)`),
  'types = case when s.types is not null then add_counts(s.types, excluded.types) end',
  'causes = add_counts(s.causes, excluded.causes)',
].join(', ');

/** The same where row `s` may name deliveries. */
export const addedWithRare = `${added},
  rare = add_rare(s.rare, excluded.rare, add_counts(s.types, excluded.types), ${RARE_DELIVERIES})`;
