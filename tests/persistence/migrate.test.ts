// Bringing the schema up to date at start.
import { randomBytes } from 'node:crypto';
import { Client, Pool } from 'pg';
import { expect, inject, test } from 'vitest';
import { newId } from '../../src/domain/ids.ts';
import { openForMigration } from '../../src/persistence/migrate.ts';
import { prepareDatabase } from '../../src/persistence/prepare-database.ts';
import { connectionOptions } from '../../src/persistence/pool.ts';
import { listChanges } from '../../src/persistence/queries/list-changes.ts';
import { listDeliveries } from '../../src/persistence/queries/list-deliveries.ts';
import { listScheduled } from '../../src/persistence/queries/list-scheduled.ts';
import { administer } from '../fixtures/database.ts';

const MIGRATIONS = [
  'Migration20261123000000_initial',
  'Migration20261127000000_untried_deliveries_have_not_changed',
  'Migration20261127120000_first_tries_enter_no_index',
  'Migration20261128050000_add_response_oddity',
  'Migration20261128060000_read_the_view_in_parallel_plans',
  'Migration20261128070000_know_whom_redis_serves',
  'Migration20261128080000_move_rows_in_the_way_of_a_partition',
  'Migration20261128110000_find_due_deliveries_by_time',
  'Migration20261128120000_know_who_holds_what',
  'Migration20261128121000_sum_up_the_log',
  'Migration20261128123100_keep_answers_of_calls',
  'Migration20261128130940_hold_deliveries_of_paused_webhooks',
  'Migration20261128131900_keep_event_types_as_rows',
  'Migration20261128135000_let_a_failing_webhook_be_paused',
  'Migration20261128140500_keep_the_history_of_webhooks',
  'Migration20261128161500_filter_what_a_webhook_gets',
  'Migration20261128164000_keep_the_order_of_a_key',
  'Migration20261128165000_probe_webhooks_that_failed',
  'Migration20261128170500_remember_notices_of_failing',
  'Migration20261128172000_note_certificates_near_their_end',
  'Migration20261128192600_sign_with_keys_of_the_service',
  'Migration20261128195000_lock_heads_in_a_function',
  'Migration20261128200000_end_what_comes_too_late',
  'Migration20261128201300_show_a_client_certificate',
  'Migration20261128201500_find_deliveries_by_their_error',
  'Migration20261128203700_find_what_ended_and_what_is_not_probed',
  'Migration20261128231500_end_the_wait_with_the_request',
  'Migration20261128232800_ask_for_access_tokens',
  'Migration20261128232900_keep_what_went_over_the_wire',
  'Migration20261128233900_send_some_fields_alone',
  'Migration20261129000600_keep_the_newest_of_a_collapse_key',
];

test('processes that start together migrate once, and create the database when it is missing', async () => {
  const { server } = inject('database');
  const database = { ...server, name: `webhook_migrate_${randomBytes(6).toString('hex')}` };
  try {
    const started: string[] = [];
    const migrated = () => prepareDatabase(database, (name) => started.push(name));
    const runs = await Promise.all([migrated(), migrated(), migrated()]);
    expect(runs.flat()).toEqual(MIGRATIONS);
    expect(started).toEqual(MIGRATIONS);
    expect(await prepareDatabase(database)).toEqual([]);
    const client = new Client(connectionOptions(database));
    await client.connect();
    const { rows } = await client.query('select name from mikro_orm_migrations');
    await client.end();
    expect(rows).toEqual(MIGRATIONS.map((name) => ({ name })));
  } finally {
    await administer(server, `drop database if exists ${database.name} with (force)`);
  }
});

