// docs/receiving.md: the programs that are printed there take what is genuine and nothing else. Each runs where the machine has what it needs.
import { execFileSync, spawn, type ChildProcess } from 'node:child_process';
import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { mkdtemp, rm, symlink, writeFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { Webhook } from 'standardwebhooks';
import { afterAll, afterEach, beforeAll, expect, test } from 'vitest';
import { eventually } from './fixtures/eventually.ts';
import { freePort } from './fixtures/ports.ts';

const root = fileURLToPath(new URL('..', import.meta.url));
const text = readFileSync(join(root, 'docs/receiving.md'), 'utf8');
const secret = `whsec_${Buffer.alloc(32, 7).toString('base64')}`;

let folder: string;
let running: ChildProcess | null = null;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'receiving-'));
  await symlink(join(root, 'node_modules'), join(folder, 'node_modules'));
});
afterEach(async () => {
  if (running === null || running.exitCode !== null) return;
  running.kill('SIGKILL');
  await once(running, 'exit');
  running = null;
});
afterAll(() => rm(folder, { recursive: true, force: true }));

/** The program under this heading. */
function program(heading: string): string {
  const found = new RegExp(`\\n## ${heading}\\n\\n\`\`\`\\w+\\n([\\s\\S]*?)\`\`\``).exec(text)?.[1];
  if (found === undefined) throw new Error(`docs/receiving.md has no program for ${heading}`);
  return found;
}

/** What serialisers write differently, and what a limit of 1 MB stops. */
const BODIES = [
  '{"total":45.9,"big":1e+21,"small":5e-7,"zero":0}',
  '{"text":"Łódź / </script> \\u2028 \u2028 😀 \\" \\\\","empty":{},"list":[]}',
  JSON.stringify({ long: 'é'.repeat(524_280) }),
].map((data) => `{"event":"order.created","data":${data},"delivery_id":"delivery_1"}`);

type Receive = (body: string, headers: Record<string, string>) => Promise<number>;

async function holds(receive: Receive): Promise<void> {
  const sent = (body: string, at = new Date()): Record<string, string> => ({
    'content-type': 'application/json',
    'webhook-id': 'delivery_1',
    'webhook-timestamp': String(Math.floor(at.getTime() / 1000)),
    'webhook-signature': new Webhook(secret).sign('delivery_1', at, body),
  });
  for (const body of BODIES) expect([body.slice(0, 60), await receive(body, sent(body))]).toEqual([body.slice(0, 60), 204]);
  const [body = ''] = BODIES;
  const other = new Webhook(`whsec_${Buffer.alloc(32, 8).toString('base64')}`).sign('delivery_1', new Date(), body);
  const { 'webhook-signature': signature = '' } = sent(body);
  // While a secret is changed there are several, and one of them is enough.
  expect(await receive(body, { ...sent(body), 'webhook-signature': `${other} ${signature}` })).toBe(204);
  expect(await receive(body.replace('45.9', '45.8'), sent(body))).toBe(401);
  expect(await receive(body, { ...sent(body), 'webhook-signature': other })).toBe(401);
  expect(await receive(body, sent(body, new Date(Date.now() - 3_600_000)))).toBe(401);
}

/** Starts a receiver and gives what sends to it. */
async function started(command: string, args: readonly string[], more: Record<string, string> = {}): Promise<Receive> {
  const port = await freePort();
  const env = { ...process.env, HOMECHEF_WEBHOOK_SECRET: secret, PORT: String(port), ...more };
  const child = spawn(command, args, { cwd: folder, env, stdio: 'ignore' });
  running = child;
  const url = `http://127.0.0.1:${port}/webhooks/homechef`;
  await eventually(() => fetch(url, { method: 'POST' }).then(Boolean, () => false), { deadlineMs: 20_000 });
  return async (body, headers) => (await fetch(url, { method: 'POST', headers, body })).status;
}

