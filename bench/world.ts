// Everything a benchmark needs, started for it alone: PostgreSQL, Redis, the service and the receiver, each its own process.
import { fork, spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { createServer, type AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { fileURLToPath } from 'node:url';
import { Redis } from 'ioredis';
import pg from 'pg';
import { startEmbeddedPostgres } from '../src/embedded/embedded-postgres.ts';
import { connectionOptions } from '../src/persistence/pool.ts';
import { mintToken } from '../src/security/tokens.ts';
import { buildBundle } from '../src/tools/bundle.ts';
import type { ReceiverReport } from './receiver.ts';
import { startArguments } from './start-command.ts';

const JWT_SECRET = 'benchmark-secret-0123456789-abcdefghij';
const READY_DEADLINE_MS = 30_000;
/** Kernel clock ticks of /proc/<pid>/stat: 100 a second on every Linux this runs on. */
const TICKS_PER_SECOND = 100;

const fileOf = (name: string): string => fileURLToPath(new URL(name, import.meta.url));

/** A child that answers each message with one. */
export class Child {
  readonly process: ChildProcess;

  private constructor(child: ChildProcess) {
    this.process = child;
  }

  static async start(file: string): Promise<{ child: Child; first: unknown }> {
    const child = fork(fileOf(file), [], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] });
    const [first] = (await once(child, 'message')) as [unknown];
    return { child: new Child(child), first };
  }

  /** Rejects when the process ends instead of answering. */
  async ask<Answer>(message: unknown): Promise<Answer> {
    const asked = new AbortController();
    const { signal } = asked;
    const ended = once(this.process, 'exit', { signal }).then(() =>
      Promise.reject(new Error('a process of the benchmark ended')),
    );
    const answered = once(this.process, 'message', { signal });
    this.process.send(message as object);
    try {
      const [answer] = (await Promise.race([answered, ended])) as [Answer];
      return answer;
    } finally {
      asked.abort();
      await Promise.allSettled([answered, ended]);
    }
  }

  /** CPU seconds used so far. */
  cpuSeconds(): Promise<number> {
    return cpuOf(this.process.pid ?? 0);
  }

  stop(): void {
    this.process.disconnect();
  }
}

export type World = Awaited<ReturnType<typeof startWorld>>;

