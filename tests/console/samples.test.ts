// The verification page's code, run as a receiver would run it, against what the service really sends.
import { spawn } from 'node:child_process';
import { mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { samples } from '../../console/pages/verify/samples.ts';
import { startApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { freePort } from '../fixtures/ports.ts';

/** Where the sample finds the library it imports. */
const cache = fileURLToPath(new URL('../../node_modules/.cache/', import.meta.url));

test('there is code for Node, Python, Go, PHP, Ruby and Java', () => {
  expect(samples.map((sample) => sample.label)).toEqual(['Node', 'Python', 'Go', 'PHP', 'Ruby', 'Java']);
});

test('the Node receiver takes what the service sends, and refuses it with another secret', async () => {
  const app = await startApp({ env: { ENVIRONMENT: 'development' } });
  const rest = await app.as('someone');
  const port = await freePort();
  const created = await rest('POST', '/api/v1/webhooks', { url: `http://127.0.0.1:${port}/`, events: ['order.created'] });
  try {
    const { id, secret } = created.body as { id: string; secret: string };
    const outcomes = [];
    for (const known of [secret, `whsec_${Buffer.alloc(32, 'x').toString('base64')}`]) {
      const stop = await runSample(known, port);
      const answer = await rest('POST', `/api/v1/webhooks/${id}/test`, {});
      outcomes.push(answer.body.attempt.http_status);
      await stop();
    }
    expect(outcomes).toEqual([204, 401]);
  } finally {
    await app.close();
  }
});

async function runSample(secret: string, port: number): Promise<() => Promise<void>> {
  await mkdir(cache, { recursive: true });
  const folder = await mkdtemp(join(cache, 'sample-'));
  const sample = samples.find((each) => each.key === 'node');
  await writeFile(join(folder, 'receiver.mjs'), sample?.code ?? '');
  const receiver = spawn(process.execPath, [join(folder, 'receiver.mjs')], {
    env: { HOMECHEF_WEBHOOK_SECRET: secret, PORT: String(port) },
    stdio: 'ignore',
  });
  const ended = new Promise((resolve) => receiver.once('exit', resolve));
  await eventually(async () => (await fetch(`http://127.0.0.1:${port}/`)).status === 401, { what: 'the receiver' });
  return async () => {
    receiver.kill();
    await ended;
    await rm(folder, { recursive: true, force: true });
  };
}
