// A row in a default partition keeps its day's partition from being made: it is moved there.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128080000_move_rows_in_the_way_of_a_partition extends Migration {
  override up(): void {
    this.addSql(
      ensurePartitionsWith(`
             -- The partition is made beside its parent and takes the rows of its day. Nobody reads the default partition meanwhile, so no
             -- row is ever missing.
             execute format('lock table %I in access exclusive mode', parent || '_default');
             execute format('create table %I (like %I including defaults including constraints) %s', partition_name, parent, options);
             execute format('with moved as (delete from %I where %I >= %L and %I < %L returning *) insert into %I select * from moved',
               parent || '_default', id_column, first_id, id_column, end_id, partition_name);
             get diagnostics moved = row_count;
             execute format('alter table %I attach partition %I for values from (%L) to (%L)', parent, partition_name, first_id, end_id);
             made := made + 1;
             raise warning '% rows of % were in the default partition and have been moved', moved, partition_name;`),
    );
  }

  override down(): void {
    this.addSql(
      ensurePartitionsWith(`
             raise warning 'partition % could not be made: its rows are in the default partition', partition_name;`),
    );
  }
}

const ensurePartitionsWith = (
  onRowsInTheWay: string,
): string => `create or replace function ensure_partitions(first_day date, days integer) returns integer language plpgsql as $$
   declare
     day date;
     made integer := 0;
     moved bigint;
     parent text;
     kind text;
     id_column text;
     partition_name text;
     first_id text;
     end_id text;
     options text;
   begin
     for day in select first_day + n from generate_series(0, days - 1) n loop
       foreach parent in array array['events', 'deliveries', 'attempts'] loop
         kind := case parent when 'events' then 'event' else 'delivery' end;
         id_column := case parent when 'attempts' then 'delivery_id' else 'id' end;
         partition_name := parent || '_' || to_char(day, 'YYYYMMDD');
         if to_regclass(partition_name) is null then
           first_id := id_floor(kind, day::timestamp at time zone 'utc');
           end_id := id_floor(kind, (day + 1)::timestamp at time zone 'utc');
           -- Pages of deliveries are filled so far that an outcome finds room beside its row.
           options := case parent when 'deliveries' then 'with (fillfactor = 40)' else '' end;
           begin
             execute format('create table %I partition of %I for values from (%L) to (%L) %s', partition_name, parent,
               first_id, end_id, options);
             made := made + 1;
           exception when check_violation then${onRowsInTheWay}
           end;
         end if;
       end loop;
     end loop;
     return made;
   end $$`;