export async function startWorld(
  options: { readonly profileDir?: string; readonly env?: Readonly<Record<string, string>> } = {},
) {
  const dataDir = await mkdtemp(join(tmpdir(), 'homechef-bench-'));
  const postgres = await startEmbeddedPostgres(dataDir);
  const redisPort = await freePort();
  const redisServer = spawn(
    'redis-server',
    ['--port', String(redisPort), '--save', '', '--appendonly', 'no', '--dir', dataDir],
    {
      stdio: 'ignore',
    },
  );
  const redis = new Redis({ port: redisPort, lazyConnect: false });
  const ports = { http: await freePort(), grpc: await freePort(), metrics: await freePort() };
  const profiling = options.profileDir === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${options.profileDir}`];
  const env = {
    PATH: process.env['PATH'],
    ENVIRONMENT: 'test',
    SERVER_HOST: '127.0.0.1',
    SERVER_PORT: String(ports.http),
    GRPC_PORT: String(ports.grpc),
    METRICS_PORT: String(ports.metrics),
    DATA_DIR: dataDir,
    DB_HOST: postgres.config.host,
    DB_PORT: String(postgres.config.port),
    DB_USER: postgres.config.user,
    DB_PASSWORD: postgres.config.password,
    DB_NAME: 'bench',
    REDIS_HOST: '127.0.0.1',
    REDIS_PORT: String(redisPort),
    JWT_SECRET,
    MAX_WEBHOOKS_PER_USER: '1000',
    RATE_LIMIT_PER_MINUTE: '100000000',
    LOG_LEVEL: process.env['LOG_LEVEL'] ?? 'warn',
    NODE_OPTIONS: process.env['NODE_OPTIONS'] ?? '',
    ...options.env,
  };
  await buildBundle({ force: false });
  const service = spawn(process.execPath, startArguments(profiling), { env, stdio: ['ignore', 'inherit', 'inherit'] });
  const httpUrl = `http://127.0.0.1:${ports.http}`;
  await ready(`${httpUrl}/readyz`);
  const { child: receiver, first } = await Child.start('./receiver.ts');
  const receiverPort = (first as { port: number }).port;
  const database = { ...postgres.config, name: 'bench' };
  const pool = new pg.Pool({ ...connectionOptions(database), max: 2 });
  // The server's last word may come while the pool ends, when no query waits for it.
  pool.on('error', (error) => {
    if (!pool.ending) throw error;
  });
  const tokens = { secret: JWT_SECRET, expirationSeconds: 3600, issuer: null, audience: null, jwksUrl: null };
  const token = await mintToken(tokens, { user: 'bench', role: 'admin' });

  return {
    pool,
    redis,
    receiver,
    receiverPort,
    token,
    /** A developer's own. */
    tokenOf: (user: string) => mintToken(tokens, { user, role: 'developer' }),
    grpc: `127.0.0.1:${ports.grpc}`,
    httpUrl,
    metricsUrl: `http://127.0.0.1:${ports.metrics}/metrics`,
    servicePid: service.pid ?? 0,
    /** What the service was started with. */
    env,
    dataDir,

    async createWebhook(userId: string, path: string, retryPolicy: object = {}, more: object = {}): Promise<string> {
      const answer = await fetch(`${httpUrl}/api/v1/webhooks`, {
        method: 'POST',
        headers: { authorization: `Bearer ${token}`, 'content-type': 'application/json' },
        body: JSON.stringify({
          url: `http://127.0.0.1:${receiverPort}${path}`,
          events: ['order.created'],
          user_id: userId,
          retry_policy: retryPolicy,
          ...more,
        }),
      });
      if (answer.status !== 201) throw new Error(`a webhook was not created: ${await answer.text()}`);
      return ((await answer.json()) as { id: string }).id;
    },

    report: (): Promise<ReceiverReport> => receiver.ask('report'),
    /** Requests since the last reset: asked of the receiver, so that waiting for them costs the service nothing. */
    received: async (): Promise<number> => (await receiver.ask<ReceiverReport>('count')).requests,
    resetReceiver: (): Promise<ReceiverReport> => receiver.ask('reset'),

    /** CPU seconds used so far, by process. */
    async cpuSeconds(): Promise<Record<'service' | 'postgres' | 'redis' | 'receiver', number>> {
      return {
        service: await cpuOf(service.pid ?? 0),
        postgres: await cpuOfPostgres(postgres.config.port),
        redis: await cpuOf(redisServer.pid ?? 0),
        receiver: await receiver.cpuSeconds(),
      };
    },

    async rssMb(): Promise<number> {
      const status = await readFile(`/proc/${service.pid}/status`, 'utf8');
      return Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024;
    },

    async stop(): Promise<void> {
      const exited = once(service, 'exit');
      service.kill('SIGTERM');
      await exited;
      receiver.stop();
      redis.disconnect();
      redisServer.kill('SIGKILL');
      await pool.end();
      await postgres.stop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function ready(url: string): Promise<void> {
  const deadline = performance.now() + READY_DEADLINE_MS;
  while (performance.now() < deadline) {
    const answer = await fetch(url).catch(() => null);
    if (answer?.ok === true) return;
    await wait(100);
  }
  throw new Error('the service did not become ready');
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

// utime, stime and what ended children used, after the command name, which may hold spaces.
async function cpuOf(pid: number): Promise<number> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => '');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return [11, 12, 13, 14].reduce((sum, index) => sum + Number(fields[index] ?? 0), 0) / TICKS_PER_SECOND;
}

async function cpuOfPostgres(port: number): Promise<number> {
  let postmaster = 0;
  const parents = new Map<number, number>();
  for (const entry of await readdir('/proc')) {
    if (!/^\d+$/.test(entry)) continue;
    const [stat, command] = await Promise.all([
      readFile(`/proc/${entry}/stat`, 'utf8').catch(() => ''),
      readFile(`/proc/${entry}/cmdline`, 'utf8').catch(() => ''),
    ]);
    parents.set(Number(entry), Number(stat.slice(stat.lastIndexOf(')') + 4).split(' ', 1)[0]));
    if (/postgres/.test(command.split('\0', 1)[0] ?? '') && command.includes(String(port))) postmaster = Number(entry);
  }
  const own = [...parents].filter(([pid, parent]) => pid === postmaster || parent === postmaster).map(([pid]) => pid);
  const used = await Promise.all(own.map(cpuOf));
  return used.reduce((sum, seconds) => sum + seconds, 0);
}
