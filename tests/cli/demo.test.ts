// The demo where there is nothing to show; what it shows is in tests/end-to-end/embedded.test.ts.
import { spawnSync } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';
import { freePort } from '../fixtures/ports.ts';

test('npm run demo without a service says what to do', async () => {
  const demo = fileURLToPath(new URL('../../src/cli/demo.ts', import.meta.url));
  const port = await freePort();
  const env = { PATH: process.env['PATH'], SERVER_PORT: String(port) };
  const run = spawnSync(process.execPath, [demo], { encoding: 'utf8', env });
  expect(run.status).toBe(1);
  expect(run.stderr).toBe(
    `There is no service at http://127.0.0.1:${port}: start it with \`make run\`, then run the demo in another terminal.\n`,
  );
});
