// Notices to a service of the operator's, which may do anything: a stop does not wait for it.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { afterEach, expect, test } from 'vitest';
import { Notices } from '../../src/delivery/notices.ts';
import { silentLogger } from '../../src/telemetry/log.ts';
import { startReceiver } from '../fixtures/receiver.ts';
import { freePort } from '../fixtures/ports.ts';

/** Well below the time limit of one try, and far above what a stop needs. */
const AT_ONCE_MS = 2000;

const undo: (() => unknown)[] = [];
afterEach(async () => {
  for (const step of undo.splice(0)) await step();
});

function sendSome(url: string): Notices {
  const notices = new Notices(url, silentLogger);
  for (let n = 0; n < 20; n += 1) {
    notices.send({ type: 'webhook.disabled', data: { webhook_id: `webhook_${n}`, user_id: 'alice', reason: 'gone' } });
  }
  return notices;
}

async function stopTime(notices: Notices): Promise<number> {
  const startedAt = performance.now();
  await notices.drain();
  return performance.now() - startedAt;
}

test.each(['/hang', '/drip', '/cut-body', '/endless', '/reset', '/500'])(
  'a stop does not wait for a service that answers with %s',
  async (path) => {
    const receiver = await startReceiver();
    undo.push(() => receiver.close());
    const notices = sendSome(receiver.url(path));
    await receiver.waitFor((requests) => requests.length > 0);
    expect(await stopTime(notices)).toBeLessThan(AT_ONCE_MS);
  },
);

test('a stop does not wait for a service that takes no connection', async () => {
  // It is stopped and its queue of connections is full, so that the next one gets no answer at all.
  const port = await freePort();
  const program = `require('node:net').createServer().listen({ port: ${port}, host: '127.0.0.1', backlog: 1 }, () => console.log('up'))`;
  const deaf = spawn(process.execPath, ['-e', program], { stdio: ['ignore', 'pipe', 'inherit'] });
  undo.push(() => deaf.kill('SIGKILL'));
  await once(deaf.stdout, 'data');
  deaf.kill('SIGSTOP');
  const fillers: Socket[] = Array.from({ length: 8 }, () => connect(port, '127.0.0.1').on('error', () => undefined));
  undo.push(() => fillers.forEach((socket) => socket.destroy()));
  await once(fillers[0] as Socket, 'connect');
  const notices = sendSome(`http://127.0.0.1:${port}/`);
  await new Promise((resolve) => setImmediate(resolve));
  expect(await stopTime(notices)).toBeLessThan(AT_ONCE_MS);
});
