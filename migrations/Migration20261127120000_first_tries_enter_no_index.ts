// A first try that succeeds at once changes no column that any index holds, so PostgreSQL writes its outcome beside the row (HOT)
// and enters nothing anywhere. What is scheduled, failed, cancelled or changed otherwise says so in columns of its own.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261127120000_first_tries_enter_no_index extends Migration {
  override up(): void {
    for (const statement of statements) this.addSql(statement);
  }

  override down(): void {
    this.addSql('drop index deliveries_due, deliveries_failed, deliveries_cancelled, deliveries_changed');
    this.addSql(`update deliveries set next_attempt_at = now() where status = 'pending' and next_attempt_at is null`);
    this.addSql('update deliveries set updated_at = changed_at where changed_at is not null');
    this.addSql(`create index deliveries_failed on deliveries (webhook_id, id) where status = 'failed'`);
    this.addSql(`create index deliveries_cancelled on deliveries (webhook_id, id) where status = 'cancelled'`);
    this.addSql(
      `create index deliveries_due on deliveries (webhook_id, next_attempt_at) where status in ('pending', 'retrying')`,
    );
    this.addSql(
      `create index deliveries_changed on deliveries (updated_at)
       where not (status = 'pending' and attempt_count = 0 and next_trigger = 'automatic')`,
    );
    this.addSql(viewWith('d.updated_at'));
    this.addSql('alter table deliveries drop column changed_at, drop column cancelled_at');
    this.addSql('drop table adoption');
    this.addSql('drop function id_time(text)');
    this.addSql(ensurePartitionsWith(''));
  }
}

/**
 * So full are pages made, in percent: beside each new row there is room for what it becomes, with some 90 characters of answer. A row
 * that does not fit goes elsewhere and enters the indexes, as every row did before.
 */
const FILL = 40;

const ensurePartitionsWith = (
  options: string,
): string => `create or replace function ensure_partitions(first_day date, days integer) returns integer language plpgsql as $$
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
               id_floor(kind, day::timestamp at time zone 'utc'), id_floor(kind, (day + 1)::timestamp at time zone 'utc'))
               ${options === '' ? '' : `|| case parent when 'deliveries' then ' with (${options})' else '' end`};
             made := made + 1;
           exception when check_violation then
             raise warning 'partition % could not be made: its rows are in the default partition', partition_name;
           end;
         end if;
       end loop;
     end loop;
     return made;
   end $$`;

const viewWith = (updatedAt: string): string => `create or replace view webhook_deliveries as
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
     (${updatedAt} at time zone 'utc')::timestamp as updated_at
   from deliveries d left join events e on e.id = d.event_id`;

const statements = [
  // The reverse of id_floor(): the moment an id says it was made.
  `create function id_time(id text) returns timestamptz language plpgsql immutable strict parallel safe as $$
   declare
     ms bigint := 0;
     start integer := strpos(id, '_');
   begin
     for position in 1..10 loop
       ms := ms * 32 + strpos('0123456789abcdefghjkmnpqrstvwxyz', substr(id, start + position, 1)) - 1;
     end loop;
     return timestamptz 'epoch' + ms * interval '1 millisecond';
   end $$`,

  `alter table deliveries add column changed_at timestamptz, add column cancelled_at timestamptz`,
  `comment on column deliveries.next_attempt_at is
     'null once the delivery has come to an end, and while it is held from birth: then it is in no schedule'`,
  `comment on column deliveries.changed_at is
     'of the last change; null before the first try and after one that succeeded at once, whose time is updated_at and near the id''s'`,

  // Along the old indexes. Watchers ask for a day at most.
  `update deliveries set cancelled_at = updated_at where status = 'cancelled'`,
  `update deliveries set changed_at = updated_at
   where updated_at > now() - interval '25 hours'
     and not (status = 'pending' and attempt_count = 0 and next_trigger = 'automatic')
     and not (status = 'delivered' and attempt_count = 1 and updated_at < created_at + interval '5 seconds')`,

  `drop index deliveries_due, deliveries_failed, deliveries_cancelled, deliveries_changed`,
  // Claims walk webhook by webhook, so that one with a million due deliveries does not stand before the others.
  `create index deliveries_due on deliveries (webhook_id, next_attempt_at) where next_attempt_at is not null`,
  `create index deliveries_failed on deliveries (webhook_id, id) where failed_at is not null`,
  `create index deliveries_cancelled on deliveries (webhook_id, id) where cancelled_at is not null`,
  `create index deliveries_changed on deliveries (changed_at) where changed_at is not null`,

  // Below this id no delivery is held from birth any more: whoever died holding one, it was scheduled since (maintenance/insert-lease-expiry.ts).
  `create table adoption (adopted_below varchar(64) collate "C" not null)`,
  `insert into adoption values (id_floor('delivery', now() - interval '1 minute'))`,

  `do $$
   declare
     partition_name regclass;
   begin
     for partition_name in select inhrelid from pg_inherits where inhparent = 'deliveries'::regclass loop
       execute format('alter table %s set (fillfactor = ${FILL})', partition_name);
     end loop;
   end $$`,
  ensurePartitionsWith(`fillfactor = ${FILL}`),
  viewWith('coalesce(d.changed_at, d.updated_at)'),
];
