// The first schema: webhooks, events, deliveries and attempts, partitioned by time from the start.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261123000000_initial extends Migration {
  override up(): void {
    for (const statement of statements) this.addSql(statement);
  }

  override down(): void {
    this.addSql('drop view webhook_deliveries');
    this.addSql('drop table attempts, deliveries, events, idempotency_keys, webhook_endpoints');
    this.addSql('drop function ensure_partitions(date, integer)');
    this.addSql('drop function id_floor(text, timestamptz)');
    this.addSql('drop function jsonb_or_null(text)');
    this.addSql('drop function event_names(text)');
  }
}

const statements = [
  // The documented `events` column is a JSON array as text; queries need it as an array, hence the generated twin.
  `create function event_names(events text) returns text[] language sql immutable strict parallel safe
     as $$ select array(select jsonb_array_elements_text(events::jsonb)) $$`,

  // jsonb refuses \\u0000 and lone surrogates, which JSON allows: the documented view must show such a payload as null, not fail.
  `create function jsonb_or_null(document text) returns jsonb language plpgsql immutable strict parallel safe as $$
   begin
     return document::jsonb;
   exception when others then
     return null;
   end $$`,

  // The smallest id of a kind at a moment (see src/domain/ids.ts): 48 bits of milliseconds in Crockford base 32.
  `create function id_floor(kind text, moment timestamptz) returns text language plpgsql immutable strict parallel safe as $$
   declare
     rest bigint := floor(extract(epoch from moment) * 1000);
     text_of_time text := '';
   begin
     for position in 1..10 loop
       text_of_time := substr('0123456789abcdefghjkmnpqrstvwxyz', (rest % 32)::integer + 1, 1) || text_of_time;
       rest := rest / 32;
     end loop;
     return kind || '_' || text_of_time || repeat('0', 16);
   end $$`,

  `create table webhook_endpoints (
     id varchar(255) collate "C" primary key,
     user_id varchar(255) not null,
     url text not null,
     events text not null,
     secret varchar(255) not null,
     description text not null default '',
     is_active boolean not null default true,
     retry_policy jsonb not null default '{}',
     created_at timestamp not null default (now() at time zone 'utc'),
     updated_at timestamp not null default (now() at time zone 'utc'),
     scope varchar(20) not null default 'user' check (scope in ('user', 'platform')),
     event_types text[] not null generated always as (event_names(events)) stored,
     secret_hint varchar(8) not null,
     previous_secrets jsonb not null default '[]',
     custom_headers text,
     custom_header_names text[] not null default '{}',
     rate_limit integer not null default 0,
     consecutive_failures integer not null default 0,
     failing_since timestamptz,
     disabled_reason varchar(20),
     disabled_at timestamptz,
     revision integer not null default 1,
     deleted_at timestamptz
   )`,
  `comment on column webhook_endpoints.revision is 'grows with every change that an attempt must see'`,
  `create index webhook_endpoints_of_user on webhook_endpoints (user_id, id) where deleted_at is null`,
  // Broadcasts and platform webhooks are found by event type; users' own by user, then filtered.
  `create index webhook_endpoints_of_event on webhook_endpoints using gin (event_types) where is_active and deleted_at is null`,
  `create index webhook_endpoints_of_platform on webhook_endpoints (id) where is_active and deleted_at is null and scope = 'platform'`,

  `create table idempotency_keys (
     publisher varchar(255) collate "C" not null,
     key varchar(255) collate "C" not null,
     request_hash varchar(64) not null,
     event_id varchar(64) collate "C" not null,
     expires_at timestamptz not null,
     primary key (publisher, key)
   )`,
  `create index idempotency_keys_expiry on idempotency_keys (expires_at)`,

  // data is text, not jsonb: it holds the exact canonical bytes that are signed.
  `create table events (
     id varchar(64) collate "C" primary key,
     event_type varchar(100) not null,
     data text not null,
     occurred_at timestamptz not null,
     publisher varchar(255) not null,
     user_ids text[] not null,
     broadcast boolean not null,
     traceparent varchar(64),
     created_at timestamptz not null default now()
   ) partition by range (id)`,

  `create table deliveries (
     id varchar(64) collate "C" primary key,
     event_id varchar(64) collate "C" not null,
     webhook_id varchar(64) collate "C" not null,
     user_id varchar(255) not null,
     event_type varchar(100) not null,
     status varchar(20) not null default 'pending'
       check (status in ('pending', 'retrying', 'delivered', 'failed', 'cancelled')),
     attempt_count integer not null default 0,
     retries_used integer not null default 0,
     next_trigger varchar(10) not null default 'automatic',
     next_attempt_at timestamptz,
     leased_until timestamptz,
     lease_expirations integer not null default 0,
     attempted_at timestamptz,
     duration_ms integer,
     http_status integer,
     response text,
     response_truncated boolean not null default false,
     error_code varchar(40),
     error_message text,
     last_trigger varchar(10),
     delivered_at timestamptz,
     failed_at timestamptz,
     created_at timestamptz not null default now(),
     updated_at timestamptz not null default now()
   ) partition by range (id)`,
  `comment on column deliveries.next_attempt_at is 'null once the delivery has come to an end'`,
  `comment on column deliveries.retries_used is 'automatic retries only: manual ones and tries whose process died are not counted'`,
  // The type at its end is checked in the index: a log searched for a rare type does not fetch every row it passes.
  `create index deliveries_of_webhook on deliveries (webhook_id, id, event_type)`,
  `create index deliveries_failed on deliveries (webhook_id, id) where status = 'failed'`,
  `create index deliveries_cancelled on deliveries (webhook_id, id) where status = 'cancelled'`,
  // Claims walk webhook by webhook, so that one with a million due deliveries does not stand before the others.
  `create index deliveries_due on deliveries (webhook_id, next_attempt_at) where status in ('pending', 'retrying')`,
  // The live feed reads what changed since a moment.
  `create index deliveries_changed on deliveries (updated_at)`,

  `create table attempts (
     delivery_id varchar(64) collate "C" not null,
     number integer not null,
     started_at timestamptz not null,
     duration_ms integer not null,
     http_status integer,
     response text,
     response_truncated boolean not null default false,
     error_code varchar(40),
     error_message text,
     trigger varchar(10) not null,
     primary key (delivery_id, number)
   ) partition by range (delivery_id)`,

  // A day a partition, made ahead; the default ones catch ids of a clock that is far off, so that an insert never fails for it.
  `create table events_default partition of events default`,
  `create table deliveries_default partition of deliveries default`,
  `create table attempts_default partition of attempts default`,
  `create function ensure_partitions(first_day date, days integer) returns integer language plpgsql as $$
   declare
     day date;
     made integer := 0;
     parent text;
     kind text;
     partition_name text;
   begin
     for day in select first_day + n from generate_series(0, days - 1) n loop
       foreach parent in array array['events', 'deliveries', 'attempts'] loop
         kind := case parent when 'events' then 'event' else 'delivery' end;
         partition_name := parent || '_' || to_char(day, 'YYYYMMDD');
         if to_regclass(partition_name) is null then
           -- A row of that day in the default partition, from a clock that is far off, must not keep the other days from theirs.
           begin
             execute format('create table %I partition of %I for values from (%L) to (%L)', partition_name, parent,
               id_floor(kind, day::timestamp at time zone 'utc'), id_floor(kind, (day + 1)::timestamp at time zone 'utc'));
             made := made + 1;
           exception when check_violation then
             raise warning 'partition % could not be made: its rows are in the default partition', partition_name;
           end;
         end if;
       end loop;
     end loop;
     return made;
   end $$`,
  `select ensure_partitions((now() at time zone 'utc')::date - 1, 9)`,

  // The documented table, as a view: SQL written against the documentation works, storage stays free to change.
  `create view webhook_deliveries as
   select d.id::varchar(255) as id,
     d.webhook_id::varchar(255) as webhook_id,
     d.event_type,
     jsonb_or_null('{"event":"' || d.event_type || '","data":' || e.data || ',"timestamp":"'
       || to_char(e.occurred_at at time zone 'utc', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')
       || '","webhook_id":"' || d.webhook_id || '","delivery_id":"' || d.id || '"}') as payload,
     d.status::varchar(50) as status,
     d.http_status,
     d.response,
     d.attempt_count,
     (case when d.status = 'retrying' then d.next_attempt_at end at time zone 'utc')::timestamp as next_retry_at,
     (d.delivered_at at time zone 'utc')::timestamp as delivered_at,
     (d.failed_at at time zone 'utc')::timestamp as failed_at,
     d.error_message,
     (d.created_at at time zone 'utc')::timestamp as created_at,
     (d.updated_at at time zone 'utc')::timestamp as updated_at
   from deliveries d left join events e on e.id = d.event_id`,
];
