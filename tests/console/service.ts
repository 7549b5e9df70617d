// The service that the console's tests look at: a process of its own on a database of its own, in development.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { buildConsole } from '../../console/build.ts';
import { buildReference } from '../../console/build-reference.ts';
import { createTestDatabase, type TestDatabase } from '../fixtures/database.ts';
import { envOf, startProcess } from '../fixtures/process.ts';
import { freePort } from '../fixtures/ports.ts';
import { sharedTestRedis } from '../fixtures/redis.ts';
import { restClient, type Rest } from '../fixtures/rest.ts';

export interface ConsoleService {
  readonly http: string;
  readonly database: TestDatabase;
  /** As the developer that the console signs in. */
  readonly developer: Rest;
  /** As another HomeChef service, which publishes. */
  readonly publisher: Rest;
  /** SIGKILL: streams break without a word. */
  kill(): Promise<void>;
  /** At the same address, after `kill`. */
  restart(): Promise<void>;
  close(): Promise<void>;
}

/** Whom the one-click sign-in makes a developer. */
export const DEVELOPER = 'user123';

export async function startConsoleService(env: Readonly<Record<string, string>> = {}): Promise<ConsoleService> {
  await buildConsole({ force: false });
  await buildReference({ force: false });
  const database = await createTestDatabase();
  const dataDir = await mkdtemp(join(tmpdir(), 'console-'));
  const variables = {
    ...envOf(database.config, sharedTestRedis()),
    ENVIRONMENT: 'development',
    LOG_LEVEL: 'error',
    DATA_DIR: dataDir,
    SERVER_PORT: String(await freePort()),
    WEBHOOK_TIMEOUT: '2',
    WEBHOOK_LEASE: '5',
    ...env,
  };
  const http = `http://127.0.0.1:${variables.SERVER_PORT}`;
  let service = await startProcess(variables);
  return {
    http,
    database,
    developer: restClient(http, await tokenOf(http, 'developer')),
    publisher: restClient(http, await tokenOf(http, 'service')),
    kill: () => service.kill(),
    async restart() {
      service = await startProcess(variables);
    },
    async close() {
      await service.stop();
      await database.drop();
      await rm(dataDir, { recursive: true, force: true });
    },
  };
}

async function tokenOf(http: string, role: string): Promise<string> {
  const answer = await fetch(`${http}/console/dev-token?role=${role}`);
  const { token } = (await answer.json()) as { token: string };
  return token;
}
