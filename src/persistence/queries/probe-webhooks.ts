// The statements that find the webhooks to be probed, and put those back to work whose receivers are back.
import type { Pool } from 'pg';
import type { ChangedField } from '../../domain/webhook-change.ts';
import { Hold, isHeld } from '../delivery-state.ts';
import { MAX_COUNTED_HELD } from './count-held.ts';

/**
 * A probe sends one of so many of the oldest held deliveries, each in its turn: a receiver that refuses the very oldest, and would take all others, is
 * found to be back by the second.
 */
export const PROBED_IN_TURN = 5;

export interface DueProbe {
  readonly webhookId: string;
  /** One of the oldest of its deliveries that are held; null when none is. */
  readonly deliveryId: string | null;
}

export interface DueProbes {
  readonly probes: readonly DueProbe[];
  /** Those that were away for so long that they are probed no more. */
  readonly ended: readonly { readonly webhookId: string; readonly userId: string }[];
  /** Whether more may be due. */
  readonly isMore: boolean;
}

export interface TakeProbes {
  /** Between two probes of a webhook. */
  readonly intervalMs: number;
  /** Since it was stopped. */
  readonly days: number;
  readonly max: number;
}

/**
 * Takes webhooks whose probe is due. Their next one is set in the same statement, so two processes that both believe to lead do not probe the
 * same. One whose owner has decided since is probed no more.
 */
export async function takeProbes(pool: Pool, { intervalMs, days, max }: TakeProbes): Promise<DueProbes> {
  const { rows } = await pool.query<{
    webhookId: string;
    userId: string;
    isProbed: boolean;
    isOver: boolean;
    deliveryId: string | null;
  }>({
    name: 'take-probes',
    text: take,
    values: [intervalMs, days, max],
  });
  return {
    probes: rows
      .filter(({ isProbed, isOver }) => isProbed && !isOver)
      .map(({ webhookId, deliveryId }) => ({ webhookId, deliveryId })),
    ended: rows.filter(({ isProbed, isOver }) => isProbed && isOver),
    isMore: rows.length === max,
  };
}

/**
 * Gives a first probe to webhooks that a process without probes has stopped, some time within an interval, so that not all are sent at once. One that
 * a caller has changed since it was stopped is left alone: its owner may have decided. Answers how many.
 */
export async function scheduleMissedProbes(pool: Pool, { intervalMs, days, max }: TakeProbes): Promise<number> {
  if (days === 0) return 0;
  const { rowCount } = await pool.query({ name: 'schedule-missed-probes', text: missed, values: [intervalMs, days, max] });
  return rowCount ?? 0;
}

/**
 * Leases a held delivery for a probe, for so long. It stays held: should this process die, nothing is to be put right. A release that makes it
 * due meanwhile finds the lease, and waits for it.
 * @returns the end of the lease, in milliseconds since 1970: its token; null when the delivery is not held any more
 */
export async function leaseHeld(pool: Pool, deliveryId: string, leaseMs: number): Promise<number | null> {
  const { rows } = await pool.query<{ until: number }>({ name: 'lease-held', text: lease, values: [deliveryId, leaseMs] });
  return rows[0]?.until ?? null;
}

export interface CameBack {
  readonly userId: string;
  readonly how: 'enabled' | 'resumed';
}

/**
 * Enables a webhook again, or resumes it, as it was stopped. Its failures are forgotten: counted on, the next one would stop it again at once.
 * @param revision as it was when it was probed. Null is returned when it was changed since, for then something else was probed.
 * @param release the id and the pace of the release that sends what is held, should it be paused
 */
export async function bringBack(
  pool: Pool,
  webhookId: string,
  revision: number,
  release: { readonly id: string; readonly rate: number },
): Promise<CameBack | null> {
  const { rows } = await pool.query<CameBack>({
    name: 'bring-back',
    text: back,
    values: [webhookId, revision, release.id, release.rate, JSON.stringify(ENABLED), JSON.stringify(RESUMED)],
  });
  return rows[0] ?? null;
}

const ENABLED: readonly ChangedField[] = [
  { field: 'is_active', old: false, new: true },
  { field: 'disabled_reason', old: 'failing', new: null },
];
const RESUMED: readonly ChangedField[] = [
  { field: 'paused', old: true, new: false },
  { field: 'paused_reason', old: 'failing', new: null },
];

