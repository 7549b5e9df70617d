// Heads are locked by a function, whose wait for a lock has nothing to do with the plan of the statement that calls it.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128195000_lock_heads_in_a_function extends Migration {
  override up(): void {
    this.addSql(`create function lock_heads(webhook_ids text[], ordering_keys text[]) returns void language plpgsql as $$
      begin
        perform from (select distinct * from unnest(webhook_ids, ordering_keys) as c(webhook_id, ordering_key)) c
          join ordering_heads h on h.webhook_id = c.webhook_id and h.ordering_key = c.ordering_key
          order by h.webhook_id, h.ordering_key for update of h;
      end $$`);
    this.addSql(
      `comment on function lock_heads is 'Locks the heads of these chains, in the order of their keys, as a publish does; so no two wait for each other'`,
    );
  }

  override down(): void {
    this.addSql('drop function lock_heads');
  }
}
