// A row in a default partition keeps its day's partition from being made: it is moved there. Partitions are made one by one.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128080000_move_rows_in_the_way_of_a_partition extends Migration {
  override up(): void {
    this.addSql(ensurePartition);
    this.addSql(ensurePartitions);
  }

  override down(): void {
    this.addSql(ensurePartitionsBefore);
    this.addSql('drop function ensure_partition(text, date)');
  }
}

// A transaction makes one partition of one table: with the locks of two tables it would wait for statements that wait for it.
const ensurePartition = `create function ensure_partition(parent text, day date) returns integer language plpgsql as $$
   declare
     kind text := case parent when 'events' then 'event' else 'delivery' end;
     id_column text := case parent when 'attempts' then 'delivery_id' else 'id' end;
     partition_name text := parent || '_' || to_char(day, 'YYYYMMDD');
     first_id text := id_floor(kind, day::timestamp at time zone 'utc');
     end_id text := id_floor(kind, (day + 1)::timestamp at time zone 'utc');
     -- Pages of deliveries are filled so far that an outcome finds room beside its row.
     options text := case parent when 'deliveries' then 'with (fillfactor = 40)' else '' end;
     moved bigint;
   begin
     if to_regclass(partition_name) is not null then
       return 0;
     end if;
     begin
       execute format('create table %I partition of %I for values from (%L) to (%L) %s', partition_name, parent, first_id, end_id, options);
     exception when check_violation then
       -- The partition is made beside its parent and takes the rows of its day. Nobody reads the default partition meanwhile, so no
       -- row is ever missing.
       execute format('lock table %I in access exclusive mode', parent || '_default');
       execute format('create table %I (like %I including defaults including constraints) %s', partition_name, parent, options);
       execute format('with moved as (delete from %I where %I >= %L and %I < %L returning *) insert into %I select * from moved',
         parent || '_default', id_column, first_id, id_column, end_id, partition_name);
       get diagnostics moved = row_count;
       execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, partition_name, first_id, end_id);
       raise warning '% rows of % were in the default partition and have been moved', moved, partition_name;
     end;
     return 1;
   end $$`;

const ensurePartitions = `create or replace function ensure_partitions(first_day date, days integer) returns integer language sql as $$
   select coalesce(sum(ensure_partition(parent, first_day + n)), 0)::integer
   from generate_series(0, days - 1) n cross join unnest(array['events', 'deliveries', 'attempts']) parent
   $$`;

const ensurePartitionsBefore = `create or replace function ensure_partitions(first_day date, days integer) returns integer language plpgsql as $$
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
               || case parent when 'deliveries' then ' with (fillfactor = 40)' else '' end;
             made := made + 1;
           exception when check_violation then
             raise warning 'partition % could not be made: its rows are in the default partition', partition_name;
           end;
         end if;
       end loop;
     end loop;
     return made;
   end $$`;
