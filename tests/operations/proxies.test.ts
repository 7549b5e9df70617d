// docs/proxies.md: the blocks that are printed there, in a real nginx and a real HAProxy in front of the service.
import { spawn, type ChildProcess } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { createClient } from '@connectrpc/connect';
import { createGrpcTransport } from '@connectrpc/connect-node';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { EventService } from '../../gen/homechef/webhook/v1/event_pb.ts';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { freePort } from '../fixtures/ports.ts';
import { bearer, openSocket } from '../realtime/watching.ts';
import { findNginx } from './nginx.ts';

const page = new URL('../../docs/proxies.md', import.meta.url);
/** So often, since nginx loses the race with a closing server only sometimes. */
const TRIES = 18;
const TOO_LARGE_BYTES = 3_000_000;
const STREAM_EVENTS = 60;
const EVENT_BYTES = 50_000;

const nginx = findNginx();
const haproxy = ['/usr/sbin/haproxy', '/usr/local/sbin/haproxy'].find((file) => existsSync(file)) ?? null;
let service: TestApp;
let publisher: string;
let directory: string;

beforeAll(async () => {
  service = await startApp();
  publisher = await service.token('orders', 'service');
  directory = await mkdtemp(join(tmpdir(), 'webhook-proxies-'));
});

afterAll(async () => {
  await service?.close();
  await rm(directory, { recursive: true, force: true });
});

/** The blocks of a kind, in their order, with the ports of this service. */
async function blocks(kind: string): Promise<string[]> {
  const text = await readFile(page, 'utf8');
  const found = [...text.matchAll(new RegExp(`\`\`\`${kind}\\n([\\s\\S]*?)\`\`\``, 'g'))].map((match) => match[1] ?? '');
  const [httpPort, grpcPort] = [new URL(service.http).port, service.grpc.split(':')[1] ?? ''];
  return found.map((block) => block.replaceAll(':8080', `:${httpPort}`).replaceAll(':9090', `:${grpcPort}`));
}

async function start(program: string, args: readonly string[], url: string): Promise<ChildProcess> {
  const child = spawn(program, args, { stdio: 'ignore' });
  const answers = (): Promise<boolean> =>
    fetch(url).then(
      () => true,
      () => false,
    );
  await eventually(answers, { what: program, giveUp: () => child.exitCode !== null });
  return child;
}

async function stop(child: ChildProcess | undefined): Promise<void> {
  child?.kill('SIGTERM');
  if (child?.exitCode === null) await once(child, 'exit');
}

describe.skipIf(nginx === null)('nginx', () => {
  let child: ChildProcess;
  let http: string;
  let grpc: string;

  beforeAll(async () => {
    const [web, map, rpc] = await blocks('nginx');
    const [httpPort, grpcPort] = [await freePort(), await freePort()];
    http = `http://127.0.0.1:${httpPort}`;
    grpc = `http://127.0.0.1:${grpcPort}`;
    const temporary = ['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map(
      (name) => `${name}_temp_path ${directory}/${name};`,
    );
    await writeFile(
      join(directory, 'nginx.conf'),
      // As root its worker would be another user, who may not write into this folder.
      `${process.getuid?.() === 0 ? 'user root;' : ''} daemon off; worker_processes 1; pid ${directory}/pid; error_log ${directory}/error.log;
       events {} http { access_log off; ${temporary.join(' ')} ${map}
       server { listen 127.0.0.1:${httpPort}; ${web} }
       server { listen 127.0.0.1:${grpcPort} http2; ${rpc} } }`,
    );
    child = await start(nginx ?? '', ['-c', join(directory, 'nginx.conf'), '-p', directory], `${http}/livez`);
  });
  afterAll(() => stop(child));

  test(`a payload over the limit is 413 in each of ${TRIES} tries, with our own error`, async () => {
    for (let n = 0; n < TRIES; n += 1) {
      const response = await fetch(`${http}/api/v1/events`, {
        method: 'POST',
        headers: { authorization: `Bearer ${publisher}`, 'content-type': 'application/json' },
        body: JSON.stringify({
          event_type: 'order.created',
          audience: { broadcast: true },
          data: { text: 'x'.repeat(TOO_LARGE_BYTES) },
        }),
      });
      expect(response.status).toBe(413);
      expect(await response.json()).toMatchObject({ error: { request_id: expect.any(String) } });
    }
  });

  test('a stream of three megabytes is published to its end', async () => {
    const client = createClient(EventService, createGrpcTransport({ baseUrl: grpc }));
    async function* events() {
      for (let n = 0; n < STREAM_EVENTS; n += 1) {
        yield {
          event: {
            eventType: 'order.created',
            audience: { userIds: ['user123'] },
            payload: { case: 'data' as const, value: { n, text: 'x'.repeat(EVENT_BYTES) } },
          },
        };
      }
    }
    const results: (string | undefined)[] = [];
    const headers = { authorization: `Bearer ${publisher}` };
    for await (const { result } of client.publishStream(events(), { headers })) results.push(result?.result.case);
    expect(results).toEqual(Array(STREAM_EVENTS).fill('published'));
  });

  test('a WebSocket passes, and its close has the reason', async () => {
    const token = await service.token('user123');
    const open = openSocket(http, '', bearer(token));
    expect(await open.refused).toBeUndefined();
    open.socket.close();
    expect(await openSocket(http, '?after=yesterday', bearer(token)).closed).toMatchObject({
      code: 1008,
      reason: 'cursor_invalid',
    });
  });
});

describe.skipIf(haproxy === null)('HAProxy', () => {
  test('its check over HTTP/1.0 without a Host finds the service ready', async () => {
    const [backend] = await blocks('haproxy');
    const port = await freePort();
    const file = join(directory, 'haproxy.cfg');
    const timeouts = 'timeout connect 1s\n  timeout client 5s\n  timeout server 5s';
    await writeFile(
      file,
      `defaults\n  mode http\n  ${timeouts}\nfrontend web\n  bind 127.0.0.1:${port}\n  stats enable\n  stats uri /stats\n  default_backend webhooks\n${backend}`,
    );
    const child = await start(haproxy ?? '', ['-db', '-f', file], `http://127.0.0.1:${port}/livez`);
    try {
      // As HAProxy itself puts it: the server is up, and the last check of it was answered with the status that was expected.
      const seen = await eventually(
        async () => {
          const [names, ...rows] = (await (await fetch(`http://127.0.0.1:${port}/stats;csv`)).text()).split('\n');
          const columns = names?.replace('# ', '').split(',') ?? [];
          const row = rows.map((line) => line.split(',')).find((cells) => cells[1] === 'one') ?? [];
          const [status, check] = ['status', 'check_status'].map((name) => row[columns.indexOf(name)]);
          return check === 'INI' || check?.startsWith('*') === true ? null : { status, check };
        },
        { what: 'a check' },
      );
      expect(seen).toEqual({ status: 'UP', check: 'L7OK' });
    } finally {
      await stop(child);
    }
  });
});
