// The next of an ordering key goes on as soon as the request of a delivery that was cancelled has ended, and not only a minute later.
import { Migration } from '@mikro-orm/migrations';
import { passTurn } from './Migration20261128164000_keep_the_order_of_a_key.ts';

export class Migration20261128231500_end_the_wait_with_the_request extends Migration {
  override up(): void {
    for (const statement of statements) this.addSql(statement);
  }

  override down(): void {
    this.addSql('drop trigger deliveries_clear_flight on deliveries');
    this.addSql('drop function clear_flight_of_outcome');
    this.addSql('drop function clear_flight');
    this.addSql(passTurn);
    this.addSql('alter table ordering_heads drop column clear_id, drop column clear_lease');
  }
}

/** Longer than a request of a usual configuration takes: its lease is 45 s. A claim in Redis does not show its end in the row. */
const FLIGHT = '60 seconds';
/** A process that uses a Redis writes its row every two seconds. After so long without one it holds no lease there. */
const SILENT = '2 minutes';

/** As `passTurn`, with the clock read after the wait for the head, with the delivery that is waited for, and with the hold of a paused webhook. */
export const passTurnAndClear = `create or replace function pass_turn() returns trigger language plpgsql as $$
   declare
     head record;
     next_id text;
     at timestamptz;
     flight timestamptz;
     holds boolean;
   begin
     -- A failure with a retry left passes the turn only where its owner wants no one to wait for it.
     if new.status = 'retrying' and not (new.attempt_count > old.attempt_count and new.error_code is distinct from 'shutdown'
       and exists (select 1 from webhook_endpoints w where w.id = new.webhook_id and w.ordering_gap = 'skip')) then
       return null;
     end if;
     select h.low_id, h.high_id, h.clear_at, h.clear_id, h.clear_lease into head from ordering_heads h
     where h.webhook_id = new.webhook_id and h.ordering_key = new.ordering_key and h.turn_id = new.id for update;
     if not found then
       return null;
     end if;
     at := clock_timestamp();
     if new.attempt_count = old.attempt_count then
       if old.leased_until > at or (old.next_attempt_at <= at
         and exists (select 1 from processes p where p.claims and p.seen_at > at - interval '${SILENT}')) then
         flight := greatest(old.leased_until, at + interval '${FLIGHT}');
       -- What was held may have been under way when its webhook was paused, unless it was held from the beginning.
       elsif old.held_at > old.created_at and old.held_at + interval '${FLIGHT}' > at then
         flight := old.held_at + interval '${FLIGHT}';
       end if;
     end if;
     if flight is not null then
       head.clear_id := case when head.clear_at > at then null else new.id end;
       head.clear_lease := case when old.leased_until > at then old.leased_until when old.held_at is not null then 'infinity' end;
       head.clear_at := greatest(head.clear_at, flight);
     end if;
     holds := old.held_at is not null and exists (select 1 from webhook_endpoints w where w.id = new.webhook_id and w.hold in (1, 2));
     loop
       select d.id into next_id from deliveries d
       where d.webhook_id = new.webhook_id and d.ordering_key = new.ordering_key and d.sequence > new.sequence
         and d.waits and d.status = 'pending' and d.id >= head.low_id and d.id <= head.high_id
       order by d.sequence limit 1;
       exit when not found;
       update deliveries d set waits = false, next_attempt_at = case when not holds then greatest(at, head.clear_at) end,
         held_at = case when holds then d.created_at end
       where d.id = next_id and d.waits and d.status = 'pending';
       -- Another session may have cancelled it meanwhile.
       exit when found;
     end loop;
     update ordering_heads h set turn_id = next_id, clear_at = head.clear_at, clear_id = head.clear_id, clear_lease = head.clear_lease
     where h.webhook_id = new.webhook_id and h.ordering_key = new.ordering_key;
     return null;
   end $$`;

const statements = [
  `alter table ordering_heads add column clear_id varchar(64) collate "C", add column clear_lease timestamptz`,
  `comment on column ordering_heads.clear_id is 'Whose request may be under way until clear_at; null: of more than one, or it is not known'`,
  `comment on column ordering_heads.clear_lease is 'The lease that stood in its row: only who held that knows that no request is under way. Null: it may be leased in Redis'`,

  passTurnAndClear,

  `create function clear_flight(ended_id text, of_webhook text, of_key text, lease_ms float8) returns void language plpgsql as $$
   declare
     head record;
   begin
     select h.turn_id, h.clear_at into head from ordering_heads h
     where h.webhook_id = of_webhook and h.ordering_key = of_key and h.clear_id = ended_id
       and (lease_ms is null or h.clear_lease is null or abs(extract(epoch from h.clear_lease) * 1000 - lease_ms) < 1) for update;
     if not found then
       return;
     end if;
     update ordering_heads h set clear_at = null, clear_id = null, clear_lease = null
     where h.webhook_id = of_webhook and h.ordering_key = of_key;
     -- What waits for something else, such as a retry, has another moment. Of one that was never tried the next takes the place.
     update deliveries d set next_attempt_at = (
       select case when e.attempt_count = 0 then e.created_at else clock_timestamp() end from deliveries e where e.id = ended_id)
     where d.id = head.turn_id and d.next_attempt_at = head.clear_at and d.next_attempt_at > clock_timestamp();
   end $$`,
  `comment on function clear_flight is
    'No request of this delivery, which was cancelled, is under way any more, as its outcome (null) or the holder of this lease knows: the next of its key goes on'`,
  `create function clear_flight_of_outcome() returns trigger language plpgsql as $$
   begin
     perform clear_flight(new.id, new.webhook_id, new.ordering_key, null);
     return null;
   end $$`,
  `create trigger deliveries_clear_flight after update of status on deliveries for each row
   when (old.status = 'cancelled' and old.ordering_key is not null and new.attempt_count > old.attempt_count)
   execute function clear_flight_of_outcome()`,
];
