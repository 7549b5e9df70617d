// Deliveries of a paused webhook are held in their rows; a release makes them due again, at a pace.
import { Migration } from '@mikro-orm/migrations';

export class Migration20261128130940_hold_deliveries_of_paused_webhooks extends Migration {
  override up(): void {
    for (const statement of statements) this.addSql(statement);
  }

  override down(): void {
    // Nothing of the version before ends a hold.
    this.addSql(`update deliveries set next_attempt_at = now(), status = case when attempt_count = 0 then 'pending' else 'retrying' end
      where held_at is not null and status = 'pending'`);
    this.addSql('drop index deliveries_held');
    this.addSql('drop table release_notes');
    this.addSql('drop table releases');
    this.addSql('drop index webhook_endpoints_gathering');
    this.addSql(`alter table webhook_endpoints drop column hold, drop column is_gathering, drop column tail_until,
      drop column release_id`);
    this.addSql('alter table deliveries drop column held_at, drop column release_no, drop column cancel_reason');
  }
}

/** A table up to this size is read in about a second, with writes waiting. */
const MAX_BYTES = 256 * 1024 * 1024;

const statements = [
  'alter table deliveries add column held_at timestamptz, add column release_no bigint, add column cancel_reason varchar(20)',
  `comment on column deliveries.held_at is
    'Since when the delivery is held for its paused webhook: it has no next_attempt_at and no lease until a release ends the hold'`,
  `comment on column deliveries.release_no is 'The release that made it due; its end is counted there'`,

  // Of a larger table only new partitions get the index here, as with deliveries_next_attempt: the leader builds the others.
  `do $$
   begin
     if (select coalesce(sum(pg_relation_size(relid)), 0) from pg_partition_tree('deliveries') where isleaf) <= ${MAX_BYTES} then
       create index deliveries_held on deliveries (webhook_id, id) where held_at is not null;
     else
       create index deliveries_held on only deliveries (webhook_id, id) where held_at is not null;
     end if;
   end $$`,

  `alter table webhook_endpoints
    add column hold smallint not null default 0 check (hold between 0 and 3),
    add column is_gathering boolean not null default false,
    add column tail_until timestamptz,
    add column release_id varchar(64) collate "C"`,
  `comment on column webhook_endpoints.hold is '0 none, 1 paused, 2 a release drains the hold, 3 the tail of that release'`,
  `comment on column webhook_endpoints.is_gathering is 'The leader still moves into the hold what was scheduled'`,
  `comment on column webhook_endpoints.tail_until is 'In the tail, new deliveries are not due before'`,
  'create index webhook_endpoints_gathering on webhook_endpoints (id) where is_gathering',

  `create table releases (
    no bigint generated always as identity primary key,
    id varchar(64) collate "C" not null unique,
    webhook_id varchar(64) collate "C" not null,
    user_id varchar(255) not null,
    kind varchar(10) not null check (kind in ('resume', 'replay')),
    state varchar(10) not null default 'running' check (state in ('running', 'waiting', 'paused', 'completed', 'cancelled')),
    reason varchar(40),
    filter jsonb not null default '{}',
    rate integer not null check (rate > 0),
    cursor varchar(64) collate "C" not null default '',
    stop varchar(64) collate "C",
    made_at timestamptz not null default now(),
    tokens double precision not null default 1,
    filled_at timestamptz,
    begun_at timestamptz,
    tail_at timestamptz,
    matched bigint not null default 0,
    is_matched_lower_bound boolean not null default false,
    released bigint not null default 0,
    delivered bigint not null default 0,
    failed bigint not null default 0,
    cancelled bigint not null default 0,
    ended_at timestamptz
  )`,
  `comment on table releases is 'Sets of deliveries that the leader makes due at a pace, in the order of their ids'`,
  `comment on column releases.cursor is 'All below has been looked at; written in the transaction that made the deliveries due'`,
  `comment on column releases.begun_at is 'Since when it runs without a break: its pace rises from there'`,
  'create index releases_open on releases (no) where ended_at is null',
  'create index releases_of_webhook on releases (webhook_id, no)',

  `create table release_notes (
    release_no bigint not null,
    outcome varchar(10) not null check (outcome in ('delivered', 'failed', 'cancelled', 'held'))
  )`,
  `comment on table release_notes is 'How released deliveries ended, until the leader has counted them in releases'`,
];
