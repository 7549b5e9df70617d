// A delivery log of many days, made by SQL: one webhook has a tenth of it, ten have a fiftieth each, 9,989 share the rest.
import type { Pool } from 'pg';

export const DAYS = 30;
export const WEBHOOKS = 10_000;
/** Whose webhooks all of them are, unless another user is named. */
export const OPERATOR = 'operator';
export const webhookId = (n: number): string => `webhook_${String(n).padStart(26, '0')}`;
/** Has a hundred-thousandth of the log. */
export const RARE_TYPE = 'chef.approved';

export async function fillLog(pool: Pool, rows: number, onDay: (day: number) => void, owner = OPERATOR): Promise<void> {
  await pool.query(`select ensure_partitions((now() at time zone 'utc')::date - ${DAYS - 1}, ${DAYS + 8})`);
  await pool.query(
    `insert into webhook_endpoints (id, user_id, url, events, secret, secret_hint, created_at)
     select 'webhook_' || lpad(n::text, 26, '0'), $2, 'https://example.com', '["order.created"]', 's', 'h', now() - interval '40 days'
     from generate_series(1, $1::integer) n`,
    [WEBHOOKS, owner],
  );
  for (let day = DAYS - 1; day >= 0; day -= 1) {
    await pool.query({ text: fillDay, values: [day, Math.ceil(rows / DAYS), owner] });
    onDay(day);
  }
  await pool.query(`update summing set hours_below = f.id, days_below = f.id, closing_below = f.id, log_from = f.day, begins_at = now()
    from (select day, id_floor('delivery', day) as id from (select (now() at time zone 'utc')::date::timestamp at time zone 'utc' - interval '${DAYS - 1} days' as day) d) f`);
  await pool.query(`update adoption set adopted_below = id_floor('delivery', now())`);
}

// Ids of one tick of two seconds share their time, so that its text is made once; today ends two minutes ago. How many a tick
// has names the tick, or it would be drawn once for all.
const fillDay = `
with tick as materialized (
  select n, at, substr(id_floor('delivery', at), 10, 10) as prefix from (
    select n, (now() at time zone 'utc')::date::timestamp at time zone 'utc' - $1::integer * interval '1 day' + n * interval '2 seconds' as at
    from generate_series(0, 43199) n) t
  where at < now() - interval '2 minutes'
), r as (
  select t.at, t.prefix, random() as w, random() as s, random() as e, random() as k, random() as d
  from tick t cross join lateral generate_series(1, floor($2::integer / 43200.0 + random() + t.n * 0)::integer)
), p as (
  select r.*, case when w < 0.1 then 1 when w < 0.3 then 2 + floor((w - 0.1) * 50)::integer else 12 + floor(e * ${WEBHOOKS - 11})::integer end as hook,
    case when s < 0.95 then 'delivered' when s < 0.985 then 'failed' when s < 0.998 then 'cancelled' else 'delivered' end as st,
    case when s between 0.95 and 0.985 then case when k < 0.6 then 'http_status' when k < 0.9 then 'timeout' else 'connection_refused' end end as err
  from r
)
insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, attempt_count, attempted_at, duration_ms, http_status, response,
  error_code, last_trigger, delivered_at, failed_at, cancelled_at, created_at, updated_at, changed_at)
select 'delivery_' || prefix || substr(md5(random()::text), 1, 16), 'event_' || prefix || substr(md5(random()::text), 1, 16),
  'webhook_' || lpad(hook::text, 26, '0'), $3,
  case when k < 0.3 then 'order.created' when k < 0.55 then 'order.completed' when k < 0.7 then 'order.cancelled' when k < 0.85 then 'payment.success'
    when k < 0.99 then 'delivery.assigned' when k < 0.99999 then 'tip.received' else '${RARE_TYPE}' end,
  st, case st when 'cancelled' then 0 when 'failed' then 4 else 1 end, case when st <> 'cancelled' then at end,
  case when st <> 'cancelled' then (5 + 400 * d * d * d)::integer end,
  case when st = 'delivered' then 200 when err = 'http_status' then 500 end, case when st = 'delivered' then 'ok' end, err,
  case when st <> 'cancelled' then 'automatic' end, case when st = 'delivered' then at + interval '80 milliseconds' end,
  case when st = 'failed' then at + interval '7 minutes' end, case when st = 'cancelled' then at + interval '1 minute' end,
  at, at + interval '80 milliseconds', case when st <> 'delivered' or s > 0.998 then at + interval '7 minutes' end
from p`;
