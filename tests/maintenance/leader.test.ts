// Leadership: one of many, and handed on when its connection breaks.
import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Leader } from '../../src/maintenance/leader.ts';
import { connectionOptions } from '../../src/persistence/pool.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { eventually } from '../fixtures/eventually.ts';

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
});
afterAll(() => database.drop());

const newLeader = (): Leader => new Leader(connectionOptions(database.config), () => undefined);

async function killTheHolder(): Promise<void> {
  await database.pool.query(
    `select pg_terminate_backend(pid) from pg_locks
     where locktype = 'advisory' and granted and database = (select oid from pg_database where datname = current_database())`,
  );
}

test('one of several leads, another when it stops, another when its connection is cut', async () => {
  const processes = [newLeader(), newLeader(), newLeader()];
  for (const leader of processes) await leader.start();
  expect(processes.map((leader) => leader.isLeading)).toEqual([true, false, false]);
  await processes[0]?.drain();
  expect(processes[0]?.isLeading).toBe(false);
  const second = await eventually(() => processes.find((leader) => leader.isLeading));
  await killTheHolder();
  await eventually(() => !second.isLeading || processes.some((leader) => leader !== second && leader.isLeading));
  await eventually(() => processes.filter((leader) => leader.isLeading).length === 1);
  await Promise.all(processes.map((leader) => leader.drain()));
});

test('a leader whose connection is cut knows it at once, and can lead again', async () => {
  const leader = newLeader();
  await leader.start();
  expect(leader.isLeading).toBe(true);
  await killTheHolder();
  await eventually(() => !leader.isLeading, { deadlineMs: 1000 });
  await eventually(() => leader.isLeading);
  await leader.drain();
});

test('a process that was frozen for eight seconds does not lead when it goes on, until the server says that it still does', async () => {
  const leader = newLeader();
  await leader.start();
  expect(leader.isLeading).toBe(true);
  const now = performance.now.bind(performance);
  const clock = vi.spyOn(performance, 'now').mockImplementation(() => now() + 8000);
  expect(leader.isLeading).toBe(false);
  await eventually(() => leader.isLeading);
  clock.mockRestore();
  await leader.drain();
});
