// What a replay selects, checked: the same for one webhook and for many.
import { attemptErrors, type DeliveryStatus } from '../domain/delivery.ts';
import { invalid } from '../domain/errors.ts';
import { idFloor } from '../domain/ids.ts';
import { replayableStatuses, type ReplayableStatus, type ReplayFilter } from '../persistence/queries/replay-selection.ts';
import type { ManagementContext } from './context.ts';
import { unknownEventType } from './event-catalogue.ts';

/** The id characters of a moment, without the random ones: below every id that is made from then on. */
const TIME_PREFIX_LENGTH = 'delivery_'.length + 10;

/** Empty lists and nulls do not narrow. Times are in milliseconds since 1970. */
export interface SelectionInput {
  readonly statuses: readonly DeliveryStatus[];
  readonly eventTypes: readonly string[];
  readonly sinceMs: number | null;
  readonly untilMs: number | null;
  readonly errorCodes: readonly string[];
  readonly httpStatuses: readonly number[];
  readonly includeMissing: boolean;
}

/** Throws for a selection that nothing could ever match. */
export function toFilter(
  { catalogue }: Pick<ManagementContext, 'catalogue'>,
  input: SelectionInput,
  nowMs: number,
): ReplayFilter {
  const { eventTypes, errorCodes, httpStatuses, includeMissing, sinceMs, untilMs } = input;
  const statuses = statusesOf(input.statuses);
  for (const [index, name] of eventTypes.entries()) {
    if (catalogue.find(name) === undefined) throw unknownEventType(`event_types[${index}]`);
  }
  for (const [index, code] of errorCodes.entries()) {
    if (!Object.hasOwn(attemptErrors, code)) {
      throw invalid('field_invalid', `error_codes[${index}]`, 'is not the code of an error of attempts; the README lists them');
    }
  }
  if (errorCodes.length > 0 && statuses.every((status) => status === 'delivered')) {
    throw invalid('field_invalid', 'error_codes', 'no delivered one has an error, so nothing can match');
  }
  if (includeMissing && (errorCodes.length > 0 || httpStatuses.length > 0)) {
    throw invalid('field_invalid', 'include_missing', 'what was never made has no error and no answer; leave them out');
  }
  if (sinceMs !== null && sinceMs >= (untilMs ?? nowMs)) {
    throw invalid(
      'time_range_invalid',
      untilMs === null ? 'since' : 'until',
      'selects nothing: until must be after since, and since in the past',
    );
  }
  return {
    statuses,
    event_types: eventTypes.toSorted(),
    error_codes: errorCodes.toSorted(),
    http_statuses: httpStatuses.toSorted((one, other) => one - other),
    include_missing: includeMissing,
    cursor: floorOf(sinceMs ?? 0),
    since_ms: sinceMs,
    until_ms: untilMs,
  };
}

function statusesOf(statuses: readonly DeliveryStatus[]): ReplayableStatus[] {
  for (const [index, status] of statuses.entries()) {
    if (!replayableStatuses.some((name) => name === status)) {
      throw invalid(
        'field_invalid',
        `statuses[${index}]`,
        `must be one of ${replayableStatuses.join(', ')}; what has not ended is sent without a replay`,
      );
    }
  }
  return statuses.length === 0 ? ['failed'] : replayableStatuses.filter((name) => statuses.includes(name));
}

/** What ends later than the replay began is not sent again. */
export function stopOf({ until_ms }: ReplayFilter, nowMs: number): string {
  return floorOf(Math.min(until_ms ?? nowMs + 1, nowMs + 1));
}

function floorOf(ms: number): string {
  return idFloor('delivery', Math.max(0, Math.ceil(ms))).slice(0, TIME_PREFIX_LENGTH);
}