/** Whether the service has stopped webhook `w` for failing, and no caller has decided otherwise since. */
const isDisabled = `(w.disabled_reason = 'failing' and not w.is_active and w.deleted_at is null)`;
const isPaused = `(w.paused_reason = 'failing' and w.hold = ${Hold.paused} and w.is_active and w.deleted_at is null)`;

/** When the service has stopped webhook `w`. */
const stoppedAt = `case when ${isPaused} then w.paused_at else w.disabled_at end`;

// Stopping a webhook sets updated_at and the time of the stop in one statement; a change by a caller sets updated_at alone. The terms of the index
// stand first: while every stopped webhook has its probe the look finds it empty.
const missed = `
update webhook_endpoints t set next_probe_at = now() + random() * $1::float8 * interval '1 millisecond'
where t.id = any (array(
  select w.id from webhook_endpoints w
  where w.next_probe_at is null and w.deleted_at is null and (w.disabled_reason = 'failing' or w.paused_reason = 'failing')
    and (${isDisabled} or ${isPaused}) and ${stoppedAt} > now() - make_interval(days => $2::integer)
    and w.updated_at at time zone 'utc' <= ${stoppedAt}
  limit $3 for update skip locked))`;

// Of what a disabled webhook had nothing waits: it was cancelled.
const take = `
with due as materialized (
  select w.id, w.user_id, w.paused_at, ${isDisabled} or ${isPaused} as is_probed, ${isPaused} as is_paused,
    coalesce(${stoppedAt}, now()) < now() - make_interval(days => $2::integer) as is_over
  from webhook_endpoints w where w.next_probe_at <= now() order by w.next_probe_at limit $3 for update skip locked
), moved as (
  update webhook_endpoints w
  set next_probe_at = case when d.is_probed and not d.is_over then now() + $1::float8 * interval '1 millisecond' end
  from due d where w.id = d.id
), noted as (
  insert into webhook_changes (webhook_id, action, reason)
  select id, 'probing_ended', 'receiver_away' from due where is_probed and is_over
)
select id as "webhookId", user_id as "userId", is_probed as "isProbed", is_over as "isOver",
  case when is_paused then (
    select o.id from (
      select d.id, d.attempted_at from deliveries d where d.webhook_id = due.id and ${isHeld} order by d.id limit ${PROBED_IN_TURN}
    ) o
    order by greatest(o.attempted_at, due.paused_at), o.id limit 1
  ) end as "deliveryId"
from due`;

const lease = `
update deliveries d set leased_until = date_trunc('milliseconds', now() + $2::float8 * interval '1 millisecond')
where d.id = $1 and ${isHeld} and (d.leased_until is null or d.leased_until < now())
returning (extract(epoch from d.leased_until) * 1000)::float8 as until`;

const forgetFailures = `consecutive_failures = 0, failing_since = null, next_probe_at = null, revision = revision + 1,
    updated_at = now() at time zone 'utc'`;

const back = `
with w as materialized (
  select w.id, w.user_id, ${isDisabled} as is_disabled from webhook_endpoints w
  where w.id = $1 and w.revision = $2 and (${isDisabled} or ${isPaused}) for update
), enabled as (
  update webhook_endpoints t set is_active = true, disabled_reason = null, disabled_at = null, ${forgetFailures}
  from w where t.id = w.id and w.is_disabled
), released as (
  insert into releases (id, webhook_id, user_id, kind, rate, matched, is_matched_lower_bound)
  select $3, w.id, w.user_id, 'resume', $4::integer, held.n, held.n = ${MAX_COUNTED_HELD}
  from w cross join lateral (
    select count(*) as n from (select 1 from deliveries d where d.webhook_id = w.id and ${isHeld} limit ${MAX_COUNTED_HELD}) x
  ) held
  where not w.is_disabled
), resumed as (
  update webhook_endpoints t
  set hold = ${Hold.releasing}, is_gathering = true, release_id = $3, paused_reason = null, paused_at = null, ${forgetFailures}
  from w where t.id = w.id and not w.is_disabled
), noted as (
  insert into webhook_changes (webhook_id, action, fields, reason)
  select id, case when is_disabled then 'enabled' else 'resumed' end, case when is_disabled then $5::jsonb else $6::jsonb end, 'receiver_back'
  from w
)
select user_id as "userId", case when is_disabled then 'enabled' else 'resumed' end as how from w`;
