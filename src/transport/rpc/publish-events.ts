// EventService.PublishEvents: many events in one call, each with a result of its own.
import { createHash } from 'node:crypto';
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ServiceImpl } from '@connectrpc/connect';
import type { EventService, PublishEventRequest } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import type { ErrorCode, ServiceError } from '../../domain/errors.ts';
import type { Principal } from '../../security/tokens.ts';
import type { PublishContext } from '../../service/publish-event.ts';
import { principalOf } from '../call/call-context.ts';
import { checkOne, publishChecked, publishOne, publishResult } from './publish-result.ts';
import type { Checked, Outcome } from './publish-result.ts';

/** How long one batch is worked on before others have their turn: reading payloads of 16 MiB takes hundreds of milliseconds. */
const TURN_MS = 10;
/** Failures of the service and not of the event: when they are all there is, the call itself has failed, and is repeated as one. */
const OUR_FAULTS: ReadonlySet<ErrorCode> = new Set(['unavailable', 'internal', 'deadline_exceeded']);

function isOurs({ code, reason }: ServiceError): boolean {
  return OUR_FAULTS.has(code) || reason === 'overloaded';
}

export function publishEvents(context: PublishContext): ServiceImpl<typeof EventService>['publishEvents'] {
  return async (request, call) => {
    const principal = principalOf(call);
    const { events, idempotencyKey } = request;
    const outcomes =
      idempotencyKey === ''
        ? await inTurns(events, (event) => publishOne(context, principal, event, call.requestHeader))
        : await publishOnce(context, principal, { events, key: idempotencyKey, method: call.method.name }, call.requestHeader);
    const errors = outcomes.flatMap((outcome) => ('error' in outcome ? [outcome.error] : []));
    // An accepted status with nothing accepted in it would end up as lost events in callers that look at the status alone.
    if (errors.length === outcomes.length && errors.every(isOurs)) throw errors[0];
    return { results: outcomes.map(publishResult), accepted: outcomes.length - errors.length, rejected: errors.length };
  };
}

interface KeyedBatch {
  readonly events: readonly PublishEventRequest[];
  readonly key: string;
  readonly method: string;
}

// Each event gets a key of its own from that of the batch, so that it is committed together with its event and a repeated batch goes on where
// the first one stopped. All are looked at before anything is written: another batch under the same key is refused as a whole.
async function publishOnce(
  context: PublishContext,
  principal: Principal,
  { events, key, method }: KeyedBatch,
  header: Headers,
): Promise<Outcome[]> {
  const prefix = sha256(key);
  const checked = await inTurns(events, (event, index) =>
    checkOne(context, principal, event, header, `batch ${prefix}/${index}`),
  );
  const batchHash = sha256(JSON.stringify([principal.role, checked.map(fingerprint)]));
  await context.publisher.takeBatchKey(principal.userId, method, key, batchHash);
  return Promise.all(checked.map((event) => publishChecked(context, event)));
}

// What cannot be published is never written, so what is wrong with it stands for it.
function fingerprint(checked: Checked): readonly (string | null)[] {
  if ('row' in checked) return [checked.row.idempotencyKey, checked.row.requestHash];
  const { reason, message } = checked.error;
  return [reason, message];
}

function sha256(text: string): string {
  return createHash('sha256').update(text).digest('base64url');
}

/** Works on each item in order, and lets others have their turn in between. */
async function inTurns<Item, Result>(
  items: readonly Item[],
  work: (item: Item, index: number) => Result | Promise<Result>,
): Promise<Result[]> {
  const results: (Result | Promise<Result>)[] = [];
  let turnEndsAt = performance.now() + TURN_MS;
  for (const [index, item] of items.entries()) {
    results.push(work(item, index));
    if (performance.now() < turnEndsAt) continue;
    await nextTurn();
    turnEndsAt = performance.now() + TURN_MS;
  }
  return Promise.all(results);
}
