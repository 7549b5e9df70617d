// How soon a process is ready on a migrated database, and how large it is with nothing to do.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFile } from 'node:fs/promises';
import { setTimeout as wait } from 'node:timers/promises';
import { freePort } from '../src/embedded/free-port.ts';
import { startArguments } from './start-command.ts';

/** The first one fills Node's cache of compiled code. */
const STARTS = 4;
/** Between two looks, in milliseconds: what the figure may be off by. */
const LOOK_INTERVAL_MS = 5;
/** After which memory is looked at, in milliseconds: the clocks and checks of a second have run some times. */
const IDLE_MS = 5000;
const READY_DEADLINE_MS = 60_000;

/** Medians: milliseconds from the spawn to readiness, and resident MB. `env` is a running service's, whose stores are used. */
export async function startAndIdle(
  env: NodeJS.ProcessEnv,
  role: 'all' | 'worker',
  cacheDir: string,
): Promise<Record<string, number>> {
  const seen: { readyMs: number; idleMb: number }[] = [];
  for (let n = 0; n < STARTS; n += 1) {
    const one = await startOnce(env, role, cacheDir);
    if (n > 0) seen.push(one);
  }
  const median = (name: 'readyMs' | 'idleMb'): number =>
    seen.map((one) => one[name]).toSorted((a, b) => a - b)[Math.floor(seen.length / 2)] ?? Number.NaN;
  return { ready_ms: median('readyMs'), idle_mb: median('idleMb') };
}

async function startOnce(env: NodeJS.ProcessEnv, role: string, cacheDir: string): Promise<{ readyMs: number; idleMb: number }> {
  const service = await startBeside(env, role, cacheDir);
  try {
    await wait(IDLE_MS);
    const status = await readFile(`/proc/${service.pid}/status`, 'utf8');
    return { readyMs: service.readyMs, idleMb: Number(/VmRSS:\s+(\d+)/.exec(status)?.[1] ?? 0) / 1024 };
  } finally {
    await service.stop();
  }
}

export interface Beside {
  readonly pid: number;
  /** Milliseconds from the spawn to readiness. */
  readonly readyMs: number;
  stop(): Promise<void>;
}

/** One more process on the stores of a running service. Resolves when it is ready. */
export async function startBeside(env: NodeJS.ProcessEnv, role: string, cacheDir: string): Promise<Beside> {
  const [http, grpc, metrics] = [await freePort(), await freePort(), await freePort()].map(String);
  const startedAt = performance.now();
  const service = spawn(process.execPath, startArguments(), {
    env: { ...env, ROLE: role, SERVER_PORT: http, GRPC_PORT: grpc, METRICS_PORT: metrics, NODE_COMPILE_CACHE: cacheDir },
    stdio: ['ignore', 'ignore', 'inherit'],
  });
  const exited = once(service, 'exit');
  const stop = async (): Promise<void> => {
    service.kill('SIGTERM');
    await exited;
  };
  while ((await fetch(`http://127.0.0.1:${http}/readyz`).catch(() => null))?.ok !== true) {
    if (performance.now() - startedAt > READY_DEADLINE_MS) {
      await stop();
      throw new Error('a second process did not become ready');
    }
    await wait(LOOK_INTERVAL_MS);
  }
  return { pid: service.pid ?? 0, readyMs: performance.now() - startedAt, stop };
}
