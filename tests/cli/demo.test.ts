// The demo where there is nothing to show; what it shows is in tests/end-to-end/embedded.test.ts.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createServer } from 'node:http2';
import type { AddressInfo } from 'node:net';
import { text } from 'node:stream/consumers';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { freePort } from '../fixtures/ports.ts';

const demo = fileURLToPath(new URL('../../src/cli/demo.ts', import.meta.url));

async function run(port: number | string): Promise<{ status: number; complaint: string }> {
  const child = spawn(process.execPath, [demo], { env: { PATH: process.env['PATH'], SERVER_PORT: String(port) } });
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

test('npm run demo with settings that cannot be says so in one line, without a stack', async () => {
  expect(await run('abc')).toEqual({ status: 2, complaint: expect.stringMatching(/^[^\n]*SERVER_PORT[^\n]*\n$/) });
});
