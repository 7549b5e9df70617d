// The database of a machine without one: PostgreSQL from npm, kept under DATA_DIR, ours alone while we run.
import { spawn } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { existsSync, openSync, closeSync, readFileSync } from 'node:fs';
import { chown, mkdir, readFile, rm, writeFile } from 'node:fs/promises';
import { join, resolve } from 'node:path';
import pg from 'pg';
import { ConfigError, type DatabaseConfig } from '../config.ts';
import { pause } from '../lifecycle/pause.ts';
import { freePort } from './free-port.ts';
import { connectionOptions } from '../persistence/pool.ts';
import { embeddedPrograms, initialise, majorVersion, ownerOf, serverCommand } from './postgres-programs.ts';

export interface EmbeddedPostgres {
  readonly config: DatabaseConfig;
  /** Resolves once the server has ended, with everything on disk. A second call waits too. */
  stop(): Promise<void>;
}

/** After a crash the server first replays its log; with the default settings that is at most a gigabyte. */
const READY_TIMEOUT_MS = 60_000;
const READY_POLL_MS = 20;
/** How long the server takes to notice that the service that held it is dead, and to let go of its lock. */
const LOCK_TIMEOUT_MS = 2000;
/** A fast shutdown writes what is in memory; what is not done by then is done by recovery at the next start. */
const STOP_TIMEOUT_MS = 15_000;
/** Any number: the name of the lock that says whose server this is. */
const OWNER_LOCK = 7_241_963_002;
const DATABASE = 'webhook_service';
/** In front of the process id, in the name that our connection carries. */
const HOLDER = 'homechef-webhooks owner ';
const STARTING_OR_ENDING = '57P03';
const DUPLICATE_DATABASE = '42P04';

/**
 * Starts the server, or takes over the one that a killed service left behind.
 * @throws ConfigError when another live service uses this directory.
 */
export async function startEmbeddedPostgres(dataDir: string): Promise<EmbeddedPostgres> {
  const root = resolve(dataDir);
  const cluster = join(root, 'postgres');
  await mkdir(root, { recursive: true });
  const password = await prepare(root, cluster);
  const { pid, port, client } = await reach(root, cluster, password);
  await takeLock(client, root);
  await createDatabase(client);
  const config: DatabaseConfig = { host: '127.0.0.1', port, user: 'postgres', password, name: DATABASE, ssl: 'disable' };
  // Also for a service that ends by process.exit(): a signal is all that can be sent from there, and all that is needed.
  const onExit = (): void => send(pid, 'SIGINT');
  process.once('exit', onExit);
  let stopped: Promise<void> | undefined;
  return {
    config,
    stop() {
      stopped ??= client
        .end()
        .catch(() => {})
        .then(() => shutDown(pid))
        .finally(() => process.off('exit', onExit));
      return stopped;
    },
  };
}

/** Makes the password and the cluster, each once; returns the password. */
async function prepare(root: string, cluster: string): Promise<string> {
  const passwordFile = join(root, 'postgres-password');
  const owner = ownerOf(cluster);
  try {
    await writeFile(passwordFile, randomBytes(24).toString('base64url'), { flag: 'wx', mode: 0o600 });
    if (owner !== null) await chown(passwordFile, owner.uid, owner.gid);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error;
  }
  if (!existsSync(cluster)) await initialise(await embeddedPrograms(), cluster, owner, passwordFile);
  return readFile(passwordFile, 'utf8');
}

interface Running {
  readonly pid: number;
  readonly port: number;
}

// Lines 1 and 4 of the file that the server keeps while it runs, and leaves behind when it is killed.
async function findRunning(cluster: string): Promise<Running | null> {
  const file = join(cluster, 'postmaster.pid');
  const lines = await readFile(file, 'utf8').then(
    (text) => text.split('\n'),
    () => [],
  );
  const pid = Number(lines[0]);
  const port = Number(lines[3]);
  if (!(pid > 0) || !isAlive(pid)) return null;
  if (!isServerOf(cluster, pid)) {
    // Another process has the number, as happens in containers; the server would take that for a living sibling.
    await rm(file, { force: true });
    return null;
  }
  return port > 0 ? { pid, port } : null;
}