test('a start waits while another process migrates', async () => {
  const { server } = inject('database');
  const database = { ...server, name: `webhook_migrate_${randomBytes(6).toString('hex')}` };
  await administer(server, `create database ${database.name}`);
  const other = new Client(connectionOptions(database));
  try {
    await other.connect();
    await other.query('select pg_advisory_lock(7241963001)');
    let isDone = false;
    const migrating = prepareDatabase(database).then(() => (isDone = true));
    const waiting = `select 1 from pg_locks where locktype = 'advisory' and not granted and database = (select oid from pg_database where datname = current_database())`;
    await expect.poll(async () => (await other.query(waiting)).rowCount).toBe(1);
    expect(isDone).toBe(false);
    await other.query('select pg_advisory_unlock_all()');
    await migrating;
  } finally {
    await other.end();
    await administer(server, `drop database if exists ${database.name} with (force)`);
  }
});

test('what was there before first tries entered no index is found as before, and after going back as well', async () => {
  const { server } = inject('database');
  const database = { ...server, name: `webhook_migrate_${randomBytes(6).toString('hex')}` };
  try {
    await prepareDatabase(database);
    const orm = await openForMigration(database);
    const pool = new Pool(connectionOptions(database));
    try {
      await orm.migrator.down({ to: 'Migration20261127000000_untried_deliveries_have_not_changed' });
      const ids = Object.fromEntries(
        ['pending', 'retrying', 'delivered', 'late', 'failed', 'cancelled'].map((name) => [
          name,
          newId('delivery', Date.now()),
        ]),
      );
      for (const [name, id] of Object.entries(ids)) {
        await pool.query(
          `insert into deliveries (id, event_id, webhook_id, user_id, event_type, status, attempt_count, next_attempt_at, failed_at,
             created_at, updated_at)
           values ($1, 'event_1', 'webhook_1', 'alice', 'order.created', case $2::text when 'late' then 'delivered' else $2 end,
             case when $2 in ('pending', 'cancelled') then 0 else 1 end, case when $2 in ('pending', 'retrying') then now() - interval '1 s' end,
             case $2 when 'failed' then now() end, now() - case $2 when 'late' then interval '1 minute' else interval '1 second' end, now())`,
          [id, name],
        );
      }
      const changedIds = new Set([ids['retrying'], ids['delivered'], ids['late'], ids['failed'], ids['cancelled']]);
      const scheduledIds = new Set([ids['pending'], ids['retrying']]);
      for (let times = 0; times < 2; times += 1) {
        await orm.migrator.up();
        const changes = await listChanges(pool, { micros: (Date.now() - 60_000) * 1000, userIds: null, max: 100 });
        expect(new Set(changes.map(({ id }) => id))).toEqual(changedIds);
        for (const status of ['pending', 'retrying', 'failed', 'cancelled'] as const) {
          const filter = {
            userId: null,
            webhookIds: [],
            statuses: [status],
            eventType: null,
            eventId: null,
            httpStatus: null,
            errorCode: null,
            fromId: null,
            belowId: null,
            along: 'webhooks' as const,
          };
          const page = await listDeliveries(pool, filter, { limit: 10, offset: 0, order: 'desc' });
          expect(page.map(({ id }) => id)).toEqual([ids[status]]);
        }
        const { rows } = await listScheduled(pool, { after: null, limit: 10 });
        expect(new Set(rows.map(({ deliveryId }) => deliveryId))).toEqual(scheduledIds);
        if (times > 0) continue;
        // Leased on insert by the new version, it must not be lost to the old one.
        await pool.query(`update deliveries set next_attempt_at = null, leased_until = now() where id = $1`, [ids['pending']]);
        await orm.migrator.down({ to: 'Migration20261127000000_untried_deliveries_have_not_changed' });
        const due = await pool.query(
          `select id from deliveries where status in ('pending', 'retrying') and next_attempt_at <= now()`,
        );
        expect(new Set(due.rows.map(({ id }) => id))).toEqual(scheduledIds);
      }
    } finally {
      await pool.end();
      await orm.close(true);
    }
  } finally {
    await administer(server, `drop database if exists ${database.name} with (force)`);
  }
});
