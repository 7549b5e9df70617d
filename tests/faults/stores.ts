// A PostgreSQL and a Redis of the faults' own, to be killed, frozen, filled and restarted.
import { execFile, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { rmSync, writeFileSync } from 'node:fs';
import { chmod, chown, mkdtemp, rm, writeFile, readFile, readdir } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Redis } from 'ioredis';
import pg from 'pg';
import type { DatabaseConfig, RedisConfig } from '../../src/config.ts';
import {
  embeddedPrograms,
  initialise,
  ownerOf,
  serverCommand,
  type Owner,
  type PostgresPrograms,
} from '../../src/embedded/postgres-programs.ts';
import { connectionOptions } from '../../src/persistence/pool.ts';
import { eventually } from '../fixtures/eventually.ts';
import { freePort } from '../fixtures/ports.ts';
import { faketimeEnv } from './faketime.ts';

const PASSWORD = 'faults';

/** Servers end with this process, however it ends. */
const children = new Set<ChildProcess>();
process.once('exit', () => {
  for (const child of children) child.kill('SIGKILL');
});

function keep(child: ChildProcess): ChildProcess {
  children.add(child);
  child.once('exit', () => children.delete(child));
  return child;
}

const run = promisify(execFile);
let template: Promise<string> | undefined;

async function initialiseTemplate(programs: PostgresPrograms): Promise<string> {
  const root = await mkdtemp(join(tmpdir(), 'homechef-faults-template-'));
  process.once('exit', () => rmSync(root, { recursive: true, force: true }));
  const owner = ownerOf(root);
  await chmod(root, 0o755);
  const passwordFile = join(root, 'password');
  await writeFile(passwordFile, PASSWORD);
  if (owner !== null) await chown(passwordFile, owner.uid, owner.gid);
  await initialise(programs, join(root, 'data'), owner, passwordFile);
  return root;
}

export class PostgresServer {
  readonly config: DatabaseConfig;
  readonly directory: string;
  readonly #programs: PostgresPrograms;
  readonly #owner: Owner | null;
  #server: ChildProcess | undefined;
  #env: Readonly<Record<string, string>> = {};

  private constructor(config: DatabaseConfig, directory: string, programs: PostgresPrograms, owner: Owner | null) {
    this.config = config;
    this.directory = directory;
    this.#programs = programs;
    this.#owner = owner;
  }

  static async start(): Promise<PostgresServer> {
    const root = await mkdtemp(join(tmpdir(), 'homechef-faults-'));
    const owner = ownerOf(root);
    await chmod(root, 0o755);
    const programs = await embeddedPrograms();
    template ??= initialiseTemplate(programs);
    // A copy keeps owners and modes; making a cluster anew for every fault takes five times as long.
    await run('cp', ['-a', join(await template, 'data'), join(root, 'data')]);
    const config = {
      host: '127.0.0.1',
      port: await freePort(),
      user: 'postgres',
      password: PASSWORD,
      name: 'faults',
      ssl: 'disable',
    } as const;
    const server = new PostgresServer(config, root, programs, owner);
    await server.run();
    return server;
  }

  get pid(): number {
    return this.#server?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#server !== undefined && this.#server.exitCode === null && this.#server.signalCode === null;
  }

