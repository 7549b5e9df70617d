// Deliveries of the past, written straight into the tables: a day of traffic that a test cannot wait for.
import type { Pool } from 'pg';
import { DEVELOPER } from './service.ts';

export interface History {
  readonly webhookId: string;
  readonly eventTypes: readonly string[];
  readonly amount: number;
  /** Ends now. */
  readonly hours: number;
  /** Of deliveries given up, from 0 to 1. */
  readonly failing: number;
  readonly errors: readonly { readonly code: string; readonly status: number | null; readonly response: string | null }[];
  /** What half of the answers are faster than. */
  readonly medianMs: number;
}

/** Busy around noon and in the evening, as kitchens are; the same every time it is asked. */
export async function writeHistory(pool: Pool, history: History): Promise<void> {
  const client = await pool.connect();
  try {
    await client.query('select setseed(0.42)');
    await client.query(statement, [
      history.webhookId,
      DEVELOPER,
      history.eventTypes,
      history.amount,
      history.hours * 3600,
      history.failing,
      history.errors.map((error) => error.code),
      history.errors.map((error) => error.status),
      history.errors.map((error) => error.response),
      history.medianMs,
    ]);
  } finally {
    client.release();
  }
}

const statement = `
with moments as (
  select moment, n from (
    select now() - interval '90 seconds' - random() * $5 * interval '1 second' as moment, random() as lot, n
    from generate_series(1, $4::integer * 3) n
  ) drawn
  where lot < 0.25 + 0.5 * exp(-power(extract(hour from moment) - 12.5, 2) / 4) + 0.6 * exp(-power(extract(hour from moment) - 19, 2) / 5)
  limit $4
), made as materialized (
  select moment,
    left(id_floor('delivery', moment), -16) || substr(md5($1 || n || 'delivery'), 1, 16) as id,
    left(id_floor('event', moment), -16) || substr(md5($1 || n || 'event'), 1, 16) as event_id,
    ($3::text[])[1 + floor(random() * array_length($3::text[], 1))::integer] as event_type,
    random() < $6::double precision as given_up,
    random() < 0.02 + $6::double precision / 3 as stumbled,
    1 + floor(power(random(), 2) * array_length($7::text[], 1))::integer as error,
    greatest(3, round($10::double precision * exp(0.55 * sqrt(-2 * ln(1 - random())) * cos(6.2832 * random()))))::integer as duration_ms,
    n
  from moments
), events_made as (
  insert into events (id, event_type, data, occurred_at, publisher, user_ids, broadcast, created_at)
  select event_id, event_type,
    '{"order_id":"order_' || substr(md5(event_id), 1, 8) || '","customer":{"name":"Amina K.","district":"Kilimani"},"total_amount":' || round((8 + random() * 60)::numeric, 2) || ',"currency":"USD","items":[{"dish":"Pilau","quantity":2},{"dish":"Kachumbari","quantity":1}]}',
    moment, 'order-service', array[$2::text], false, moment
  from made
), attempts_made as (
  insert into attempts (delivery_id, number, started_at, duration_ms, http_status, response, error_code, error_message, trigger)
  select id, number, moment + interval '1 minute' * (number - 1), duration_ms, ($8::integer[])[error], ($9::text[])[error],
    ($7::text[])[error], 'The receiver did not accept it.', 'automatic'
  from made, generate_series(1, 4) number
  where (given_up and number <= 4) or (stumbled and not given_up and number <= 1)
)
insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, attempt_count, retries_used, attempted_at, duration_ms,
  http_status, response, error_code, error_message, last_trigger, delivered_at, failed_at, created_at, updated_at)
select id, event_id, $1, $2, event_type,
  case when given_up then 'failed' else 'delivered' end,
  case when given_up then 4 when stumbled then 2 else 1 end,
  case when given_up then 3 when stumbled then 1 else 0 end,
  moment + interval '40 milliseconds', duration_ms,
  case when given_up then ($8::integer[])[error] else 200 end,
  case when given_up then ($9::text[])[error] else '{"received":true}' end,
  case when given_up then ($7::text[])[error] end,
  case when given_up then 'The receiver did not accept it.' end,
  'automatic',
  case when not given_up then moment + interval '90 milliseconds' end,
  case when given_up then moment + interval '7 minutes' end,
  moment, least(now(), moment + interval '7 minutes')
from made`;
