// Connections that stop answering, or are refused.
import { randomBytes } from 'node:crypto';
import { createServer, connect, type AddressInfo, type Socket } from 'node:net';
import { once } from 'node:events';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPool } from '../../src/persistence/pool.ts';
import { administer, createTestDatabase, type TestDatabase } from '../fixtures/database.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

test('a backend that no longer answers costs one query time-out, and its connection is not used again', async () => {
  const wire = await startWire();
  const limits = { statementTimeoutMs: 60_000, queryTimeoutMs: 1500 };
  const pool = createPool({ ...database.config, host: '127.0.0.1', port: wire.port }, () => {}, { max: 1, limits });
  try {
    const client = await pool.connect();
    await client.query('begin');
    wire.freeze();
    await expect(client.query('select 1')).rejects.toThrow('Query read timeout');
    const startedAt = performance.now();
    await expect(client.query('rollback')).rejects.toThrow(/terminated|not queryable|closed/);
    // Less than another time-out.
    expect(performance.now() - startedAt).toBeLessThan(limits.queryTimeoutMs);
    client.release();
    wire.thaw();
    expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  } finally {
    await pool.end();
    await wire.close();
  }
});

test('a statement that runs too long is ended by the server', async () => {
  const limits = { statementTimeoutMs: 100, queryTimeoutMs: 10_000 };
  const pool = createPool(database.config, () => {}, { max: 1, limits });
  await expect(pool.query('select pg_sleep(5)')).rejects.toMatchObject({ code: '57014' });
  await pool.end();
});

test('an idle connection that the server closes is reported, and replaced', async () => {
  const errors: Error[] = [];
  const pool = createPool(database.config, (error) => errors.push(error), { max: 1 });
  const { rows } = await pool.query('select pg_backend_pid() as pid');
  await database.pool.query('select pg_terminate_backend($1)', [rows[0].pid]);
  await expect.poll(() => errors.length).toBe(1);
  expect((await pool.query('select 1 as one')).rows).toEqual([{ one: 1 }]);
  await pool.end();
});

/** A wire to the database that can go dead without closing, as a stopped machine does. */
async function startWire() {
  let isFrozen = false;
  const sockets = new Set<Socket>();
  const server = createServer((near) => {
    const far = connect(database.config.port, database.config.host);
    for (const socket of [near, far]) {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => (near.destroy(), far.destroy()));
    }
    const wasFrozen = () => isFrozen;
    near.on('data', (data) => void (wasFrozen() || far.write(data)));
    far.on('data', (data) => void (wasFrozen() || near.write(data)));
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  return {
    port: (server.address() as AddressInfo).port,
    freeze: () => (isFrozen = true),
    thaw: () => (isFrozen = false),
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, 'close');
    },
  };
}

test('a connection that PostgreSQL refuses for want of connections is reported as a shortage', async () => {
  const server = { ...database.config, name: 'postgres' };
  const [role, password] = [`few_${randomBytes(6).toString('hex')}`, randomBytes(16).toString('hex')];
  await administer(server, `create role ${role} login password '${password}' connection limit 1`);
  const refusals: unknown[] = [];
  const pool = createPool({ ...database.config, user: role, password }, (error) => refusals.push(error), { max: 2 });
  try {
    const first = await pool.connect();
    await expect(pool.query('select 1')).rejects.toMatchObject({ code: '53300' });
    expect(refusals).toEqual([expect.objectContaining({ code: '53300' })]);
    first.release();
    expect((await pool.query('select 1')).rowCount).toBe(1);
  } finally {
    await pool.end();
    await administer(server, `drop role ${role}`);
  }
});

test.each(['53100', '53200', '53300'])(
  'a statement that is refused with %s is reported as a shortage, and an error of its own is not',
  async (code) => {
    const refusals: unknown[] = [];
    const pool = createPool(database.config, (error) => refusals.push(error), { max: 1 });
    try {
      await expect(pool.query('select 1 / 0')).rejects.toMatchObject({ code: '22012' });
      expect(refusals).toEqual([]);
      const refusal = `do $$ begin raise exception 'seeded' using errcode = '${code}'; end $$`;
      await expect(pool.query(refusal)).rejects.toMatchObject({ code });
      expect(refusals).toEqual([expect.objectContaining({ code })]);
    } finally {
      await pool.end();
    }
  },
);
