// Of the events with one collapse key a webhook gets the newest: older deliveries that no receiver has taken end when it is published.
import { Migration } from '@mikro-orm/migrations';
import { passTurnAndClear } from './Migration20261128231500_end_the_wait_with_the_request.ts';

export class Migration20261129000600_keep_the_newest_of_a_collapse_key extends Migration {
  override up(): void {
    for (const statement of statements) this.addSql(statement);
  }

  override down(): void {
    this.addSql('drop trigger deliveries_pass_turn on deliveries');
    this.addSql(passTurnAndClear);
    this.addSql(triggerOf('old.waits is false'));
    this.addSql('drop function is_newest');
    this.addSql('drop table collapse_heads');
    this.addSql('alter table deliveries drop column collapse_key');
    this.addSql('alter table events drop column collapse_key');
  }
}

const triggerOf = (
  isInTurn: string,
): string => `create trigger deliveries_pass_turn after update of status on deliveries for each row
   when (${isInTurn} and new.status <> 'pending' and old.status in ('pending', 'retrying'))
   execute function pass_turn()`;

/** A text of `passTurnAndClear`, which must be there. */
function replaced(text: string, before: string, after: string): string {
  if (!text.includes(before)) throw new Error(`pass_turn has no "${before}"`);
  return text.replace(before, after);
}

const statements = [
  `alter table events add column collapse_key varchar(255) collate "C"`,
  `alter table deliveries add column collapse_key varchar(255) collate "C"`,
  `comment on column deliveries.collapse_key is 'Of deliveries of one webhook, chain and event type with the same, only the newest is sent. Never changes'`,
  `comment on column deliveries.ordering_key is
    'Which deliveries of its webhook it waits for: its ordering key, or of an event with a collapse key alone a hash behind the character U+0001'`,

  // As ordering_heads: half of each page is left free, and no index but the primary key.
  `create table collapse_heads (
    webhook_id varchar(64) collate "C" not null,
    ordering_key varchar(255) collate "C" not null,
    event_type varchar(100) collate "C" not null,
    collapse_key varchar(255) collate "C" not null,
    newest_id varchar(64) collate "C" not null,
    touched_at timestamptz not null default now(),
    primary key (webhook_id, ordering_key, event_type, collapse_key)
  ) with (fillfactor = 50)`,
  `comment on table collapse_heads is 'The newest delivery of each collapse key. Written under the lock of its chain in ordering_heads'`,

  // A statement of its own, whose snapshot is taken when it is called: behind the lock of the chain it sees what every publish committed that held it.
  `create function is_newest(delivery_id text, of_webhook text, of_chain text, of_type text, of_key text) returns boolean volatile language plpgsql as $$
   begin
     return not exists (select 1 from collapse_heads c where c.webhook_id = of_webhook and c.ordering_key = of_chain
       and c.event_type = of_type and c.collapse_key = of_key and c.newest_id <> delivery_id);
   end $$`,
  `comment on function is_newest is 'Whether nothing newer with its collapse key was published; to be asked behind the lock of its chain'`,

  // What has a collapse key keeps its turn until it ends, whatever the webhook says of gaps: else a retry of it could pass a newer one.
  // What is sent again by hand has no turn, and the newer one waits for its request all the same.
  replaced(
    replaced(
      replaced(
        passTurnAndClear,
        'and exists (select 1 from webhook_endpoints',
        'and new.collapse_key is null and exists (select 1 from webhook_endpoints',
      ),
      'select h.low_id, h.high_id,',
      'select h.turn_id, h.low_id, h.high_id,',
    ),
    'h.turn_id = new.id for update;',
    '(h.turn_id = new.id or new.collapse_key is not null) for update;',
  ).replace(
    /     holds := /,
    `     if head.turn_id is distinct from new.id then
       if flight is not null then
         update ordering_heads h set clear_at = head.clear_at, clear_id = head.clear_id, clear_lease = head.clear_lease
         where h.webhook_id = new.webhook_id and h.ordering_key = new.ordering_key;
         update deliveries d set next_attempt_at = head.clear_at
         where d.id = head.turn_id and d.collapse_key = new.collapse_key and d.attempt_count = 0 and d.next_attempt_at < head.clear_at;
       end if;
       return null;
     end if;
     holds := `,
  ),
  'drop trigger deliveries_pass_turn on deliveries',
  triggerOf('(old.waits is false or old.collapse_key is not null)'),
];
