// Asks the receiver of a webhook that the service has stopped whether it is back, with one of its own deliveries or a ping.
import type { Pool } from 'pg';
import { hasBegun, hasExpired, type NotBegun, type Outcome } from '../domain/delivery.ts';
import { loadDeliveries } from '../persistence/queries/load-deliveries.ts';
import { type DueProbe, leaseHeld } from '../persistence/queries/probe-webhooks.ts';
import type { Attempt } from './attempt.ts';
import { pingParts } from './ping.ts';
import { GONE } from './outcome-store.ts';
import type { Recorder } from './recorder.ts';
import type { Task } from './task.ts';
import type { Target, WebhookDirectory } from './webhook-directory.ts';

/** ms. A receiver that hangs has no longer, whatever the webhook's own timeout is: few probes are under way at once. */
const MAX_PROBE_MS = 15_000;
/** ms. Of the delivery that a probe sends: the longest probe, and the time to write its outcome. */
const LEASE_MS = MAX_PROBE_MS + 10_000;

/** `not_tried`: this process could not send the request, which says nothing about the receiver. */
export type ProbeResult = 'succeeded' | 'failed' | 'gone' | 'not_tried';

export interface Probed {
  readonly result: ProbeResult;
  /** Of the webhook as it was probed. */
  readonly revision: number;
  /** Requests a second at that revision; 0 means no limit. */
  readonly rateLimit: number;
}

/** Sends one request; never waits longer than MAX_PROBE_MS for its outcome. */
export type Prober = (probe: DueProbe) => Promise<Probed>;

export interface ProberOptions {
  readonly pool: Pool;
  readonly directory: Pick<WebhookDirectory, 'load'>;
  readonly recorder: Pick<Recorder, 'recordProbe'>;
  readonly send: Attempt;
  /** Milliseconds since 1970 by the database's clock. */
  readonly now: () => number;
}

export function createProber(options: ProberOptions): Prober {
  return async ({ webhookId, deliveryId }) => {
    const found = await options.directory.load(webhookId);
    // Without the key nothing can be signed.
    if (found === null || found.lacksKey) return { result: 'not_tried', revision: 0, rateLimit: 0 };
    const policy = { ...found.policy, timeoutMs: Math.min(found.policy.timeoutMs, MAX_PROBE_MS) };
    const target = { ...found, policy };
    const task = deliveryId === null ? null : await takeHeld(options, webhookId, deliveryId);
    const outcome = await (task === null ? ping(options, target) : sendHeld(options, target, task));
    const result = hasBegun(outcome) ? resultOf(outcome) : 'not_tried';
    return { result, revision: found.revision, rateLimit: found.rateLimit };
  };
}

async function ping({ send, now }: ProberOptions, target: Target): Promise<Outcome | NotBegun> {
  const { outcome } = await send(target, pingParts(target.id, now()), 1);
  return outcome;
}

/** Null when it is not held any more, its `deliver_before` has come, or its payload cannot be read. */
async function takeHeld({ pool, now }: ProberOptions, webhookId: string, deliveryId: string): Promise<Task | null> {
  // Before the statement: this process gives the lease up no later than it ends.
  const expiresAt = performance.now() + LEASE_MS;
  const token = await leaseHeld(pool, deliveryId, LEASE_MS);
  if (token === null) return null;
  const [row] = await loadDeliveries(pool, [{ deliveryId, token }]);
  if (row === undefined || row.data === null) return null;
  if (hasExpired(row.deliverBeforeMs, now())) return null;
  const lease = { deliveryId, webhookId, leasedIn: 'row', token, expirations: row.rowExpirations, expiresAt } as const;
  return { ...row, deliveryId, lease, isInserted: false };
}

async function sendHeld({ send, recorder }: ProberOptions, target: Target, task: Task): Promise<Outcome | NotBegun> {
  const { outcome, traceId } = await send(target, task, task.attemptCount + task.lease.expirations + 1);
  if (hasBegun(outcome)) recorder.recordProbe(task, outcome, target, traceId);
  return outcome;
}

function resultOf({ error, httpStatus }: Outcome): ProbeResult {
  if (error === null) return 'succeeded';
  if (error === 'shutdown') return 'not_tried';
  return httpStatus === GONE ? 'gone' : 'failed';
}
