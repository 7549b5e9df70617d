// Sums of the delivery log: an hour of a webhook that was busy or in trouble, a day of every webhook, and what changed after it was counted.
import { Migration } from '@mikro-orm/migrations';

/** Columns of the histogram; src/domain/latency-histogram.ts has their bounds. */
const BUCKETS = 41;

const sumColumns = `
     total integer not null,
     retrying integer not null,
     delivered integer not null,
     failed integer not null,
     cancelled integer not null,
     ${Array.from({ length: BUCKETS }, (_, n) => `ms_${n} integer,`).join(' ')}
     types jsonb,
     causes jsonb`;

export class Migration20261128121000_sum_up_the_log extends Migration {
  override up(): void {
    for (const statement of statements) this.addSql(statement);
  }

  override down(): void {
    this.addSql('drop table hour_sums, day_sums, late_changes, summing');
    this.addSql('drop function add_counts(jsonb, jsonb)');
    this.addSql('drop function add_rare(jsonb, jsonb, jsonb, integer)');
  }
}

const statements = [
  // The user '' and the webhook '' stand for all of them: rows of one webhook, of one user, and of the platform.
  `create table hour_sums (
     webhook_id varchar(64) collate "C" not null,
     user_id varchar(255) collate "C" not null,
     hour timestamptz not null,
     ${sumColumns},
     rare jsonb,
     primary key (webhook_id, user_id, hour)
   ) with (fillfactor = 80)`,
  `comment on table hour_sums is
     'Complete below summing.hours_below. An hour without a row of a webhook or user is to be counted in the log; one without a row of the platform had no delivery'`,
  `comment on column hour_sums.types is 'Deliveries by event type: in the rows of the platform, and in those of 1,000 deliveries or more'`,
  `comment on column hour_sums.causes is 'Deliveries that failed or are retried, by the error of their last attempt'`,
  `comment on column hour_sums.rare is 'Of the platform: the deliveries of each event type that this hour has few of'`,
  // Hours leave with the log, oldest first.
  `create index hour_sums_by_hour on hour_sums (hour)`,
  `create index hour_sums_troubled on hour_sums (hour) include (webhook_id, user_id, failed, retrying)
     where failed + retrying > 0 and webhook_id <> ''`,

  `create table day_sums (
     webhook_id varchar(64) collate "C" not null,
     user_id varchar(255) collate "C" not null,
     day date not null,
     ${sumColumns},
     primary key (webhook_id, user_id, day)
   ) with (fillfactor = 80)`,
  `comment on table day_sums is 'Complete below summing.days_below: a day without a row had no delivery. Kept for longer than the log'`,
  `create index day_sums_by_day on day_sums (day)`,

  `create table late_changes (
     delivery_id varchar(64) collate "C" not null,
     webhook_id varchar(64) collate "C" not null,
     user_id varchar(255) collate "C" not null,
     event_type varchar(100) not null,
     old_status varchar(20),
     old_duration_ms integer,
     old_cause text,
     status varchar(20) not null,
     duration_ms integer,
     cause text
   ) with (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 10000)`,
  `comment on table late_changes is
     'Changes of deliveries below summing.closing_below, each written by the statement that made it and folded into the sums by the leader'`,

  `create table summing (
     hours_below varchar(64) collate "C" not null,
     days_below varchar(64) collate "C" not null,
     closing_below varchar(64) collate "C" not null,
     log_from timestamptz not null,
     begins_at timestamptz not null
   ) with (fillfactor = 10)`,
  `comment on column summing.closing_below is 'Whoever changes a delivery below this id writes a late change in the same statement'`,
  `comment on column summing.log_from is 'From then on the log is complete; before, sums are all there is'`,
  `comment on column summing.begins_at is 'Until then processes of the version before may run, which write no late changes'`,
  `insert into summing
     select first_id, first_id, first_id, day, case when is_empty then now() else now() + interval '1 hour' end
     from (select min(id) as oldest, min(id) is null as is_empty from deliveries) d
     cross join lateral (select date_trunc('day', coalesce(id_time(oldest), now() - interval '1 day'), 'UTC') as day) s
     cross join lateral (select id_floor('delivery', day) as first_id) f`,

  // Null stands for what was not counted, and stays so. A key that comes to nothing goes.
  `create function add_counts(a jsonb, b jsonb) returns jsonb language sql immutable parallel safe as $$
     select case when b is null then a else (
       select jsonb_object_agg(key, n) from (
         select key, sum(value::bigint) as n
         from (select * from jsonb_each_text(coalesce(a, '{}')) union all select * from jsonb_each_text(b)) both_of_them
         group by key having sum(value::bigint) <> 0
       ) x) end $$`,
  // The ids of both, of those keys that occur so seldom.
  `create function add_rare(a jsonb, b jsonb, counts jsonb, most integer) returns jsonb language sql immutable parallel safe as $$
     select jsonb_object_agg(key, ids) from (
       select key, jsonb_agg(id order by id) as ids
       from (select * from jsonb_each(coalesce(a, '{}')) union all select * from jsonb_each(coalesce(b, '{}'))) both_of_them
       cross join lateral jsonb_array_elements_text(value) id
       where (counts ->> key)::bigint <= most
       group by key
     ) x $$`,
];
