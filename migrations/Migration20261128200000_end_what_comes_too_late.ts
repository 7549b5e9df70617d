// An event may say until when its deliveries are of use: no attempt begins later.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128200000_end_what_comes_too_late extends Migration {
  override up(): void {
    for (const statement of statements) this.addSql(statement);
  }

  override down(): void {
    this.addSql('drop table deadline_walk');
    this.addSql('drop index deliveries_deadline');
    this.addSql('alter table deliveries drop column deliver_before');
    this.addSql('alter table events drop column deliver_before');
  }
}

/** A table up to this size is read in about a second, with writes waiting. */
const MAX_BYTES = 256 * 1024 * 1024;

const statements = [
  'alter table events add column deliver_before timestamptz',
  'alter table deliveries add column deliver_before timestamptz',
  `comment on column deliveries.deliver_before is 'No attempt begins later. Never changes: its index costs first tries nothing'`,

  // Of a larger table only new partitions get the index here, as with deliveries_held: the leader builds the others.
  `do $$
   begin
     if (select coalesce(sum(pg_relation_size(relid)), 0) from pg_partition_tree('deliveries') where isleaf) <= ${MAX_BYTES} then
       create index deliveries_deadline on deliveries (deliver_before) where deliver_before is not null;
     else
       create index deliveries_deadline on only deliveries (deliver_before) where deliver_before is not null;
     end if;
   end $$`,

  'create table deadline_walk (reached timestamptz not null)',
  'insert into deadline_walk values (now())',
  `comment on table deadline_walk is 'One row: what was to be delivered before this moment has ended'`,
];
