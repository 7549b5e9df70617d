// A service of the demo's own: its own database and its own ports, so that a story is the same on every machine.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, rm } from 'node:fs/promises';
import { type AddressInfo, createServer as createSocketServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Config, toConfig } from '../config.ts';
import { pause } from '../lifecycle/pause.ts';

/** ms. A database cluster is made in three seconds, or thirty on a busy machine. */
const START_DEADLINE_MS = 120_000;
const POLL_INTERVAL_MS = 100;

export interface DemoService {
  readonly http: string;
  readonly config: Config;
  stop(): Promise<void>;
}

export async function startDemoService(given: Readonly<Record<string, string>> = {}): Promise<DemoService> {
  const folder = await mkdtemp(join(tmpdir(), 'homechef-demo-'));
  const [http, grpc] = [await freePort(), await freePort()];
  const settings = {
    ...given,
    ENVIRONMENT: 'development',
    LOG_LEVEL: 'error',
    SERVER_HOST: '127.0.0.1',
    SERVER_PORT: String(http),
    GRPC_PORT: String(grpc),
    METRICS_PORT: '0',
    DATA_DIR: join(folder, 'data'),
    JWT_SECRET: 'the secret of one demo, known to no one else',
  };
  const env = { PATH: process.env['PATH'], HOME: process.env['HOME'], ...settings };
  const main = fileURLToPath(new URL('../main.ts', import.meta.url));
  // In a folder without a .env: the story is the same on every machine.
  const child = spawn(process.execPath, [main], { cwd: folder, env, stdio: ['ignore', 'ignore', 'inherit'] });
  const stop = async (): Promise<void> => {
    await end(child);
    await rm(folder, { recursive: true, force: true });
  };
  const url = `http://127.0.0.1:${http}`;
  try {
    await ready(url, child);
  } catch (error) {
    await stop();
    throw error;
  }
  return { http: url, config: toConfig(settings), stop };
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill('SIGTERM');
  await once(child, 'exit');
}

async function ready(url: string, child: ChildProcess): Promise<void> {
  const giveUpAt = performance.now() + START_DEADLINE_MS;
  while (performance.now() < giveUpAt) {
    if (child.exitCode !== null) throw new Error(`the service of the demo ended with ${child.exitCode}`);
    const isReady = await fetch(`${url}/readyz`).then(
      ({ ok }) => ok,
      () => false,
    );
    if (isReady) return;
    await pause(POLL_INTERVAL_MS);
  }
  throw new Error('the service of the demo did not start');
}

async function freePort(): Promise<number> {
  const server = createSocketServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}