/** A connection to the server: to the one that runs, also if it is only just starting or still ending, else to a new one. */
async function reach(root: string, cluster: string, password: string): Promise<Running & { client: pg.Client }> {
  const giveUpAt = performance.now() + READY_TIMEOUT_MS;
  const log = join(root, 'postgres.log');
  let launched: Launched | undefined;
  while (performance.now() < giveUpAt) {
    const running = await findRunning(cluster);
    const client = running === null ? null : await tryConnect(running.port, password);
    if (running !== null && client !== null) return { ...running, client };
    if (running === null) {
      launched ??= await launch(cluster, log);
      const failure = launched.failure();
      if (failure !== null) {
        await requireOwnVersion(cluster);
        throw new Error(`the embedded PostgreSQL did not start: ${failure} (see ${log})`);
      }
    }
    await pause(READY_POLL_MS);
  }
  throw new Error(`the embedded PostgreSQL was not ready after ${READY_TIMEOUT_MS / 1000} s (see ${log})`);
}

/** A server does not read what another major version made, and does not always say that this is why. */
async function requireOwnVersion(cluster: string): Promise<void> {
  const [own, made] = await Promise.all([
    embeddedPrograms().then(majorVersion),
    readFile(join(cluster, 'PG_VERSION'), 'utf8').then((text) => text.trim()),
  ]);
  if (own !== made)
    throw new ConfigError(
      `${cluster} was made by PostgreSQL ${made}, and the embedded one is ${own}: move it away, or set DATA_DIR to another folder`,
    );
}

interface Launched {
  /** Null while it lives. */
  failure(): string | null;
}

async function launch(cluster: string, logFile: string): Promise<Launched> {
  const command = serverCommand(await embeddedPrograms(), cluster, ownerOf(cluster), await freePort(), { timezone: 'UTC' });
  const log = openSync(logFile, 'w');
  // A session of its own: Ctrl-C in the terminal must reach the service only, which still needs the database to drain.
  const child = spawn(command.file, command.args, { ...command.options, detached: true, stdio: ['ignore', log, log] });
  closeSync(log);
  child.unref();
  let failure: string | null = null;
  child.once('error', (error) => (failure = error.message));
  child.once('exit', () => (failure = readFileSync(logFile, 'utf8').trim().split('\n').at(-1) ?? 'it gave no reason'));
  return { failure: () => failure };
}

/** Null while the server is starting or ending. */
async function tryConnect(port: number, password: string): Promise<pg.Client | null> {
  const config: DatabaseConfig = { host: '127.0.0.1', port, user: 'postgres', password, name: 'postgres', ssl: 'disable' };
  const client = new pg.Client({ ...connectionOptions(config), application_name: `${HOLDER}${process.pid}` });
  // A connection that breaks while idle must not end the process; the pools report what matters.
  client.on('error', () => {});
  try {
    await client.connect();
    return client;
  } catch (error) {
    const { code } = error as { code?: string };
    if (code === 'ECONNREFUSED' || code === 'ECONNRESET' || code === STARTING_OR_ENDING) return null;
    throw error;
  }
}

// The lock ends with the connection, and that with the process, however it ends: no stale lock can be left behind.
async function takeLock(client: pg.Client, root: string): Promise<void> {
  const giveUpAt = performance.now() + LOCK_TIMEOUT_MS;
  while (performance.now() < giveUpAt) {
    const { rows } = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1) as taken', [OWNER_LOCK]);
    if (rows[0]?.taken === true) return;
    await pause(READY_POLL_MS);
  }
  const { rows } = await client.query<{ holder: string }>(
    `select a.application_name as holder from pg_locks l join pg_stat_activity a using (pid)
     where l.locktype = 'advisory' and l.granted and (l.classid::bigint << 32 | l.objid::bigint) = $1`,
    [OWNER_LOCK],
  );
  await client.end();
  const who = rows[0]?.holder.replace(HOLDER, 'process ') ?? 'unknown';
  throw new ConfigError(`DATA_DIR ${root} is in use by another service (${who}): stop that one, or set another DATA_DIR`);
}

async function createDatabase(client: pg.Client): Promise<void> {
  try {
    await client.query(`create database ${DATABASE}`);
  } catch (error) {
    if ((error as { code?: string }).code !== DUPLICATE_DATABASE) throw error;
  }
}

// SIGINT is PostgreSQL's fast shutdown: it does not wait for clients, and loses nothing.
async function shutDown(pid: number): Promise<void> {
  send(pid, 'SIGINT');
  const giveUpAt = performance.now() + STOP_TIMEOUT_MS;
  while (isAlive(pid) && performance.now() < giveUpAt) await pause(READY_POLL_MS);
  if (isAlive(pid)) send(pid, 'SIGQUIT');
}

function send(pid: number, name: NodeJS.Signals): void {
  try {
    process.kill(pid, name);
  } catch {
    // It is gone already.
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0);
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'EPERM';
  }
}

// Where there is no /proc, a live process with that number is believed.
function isServerOf(cluster: string, pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes(cluster);
  } catch {
    return !existsSync('/proc/self');
  }
}
