// EventService.PublishEvents: many events in one call, each with a result of its own.
import { setImmediate as nextTurn } from 'node:timers/promises';
import type { ServiceImpl } from '@connectrpc/connect';
import type { EventService } from '../../../gen/homechef/webhook/v1/event_pb.ts';
import type { ErrorCode, ServiceError } from '../../domain/errors.ts';
import type { PublishContext } from '../../service/publish-event.ts';
import { principalOf } from '../call/call-context.ts';
import { publishOne, publishResult } from './publish-result.ts';
import type { Outcome } from './publish-result.ts';

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
    const published: Promise<Outcome>[] = [];
    let turnEndsAt = performance.now() + TURN_MS;
    for (const event of request.events) {
      published.push(publishOne(context, principal, event, call.requestHeader));
      if (performance.now() < turnEndsAt) continue;
      await nextTurn();
      turnEndsAt = performance.now() + TURN_MS;
    }
    const outcomes = await Promise.all(published);
    const errors = outcomes.flatMap((outcome) => ('error' in outcome ? [outcome.error] : []));
    // An accepted status with nothing accepted in it would end up as lost events in callers that look at the status alone.
    if (errors.length === outcomes.length && errors.every(isOurs)) throw errors[0];
    return { results: outcomes.map(publishResult), accepted: outcomes.length - errors.length, rejected: errors.length };
  };
}
