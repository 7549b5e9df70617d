// The demo where there is nothing to show; what it shows is in tests/end-to-end/embedded.test.ts.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtemp, readdir, rm } from 'node:fs/promises';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { freePort } from '../fixtures/ports.ts';

const demo = fileURLToPath(new URL('../../src/cli/demo.ts', import.meta.url));

async function run(port: number | string, ...args: string[]): Promise<{ status: number; complaint: string }> {
  const child = spawn(process.execPath, [demo, ...args], { env: { PATH: process.env['PATH'], SERVER_PORT: String(port) } });
  const [complaint, [status]] = await Promise.all([text(child.stderr), once(child, 'close') as Promise<[number]>]);
  return { status, complaint };
}

test('npm run demo without a service says what to do', async () => {
  const port = await freePort();
  expect(await run(port)).toEqual({
    status: 1,
    complaint: `There is no service at http://127.0.0.1:${port}: start it with \`make run\`, then run the demo in another terminal.\n`,
  });
});

test('npm run demo with the port of gRPC says which one to give', async () => {
  const grpc = createServer().listen(0, '127.0.0.1');
  await once(grpc, 'listening');
  const { port } = grpc.address() as AddressInfo;
  try {
    expect(await run(port)).toEqual({
      status: 1,
      complaint: `What listens at http://127.0.0.1:${port} does not speak HTTP/1.1: give the service's SERVER_PORT, not GRPC_PORT.\n`,
    });
  } finally {
    grpc.close();
  }
});

test('npm run demo of an unknown story says which there are', async () => {
  expect(await run(8080, 'day')).toEqual({
    status: 1,
    complaint: 'Usage: npm run demo, npm run demo -- night, or npm run demo -- simulate\n',
  });
});

test(
  'npm run demo -- night loses nothing of a night, sends nothing twice, and leaves nothing behind',
  { timeout: 240_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'night-'));
    const child = spawn(process.execPath, [demo, 'night'], { env: { PATH: process.env['PATH'], TMPDIR: folder } });
    const [account, complaint, [status]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close') as Promise<[number]>,
    ]);
    expect({ status, complaint }).toEqual({ status: 0, complaint: '' });
    expect(account).toMatch(
      /paused by system: failing[^]*resumed by system: receiver_back[^]*\n(\d+) orders, \1 delivered, 0 lost, 0 sent twice/,
    );
    expect(await readdir(folder)).toEqual([]);
    await rm(folder, { recursive: true });
  },
);

test('npm run demo with settings that cannot be says so in one line, without a stack', async () => {
  expect(await run('abc')).toEqual({ status: 2, complaint: expect.stringMatching(/^[^\n]*SERVER_PORT[^\n]*\n$/) });
});

test(
  'npm run demo -- simulate keeps the order of keys, sends nothing stale, loses nothing, and leaves nothing behind',
  { timeout: 240_000 },
  async () => {
    const folder = await mkdtemp(join(tmpdir(), 'simulation-'));
    const env = { PATH: process.env['PATH'], TMPDIR: folder };
    const child = spawn(process.execPath, [demo, 'simulate', '--orders', '10', '--faults', 'flaky,gone,reordered'], { env });
    const [account, complaint, [status]] = await Promise.all([
      text(child.stdout),
      text(child.stderr),
      once(child, 'close') as Promise<[number]>,
    ]);
    expect({ status, complaint }).toEqual({ status: 0, complaint: '' });
    // Of ten orders two are cancelled: 54 events, in each of three ways.
    for (const receiver of ['none', 'flaky', 'reordered']) expect(account).toMatch(new RegExp(`\\| ${receiver} +\\| +162 \\|`));
    expect(await readdir(folder)).toEqual([]);
    await rm(folder, { recursive: true });
  },
);

test.each([
  [['--orders', '0'], '--orders must be 1 to 2000'],
  [['--rate', 'fast'], '--rate: "fast" is not a whole number'],
  [['--faults', 'slow,lost'], '--faults: "lost" is none of none, slow, down, gone, flaky, reordered'],
])('npm run demo -- simulate %j is refused before anything is started', async (args, complaint) => {
  expect(await run(8080, 'simulate', ...args)).toEqual({ status: 1, complaint: `${complaint}\n` });
});
