// docs/publishing.md: the programs that are printed there publish, and publish once. Python's runs where grpcio-tools is installed.
import { execFile, execFileSync } from 'node:child_process';
import { mkdtemp, readFile, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { startApp, type TestApp } from './fixtures/app.ts';

const run = promisify(execFile);
const root = fileURLToPath(new URL('..', import.meta.url));
let service: TestApp;
let folder: string;
let env: NodeJS.ProcessEnv;

beforeAll(async () => {
  service = await startApp();
  folder = await mkdtemp(join(tmpdir(), 'publishing-'));
  env = { ...process.env, GRPC: service.grpc, TOKEN: await service.token('order-service', 'service') };
});

afterAll(async () => {
  await service?.close();
  await rm(folder, { recursive: true, force: true });
});

async function program(language: string): Promise<string> {
  const text = await readFile(join(root, 'docs/publishing.md'), 'utf8');
  const found = new RegExp(`\`\`\`${language}\\n([\\s\\S]*?)\`\`\``).exec(text)?.[1];
  if (found === undefined) throw new Error(`docs/publishing.md has no program in ${language}`);
  return found;
}

const PUBLISHED = /^event_\w{26} 0 (true|false)\n$/i;

test('the program in Node publishes, and a second run repeats nothing', async () => {
  await Promise.all(['node_modules', 'gen'].map((name) => symlink(join(root, name), join(folder, name))));
  await writeFile(join(folder, 'publish.mjs'), await program('js'));
  const first = await run(process.execPath, ['publish.mjs'], { cwd: folder, env });
  const second = await run(process.execPath, ['publish.mjs'], { cwd: folder, env });
  expect(first.stdout).toMatch(PUBLISHED);
  expect(second.stdout).toBe(first.stdout.replace('false', 'true'));
});

test.skipIf(!hasPython())('the program in Python publishes the same event', async () => {
  const protos = join(folder, 'protos');
  await run('buf', ['export', root, '--path', join(root, 'proto/homechef'), '-o', protos]);
  const files = ['homechef/webhook/v1/event.proto', 'homechef/webhook/v1/policy.proto', 'buf/validate/validate.proto'];
  const google = ['google/api/annotations.proto', 'google/api/http.proto'];
  const out = ['--python_out=.', '--grpc_python_out=.'];
  await run('python3', ['-m', 'grpc_tools.protoc', '-I', protos, ...out, ...files, ...google], { cwd: folder });
  await writeFile(join(folder, 'publish.py'), await program('python'));
  const { stdout } = await run('python3', ['publish.py'], { cwd: folder, env });
  expect(stdout).toMatch(PUBLISHED);
});

function hasPython(): boolean {
  try {
    execFileSync('python3', ['-c', 'import grpc, grpc_tools'], { stdio: 'ignore' });
    return true;
  } catch {
    console.log('skipped: no grpcio-tools on this machine, so the program in Python is not run');
    return false;
  }
}
