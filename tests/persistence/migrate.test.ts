// Bringing the schema up to date at start.
import { randomBytes } from 'node:crypto';
import { Client } from 'pg';
import { expect, inject, test } from 'vitest';
import { migrate } from '../../src/persistence/migrate.ts';
import { connectionOptions } from '../../src/persistence/pool.ts';
import { administer } from '../fixtures/database.ts';

const MIGRATIONS = [
  'Migration20261123000000_initial',
  'Migration20261127000000_untried_deliveries_have_not_changed',
  'Migration20261127120000_first_tries_enter_no_index',
];

test('processes that start together migrate once, and create the database when it is missing', async () => {
  const { server } = inject('database');
  const database = { ...server, name: `webhook_migrate_${randomBytes(6).toString('hex')}` };
  try {
    const runs = await Promise.all([migrate(database), migrate(database), migrate(database)]);
    expect(runs.flat()).toEqual(MIGRATIONS);
    expect(await migrate(database)).toEqual([]);
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
    const migrating = migrate(database).then(() => (isDone = true));
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
