// One event with what became of it, for its publisher.
import type { Pool } from 'pg';
import type { DeliveryStatus } from '../../domain/delivery.ts';
import { isSubscribedTo } from '../matching.ts';
import { ofEvent } from './list-events.ts';

export interface StoredEvent {
  readonly id: string;
  readonly eventType: string;
  readonly publisher: string;
  readonly occurredAtMs: number;
  readonly createdAtMs: number;
  /** Canonical JSON text. */
  readonly data: string;
  readonly userIds: readonly string[];
  readonly broadcast: boolean;
}

export interface Recipient {
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly userId: string;
  readonly status: DeliveryStatus;
}

/** @param publisher null: any publisher */
export async function findEvent(pool: Pool, eventId: string, publisher: string | null): Promise<StoredEvent | undefined> {
  const { rows } = await pool.query<StoredEvent>(
    `select e.id, e.event_type as "eventType", e.publisher, e.data, e.user_ids as "userIds", e.broadcast,
       (extract(epoch from e.occurred_at) * 1000)::float8 as "occurredAtMs", (extract(epoch from e.created_at) * 1000)::float8 as "createdAtMs"
     from events e where e.id = $1 and ($2::text is null or e.publisher = $2)`,
    [eventId, publisher],
  );
  return rows[0];
}

/** How many deliveries it has in each status. At most as many as a broadcast may make: a hundred thousand, some 100 ms. */
export async function countRecipients(pool: Pool, eventId: string): Promise<Map<DeliveryStatus, number>> {
  const { rows } = await pool.query<{ status: DeliveryStatus; n: number }>(
    `select d.status, count(*)::integer as n from deliveries d where ${ofEvent('$1::text')} group by d.status`,
    [eventId],
  );
  return new Map(rows.map(({ status, n }) => [status, n]));
}

/** The first of them, by the ids of their deliveries. */
export async function listRecipients(pool: Pool, eventId: string, limit: number): Promise<Recipient[]> {
  const { rows } = await pool.query<Recipient>(
    `select d.id as "deliveryId", d.webhook_id as "webhookId", d.user_id as "userId", d.status
     from deliveries d where ${ofEvent('$1::text')} order by d.id limit $2`,
    [eventId, limit],
  );
  return rows;
}

/** What webhooks there are now that an event concerns. */
export interface Concerned {
  /** Of its audience, of whatever type. */
  readonly hasAny: boolean;
  /** Subscribed to its type. */
  readonly hasSubscribed: boolean;
  /** And active. */
  readonly hasActive: boolean;
  /** And the payload passes its filter, if it has one: it would get the event now. */
  readonly hasPassed: boolean;
}

export async function findConcerned(
  pool: Pool,
  { userIds, broadcast, eventType, data }: Pick<StoredEvent, 'userIds' | 'broadcast' | 'eventType' | 'data'>,
): Promise<Concerned> {
  const { rows } = await pool.query<Concerned>({
    name: 'find-concerned-webhooks',
    text: concerned,
    values: [[...userIds], broadcast, eventType, data],
  });
  return rows[0] ?? { hasAny: false, hasSubscribed: false, hasActive: false, hasPassed: false };
}

// Each `exists` ends at the first webhook it finds, and each has an index of its own: of users, of types, of the platform.
const subscribed = `w.deleted_at is null and ${isSubscribedTo('$3::text', 'w.')}`;
const ofAudience = `w.scope = 'user' and w.user_id = any ($1::text[])`;
const any = (conditions: string): string => `exists (select 1 from webhook_endpoints w where ${conditions})`;
const anyConcerned = (conditions: string): string =>
  `(case when $2::boolean then ${any(`w.scope = 'user' and ${conditions}`)} else ${any(`${ofAudience} and ${conditions}`)} end
    or ${any(`w.scope = 'platform' and ${conditions}`)})`;
const active = `${subscribed} and w.is_active`;
const passed = `${active} and (w.filter_path is null or ((select payload_document($4::text)) @@ w.filter_path) is true)`;
const concerned = `
select ${anyConcerned(passed)} as "hasPassed", ${anyConcerned(active)} as "hasActive", ${anyConcerned(subscribed)} as "hasSubscribed",
  case when $2::boolean then ${any('w.deleted_at is null')} else ${any(`${ofAudience} and w.deleted_at is null`)} end as "hasAny"`;
