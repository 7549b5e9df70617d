// The embedded PostgreSQL, held by processes that end well and badly.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { DatabaseConfig } from '../../src/config.ts';
import { connectionOptions } from '../../src/persistence/pool.ts';
import { eventually } from '../fixtures/eventually.ts';

const script = fileURLToPath(new URL('./hold-embedded-postgres.ts', import.meta.url));
let directory: string;
let dataDir: string;

beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), 'embedded-postgres-'));
  dataDir = join(directory, '.data');
});
afterEach(async () => {
  // Takes over whatever the test left running, and ends it.
  const { child } = await hold();
  await stop(child);
  await rm(directory, { recursive: true });
});

async function hold() {
  const child = spawn(process.execPath, [script, dataDir], { stdio: ['ignore', 'pipe', 'inherit'] });
  const [line] = (await once(createInterface(child.stdout), 'line')) as [string];
  return { child, line, config: line.startsWith('{') ? (JSON.parse(line) as DatabaseConfig) : null };
}

async function stop(child: ReturnType<typeof spawn>, signal: NodeJS.Signals = 'SIGTERM') {
  const exited = once(child, 'exit');
  child.kill(signal);
  return (await exited)[0] as number | null;
}

async function query<T extends pg.QueryResultRow>(config: DatabaseConfig | null, sql: string): Promise<T[]> {
  if (config === null) throw new Error('the server was not started');
  const client = new pg.Client(connectionOptions(config));
  await client.connect();
  try {
    return (await client.query<T>(sql)).rows;
  } finally {
    await client.end();
  }
}

const postmaster = async () => Number((await readFile(join(dataDir, 'postgres/postmaster.pid'), 'utf8')).split('\n')[0]);
const isGone = (pid: number) => {
  try {
    return !process.kill(pid, 0);
  } catch {
    return true;
  }
};

test('what was written is there again after a stop and a start, and nothing runs in between', async () => {
  const first = await hold();
  await query(first.config, 'create table kept as select 42 as answer');
  const pid = await postmaster();
  expect(await stop(first.child)).toBe(0);
  expect(isGone(pid)).toBe(true);
  const second = await hold();
  expect(await query(second.config, 'select answer from kept')).toEqual([{ answer: 42 }]);
  await stop(second.child);
});

test('a service killed with SIGKILL leaves a server that the next one takes over', async () => {
  const first = await hold();
  await query(first.config, 'create table kept as select 42 as answer');
  const pid = await postmaster();
  await stop(first.child, 'SIGKILL');
  const second = await hold();
  expect(await query(second.config, 'select answer from kept')).toEqual([{ answer: 42 }]);
  expect(await postmaster()).toBe(pid);
  await stop(second.child);
});

test('service and server killed at once lose nothing that was committed', async () => {
  const first = await hold();
  await query(first.config, 'create table kept as select 42 as answer');
  const pid = await postmaster();
  process.kill(pid, 'SIGKILL');
  await stop(first.child, 'SIGKILL');
  await eventually(() => isGone(pid));
  const second = await hold();
  expect(await query(second.config, 'select answer from kept')).toEqual([{ answer: 42 }]);
  await stop(second.child);
});

test('a second service on the same directory says so in one line and leaves the first alone', async () => {
  const first = await hold();
  const second = await hold();
  expect(second.line).toBe(
    `ConfigError: DATA_DIR ${dataDir} is in use by another service (process ${first.child.pid}): stop that one, or set another DATA_DIR`,
  );
  expect(await query(first.config, 'select 1 as one')).toEqual([{ one: 1 }]);
  await stop(first.child);
});

test('two services that start together on an empty directory get one server between them', async () => {
  const both = await Promise.all([hold(), hold()]);
  expect(both.filter((one) => one.config !== null)).toHaveLength(1);
  const winner = both.find((one) => one.config !== null);
  expect(await query(winner?.config ?? null, 'select 1 as one')).toEqual([{ one: 1 }]);
  if (winner !== undefined) await stop(winner.child);
});

test('a directory that another version of PostgreSQL made is left alone, in one line that says what to do', async () => {
  const first = await hold();
  await stop(first.child);
  const file = join(dataDir, 'postgres/PG_VERSION');
  const version = await readFile(file, 'utf8');
  await writeFile(file, '9\n');
  const second = await hold();
  await writeFile(file, version);
  expect(second.line).toBe(
    `ConfigError: ${join(dataDir, 'postgres')} was made by PostgreSQL 9, and the embedded one is ${version.trim()}: move it away, or set DATA_DIR to another folder`,
  );
});

test('the server listens on the loopback only, and wants the password', async () => {
  const { child, config } = await hold();
  expect(await query(config, 'show listen_addresses')).toEqual([{ listen_addresses: '127.0.0.1' }]);
  await expect(query(config && { ...config, password: 'guessed' }, 'select 1')).rejects.toThrow(
    'password authentication failed',
  );
  await stop(child);
});
