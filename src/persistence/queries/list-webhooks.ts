// Which webhooks a list shows, newest first, and how many there are.
import type { Pool } from 'pg';
import { isSubscribedTo } from '../matching.ts';
import { Parameters, where } from './delivery-filter.ts';

export interface WebhookFilter {
  /** Null: everyone's. */
  readonly userId: string | null;
  readonly isActive: boolean | null;
  /** As it is stored. */
  readonly url: string | null;
  readonly eventType: string | null;
  /** Stands somewhere in the URL, the description or the id. */
  readonly text: string | null;
  readonly ids: readonly string[] | null;
}

export interface WebhookWindow {
  readonly limit: number;
  readonly offset: number;
  /** Only those that are older than this one. */
  readonly lastId: string | null;
}

/** Their ids. One user's by the index of the owner; everyone's by the primary key, as far as it takes to fill the page. */
export async function listWebhookIds(pool: Pool, filter: WebhookFilter, window: WebhookWindow): Promise<string[]> {
  const values = new Parameters();
  const conditions = conditionsOf(filter, values);
  if (window.lastId !== null) conditions.push(`w.id < ${values.add(window.lastId)}`);
  const text = `select w.id from webhook_endpoints w ${where(conditions)}
    order by w.id desc limit ${values.add(window.limit)} offset ${values.add(window.offset)}`;
  const { rows } = await pool.query<{ id: string }>(text, values.all);
  return rows.map(({ id }) => id);
}

/** Counts no further than `max`. */
export async function countWebhooks(pool: Pool, filter: WebhookFilter, max: number): Promise<number> {
  const values = new Parameters();
  const conditions = conditionsOf(filter, values);
  const text = `select count(*)::integer as n from (select 1 from webhook_endpoints w ${where(conditions)} limit ${values.add(max)}) c`;
  const { rows } = await pool.query<{ n: number }>(text, values.all);
  return rows[0]?.n ?? 0;
}

function conditionsOf({ userId, isActive, url, eventType, text, ids }: WebhookFilter, values: Parameters): string[] {
  const conditions = ['w.deleted_at is null'];
  if (userId !== null) conditions.push(`w.user_id = ${values.add(userId)}`);
  if (isActive !== null) conditions.push(isActive ? 'w.is_active' : 'not w.is_active');
  if (url !== null) conditions.push(`w.url = ${values.add(url)}`);
  if (eventType !== null) conditions.push(isSubscribedTo(`${values.add(eventType)}::text`, 'w.'));
  if (ids !== null) conditions.push(`w.id = any (${values.add([...ids])}::text[])`);
  if (text !== null) {
    const pattern = values.add(`%${text.replaceAll(/[\\%_]/g, String.raw`\$&`)}%`);
    conditions.push(`(w.url ilike ${pattern} or w.description ilike ${pattern} or w.id ilike ${pattern})`);
  }
  return conditions;
}