  async run(): Promise<void> {
    const command = serverCommand(this.#programs, join(this.directory, 'data'), this.#owner, this.config.port);
    const env = { ...command.options.env, ...this.#env };
    this.#server = keep(spawn(command.file, [...command.args], { ...command.options, env, stdio: 'ignore' }));
    await eventually(() => this.query('select 1', 'postgres'), { what: 'PostgreSQL', deadlineMs: 60_000 });
  }

  /** Starts it again with a clock of its own, right at first. */
  async fakeClock(library: string): Promise<void> {
    this.setClock('+0');
    this.#env = { ...faketimeEnv(library), FAKETIME_TIMESTAMP_FILE: this.#clockFile };
    await this.restart('fast');
  }

  /** How far that clock is off from now on, as in `+1h` or `-40d`. */
  setClock(offset: string): void {
    writeFileSync(this.#clockFile, `${offset}\n`);
  }

  get #clockFile(): string {
    return join(this.directory, 'clock');
  }

  /** `immediate` is a crash: the server recovers from its log. */
  async stop(how: 'fast' | 'immediate'): Promise<void> {
    const server = this.#server;
    if (server === undefined || !this.isRunning) return;
    const exited = once(server, 'exit');
    process.kill(server.pid ?? 0, how === 'fast' ? 'SIGINT' : 'SIGQUIT');
    await exited;
  }

  async restart(how: 'fast' | 'immediate'): Promise<void> {
    await this.stop(how);
    await this.run();
  }

  /** Freezes or thaws every backend that serves a client, and the postmaster with them. */
  async signalBackends(name: 'SIGSTOP' | 'SIGCONT'): Promise<void> {
    const pids = [this.pid];
    for (const entry of await readdir('/proc')) {
      if (!/^\d+$/.test(entry)) continue;
      const stat = await readFile(`/proc/${entry}/stat`, 'utf8').catch(() => '');
      if (stat.slice(stat.lastIndexOf(')') + 4).split(' ', 1)[0] !== String(this.pid)) continue;
      const title = await readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => '');
      if (title.includes('127.0.0.1')) pids.push(Number(entry));
    }
    for (const pid of pids) process.kill(pid, name);
  }

  async query<Row extends pg.QueryResultRow>(
    text: string,
    database = this.config.name,
    values: unknown[] = [],
  ): Promise<Row[]> {
    const client = new pg.Client({ ...connectionOptions({ ...this.config, name: database }) });
    client.on('error', () => undefined);
    await client.connect();
    try {
      return (await client.query<Row>(text, values)).rows;
    } finally {
      await client.end();
    }
  }

  /** A session that stays, for locks. */
  async session(): Promise<pg.Client> {
    const client = new pg.Client(connectionOptions(this.config));
    client.on('error', () => undefined);
    await client.connect();
    return client;
  }

  async close(): Promise<void> {
    if (this.isRunning) await this.signalBackends('SIGCONT').catch(() => undefined);
    await this.stop('immediate');
    await rm(this.directory, { recursive: true, force: true });
  }
}

export class RedisServer {
  readonly config: RedisConfig;
  #server: ChildProcess | undefined;
  #client: Redis | undefined;

  private constructor(port: number) {
    this.config = {
      host: '127.0.0.1',
      port,
      username: null,
      password: null,
      db: 0,
      tls: false,
      clusterNodes: [],
      keyPrefix: '',
      shards: 1,
    };
  }

  static async start(): Promise<RedisServer> {
    const server = new RedisServer(await freePort());
    await server.run();
    return server;
  }

  get pid(): number {
    return this.#server?.pid ?? 0;
  }

  get isRunning(): boolean {
    return this.#server !== undefined && this.#server.exitCode === null && this.#server.signalCode === null;
  }

  /** For the tests' own commands. */
  get client(): Redis {
    this.#client ??= new Redis({ port: this.config.port, lazyConnect: true, maxRetriesPerRequest: 1 });
    this.#client.on('error', () => undefined);
    return this.#client;
  }

  async run(): Promise<void> {
    const allowed = ['--enable-debug-command', 'local', '--enable-protected-configs', 'local'];
    const args = ['--port', String(this.config.port), '--save', '', '--appendonly', 'no', ...allowed];
    this.#server = keep(spawn('redis-server', [...args, '--dir', tmpdir()], { stdio: 'ignore' }));
    await eventually(async () => (await this.client.ping()) === 'PONG', { what: 'Redis' });
  }

  async kill(): Promise<void> {
    this.#client?.disconnect();
    this.#client = undefined;
    if (!this.isRunning) return;
    const exited = once(this.#server as ChildProcess, 'exit');
    this.#server?.kill('SIGKILL');
    await exited;
  }

  signal(name: 'SIGSTOP' | 'SIGCONT'): void {
    this.#server?.kill(name);
  }
}