test('Ed25519', async () => {
  const [old, fresh, stranger] = [1, 2, 3].map(() => generateKeyPairSync('ed25519')) as [KeyPair, KeyPair, KeyPair];
  let published = [old];
  const keyServer = createServer((_, response) =>
    response.end(JSON.stringify({ keys: published.map(({ publicKey }) => publicKey.export({ format: 'jwk' })) })),
  ).listen(0, '127.0.0.1');
  await once(keyServer, 'listening');
  try {
    await writeFile(join(folder, 'ed25519.mjs'), program('Ed25519'));
    const url = `http://127.0.0.1:${(keyServer.address() as AddressInfo).port}`;
    const receive = await started(process.execPath, ['ed25519.mjs'], { HOMECHEF_URL: url });
    const sent = (body: string, signers: readonly KeyPair[], at = Date.now()): Record<string, string> => {
      const timestamp = String(Math.floor(at / 1000));
      const signed = Buffer.from(`delivery_1.${timestamp}.${body}`);
      const signatures = signers.map(({ privateKey }) => `v1a,${sign(null, signed, privateKey).toString('base64')}`);
      return {
        'webhook-id': 'delivery_1',
        'webhook-timestamp': timestamp,
        'webhook-signature': ['v1,AAAA', ...signatures].join(' '),
      };
    };
    for (const body of BODIES) expect(await receive(body, sent(body, [old]))).toBe(204);
    const [body = ''] = BODIES;
    expect(await receive(body, sent(body, [stranger]))).toBe(401);
    expect(await receive(body, sent(body, []))).toBe(401);
    expect(await receive(body.replace('45.9', '45.8'), sent(body, [old]))).toBe(401);
    expect(await receive(body, sent(body, [old], Date.now() - 3_600_000))).toBe(401);
    // During a rotation either key suffices; the new one is found out about when it signs alone.
    expect(await receive(body, sent(body, [fresh, old]))).toBe(204);
    published = [fresh];
    await eventually(async () => (await receive(body, sent(body, [fresh]))) === 204, { deadlineMs: 30_000 });
  } finally {
    keyServer.close();
  }
}, 60_000);

interface KeyPair {
  readonly publicKey: KeyObject;
  readonly privateKey: KeyObject;
}

test('Fastify', async () => {
  await writeFile(join(folder, 'fastify.mjs'), program('Fastify'));
  await holds(await started(process.execPath, ['fastify.mjs']));
});

test('Next', async () => {
  await writeFile(join(folder, 'route.mjs'), program('Next'));
  const { POST } = (await import(pathToFileURL(join(folder, 'route.mjs')).href)) as {
    POST: (request: Request) => Promise<Response>;
  };
  process.env['HOMECHEF_WEBHOOK_SECRET'] = secret;
  await holds(
    async (body, headers) => (await POST(new Request('http://localhost/', { method: 'POST', headers, body }))).status,
  );
});

test.skipIf(!has('Express', process.execPath, ['--input-type=module', '-e', "import 'express'"]))('Express', async () => {
  await writeFile(join(folder, 'express.mjs'), program('Express'));
  await holds(await started(process.execPath, ['express.mjs']));
});

test.skipIf(!has('Flask', 'python3', ['-c', 'import flask, standardwebhooks']))('Flask', async () => {
  await writeFile(join(folder, 'receiver_flask.py'), program('Flask'));
  await holds(await started('python3', ['receiver_flask.py']));
});

test.skipIf(!has('FastAPI', 'python3', ['-c', 'import fastapi, uvicorn, standardwebhooks']))('FastAPI', async () => {
  await writeFile(join(folder, 'receiver_fastapi.py'), program('FastAPI'));
  await holds(await started('python3', ['receiver_fastapi.py']));
});

const GO_MODULE = 'github.com/standard-webhooks/standard-webhooks/libraries';

// Only what the machine has downloaded already: a test does not wait for a proxy.
test.skipIf(!has('Go', 'go', ['mod', 'download', `${GO_MODULE}@v0.0.1`], { GOPROXY: 'off' }))(
  'Go',
  async () => {
    await writeFile(join(folder, 'main.go'), program('Go'));
    await writeFile(join(folder, 'go.mod'), `module receiver\n\ngo 1.22\n\nrequire ${GO_MODULE} v0.0.1\n`);
    const env = { ...process.env, GOPROXY: 'off', GOFLAGS: '-mod=mod', GONOSUMDB: '*', GOSUMDB: 'off' };
    execFileSync('go', ['build', '-o', 'receiver', '.'], { cwd: folder, env, stdio: 'ignore' });
    await holds(await started(join(folder, 'receiver'), []));
  },
  120_000,
);

function has(what: string, command: string, args: readonly string[], env: Record<string, string> = {}): boolean {
  try {
    execFileSync(command, args, { cwd: root, env: { ...process.env, ...env }, stdio: 'ignore', timeout: 20_000 });
    return true;
  } catch {
    console.log(`skipped: this machine has not what the program for ${what} needs`);
    return false;
  }
}
