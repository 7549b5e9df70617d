// An index of the deliveries whose last attempt failed, by what failed: a list by an error or by a status finds those few.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128201500_find_deliveries_by_their_error extends Migration {
  override up(): void {
    this.addSql(createIndex);
  }

  override down(): void {
    this.addSql('drop index deliveries_with_error');
  }
}

/** A table up to this size is read in about a second, with writes waiting. */
const MAX_BYTES = 256 * 1024 * 1024;

// A first try that succeeds has no error before and none after, so it enters nothing here. The status of the response would change with it:
// no index may hold that. Whose a delivery is stands at the end, to be checked without its row.
//
// Of a larger table only new partitions get the index here, as with deliveries_held: the leader builds the others.
const createIndex = `do $$
   begin
     if (select coalesce(sum(pg_relation_size(relid)), 0) from pg_partition_tree('deliveries') where isleaf) <= ${MAX_BYTES} then
       create index deliveries_with_error on deliveries (error_code, id, webhook_id, user_id) where error_code is not null;
     else
       create index deliveries_with_error on only deliveries (error_code, id, webhook_id, user_id) where error_code is not null;
     end if;
   end $$`;
