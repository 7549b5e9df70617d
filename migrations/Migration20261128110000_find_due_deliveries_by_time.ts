// An index by time alone: what is due is found by one look a partition, however many webhooks have something scheduled.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128110000_find_due_deliveries_by_time extends Migration {
  override up(): void {
    this.addSql(createIndex);
  }

  override down(): void {
    this.addSql('drop index deliveries_next_attempt');
  }
}

/** A table up to this size is read in about a second, with writes waiting. */
const MAX_BYTES = 256 * 1024 * 1024;

// Of a larger table only new partitions get the index here. The leader builds those of the others beside the running service
// (maintenance/late-index.ts): `concurrently` cannot run in a transaction, and would wait for processes that wait for this migration.
const createIndex = `do $$
   begin
     if (select coalesce(sum(pg_relation_size(relid)), 0) from pg_partition_tree('deliveries') where isleaf) <= ${MAX_BYTES} then
       create index deliveries_next_attempt on deliveries (next_attempt_at) where next_attempt_at is not null;
     else
       create index deliveries_next_attempt on only deliveries (next_attempt_at) where next_attempt_at is not null;
     end if;
   end $$`;
