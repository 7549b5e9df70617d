// Deliveries of one webhook and one ordering key are attempted one at a time, in the order of their commits.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128164000_keep_the_order_of_a_key extends Migration {
  override up(): void {
    for (const statement of statements) this.addSql(statement);
  }

  override down(): void {
    // Nothing of the version before lets go what waits.
    this.addSql(`update deliveries set next_attempt_at = now() where waits and status = 'pending'`);
    this.addSql('drop trigger deliveries_pass_turn on deliveries');
    this.addSql('drop function pass_turn');
    this.addSql('drop table ordering_heads');
    this.addSql('drop index deliveries_waiting');
    this.addSql('alter table deliveries drop column ordering_key, drop column sequence, drop column waits');
    this.addSql('alter table events drop column ordering_key');
    this.addSql('alter table webhook_endpoints drop column ordering, drop column ordering_gap');
  }
}

/** A table up to this size is read in about a second, with writes waiting. */
const MAX_BYTES = 256 * 1024 * 1024;

/** Longer than a request of a usual configuration takes: its lease is 45 s. A claim in Redis does not show its end in the row. */
const FLIGHT = '60 seconds';

/** Each statement of it has a snapshot of its own, taken after the lock on the head: it sees what every publish committed that held the lock before. */
export const passTurn = `create or replace function pass_turn() returns trigger language plpgsql as $$
   declare
     head record;
     next_id text;
     clear timestamptz;
   begin
     -- A failure with a retry left passes the turn only where its owner wants no one to wait for it.
     if new.status = 'retrying' and not (new.attempt_count > old.attempt_count and new.error_code is distinct from 'shutdown'
       and exists (select 1 from webhook_endpoints w where w.id = new.webhook_id and w.ordering_gap = 'skip')) then
       return null;
     end if;
     select h.low_id, h.high_id, h.clear_at into head from ordering_heads h
     where h.webhook_id = new.webhook_id and h.ordering_key = new.ordering_key and h.turn_id = new.id for update;
     if not found then
       return null;
     end if;
     clear := head.clear_at;
     if new.status = 'cancelled' and (old.leased_until > now() or old.next_attempt_at <= now()) then
       clear := greatest(clear, old.leased_until, now() + interval '${FLIGHT}');
     -- What was held may have been under way when its webhook was paused.
     elsif new.status = 'cancelled' and old.held_at is not null then
       clear := greatest(clear, old.held_at + interval '${FLIGHT}');
     end if;
     loop
       select d.id into next_id from deliveries d
       where d.webhook_id = new.webhook_id and d.ordering_key = new.ordering_key and d.sequence > new.sequence
         and d.waits and d.status = 'pending' and d.id >= head.low_id and d.id <= head.high_id
       order by d.sequence limit 1;
       exit when not found;
       update deliveries d set waits = false, next_attempt_at = greatest(now(), clear)
       where d.id = next_id and d.waits and d.status = 'pending';
       -- Another session may have cancelled it meanwhile.
       exit when found;
     end loop;
     update ordering_heads h set turn_id = next_id, clear_at = clear
     where h.webhook_id = new.webhook_id and h.ordering_key = new.ordering_key;
     return null;
   end $$`;

const statements = [
  `alter table events add column ordering_key varchar(255) collate "C"`,
  `alter table webhook_endpoints
    add column ordering varchar(10) not null default 'none' check (ordering in ('none', 'key')),
    add column ordering_gap varchar(10) not null default 'wait' check (ordering_gap in ('wait', 'skip'))`,
  `alter table deliveries add column ordering_key varchar(255) collate "C", add column sequence bigint, add column waits boolean`,
  `comment on column deliveries.sequence is 'Counts the deliveries of a webhook with the same ordering key, without holes, in the order of their commits'`,
  `comment on column deliveries.waits is
    'Of a webhook with ordering: true until it has its turn, then false. What waits has neither next_attempt_at nor a lease. Null: it never waits'`,

  // Of a larger table only new partitions get the index here, as with deliveries_held: the leader builds the others.
  `do $$
   begin
     if (select coalesce(sum(pg_relation_size(relid)), 0) from pg_partition_tree('deliveries') where isleaf) <= ${MAX_BYTES} then
       create index deliveries_waiting on deliveries (webhook_id, ordering_key, sequence) where waits;
     else
       create index deliveries_waiting on only deliveries (webhook_id, ordering_key, sequence) where waits;
     end if;
   end $$`,

  // Half of each page is left free, and no index but the primary key: a head is written again with each event of its key.
  `create table ordering_heads (
    webhook_id varchar(64) collate "C" not null,
    ordering_key varchar(255) collate "C" not null,
    last_sequence bigint not null,
    turn_id varchar(64) collate "C",
    low_id varchar(64) collate "C" not null,
    high_id varchar(64) collate "C" not null,
    clear_at timestamptz,
    touched_at timestamptz not null default now(),
    primary key (webhook_id, ordering_key)
  ) with (fillfactor = 50)`,
  `comment on table ordering_heads is 'One row for each webhook and ordering key; its lock is the order'`,
  `comment on column ordering_heads.turn_id is 'The delivery that was let go and has not ended; null: the next one goes at once'`,
  `comment on column ordering_heads.low_id is 'What may wait has an id from here to high_id: a look-up reads these partitions alone'`,
  `comment on column ordering_heads.clear_at is
    'Until then a request of a delivery that was cancelled may be under way: the next one is not due before'`,

  passTurn,
  `comment on function pass_turn is 'Lets the next delivery of an ordering key go, in the transaction that ends the one before'`,
  `create trigger deliveries_pass_turn after update of status on deliveries for each row
   when (old.waits is false and new.status <> 'pending' and old.status in ('pending', 'retrying'))
   execute function pass_turn()`,
];
