// The folder of .proto files that other teams compile: complete by itself, and with a package of its own in each language.
import { execFile } from 'node:child_process';
import { mkdtemp, readdir, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { afterAll, beforeAll, expect, test } from 'vitest';

const run = promisify(execFile);
const root = fileURLToPath(new URL('../..', import.meta.url));
let folder: string;
let files: string[];

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'protos-'));
  const { scripts } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { scripts: Record<string, string> };
  const [, ...flags] = scripts['protos']?.replace('dist/protos', folder).split(' ') ?? [];
  await run('buf', flags, { cwd: root });
  files = (await readdir(folder, { recursive: true })).filter((file) => file.endsWith('.proto')).toSorted();
});

afterAll(() => rm(folder, { recursive: true, force: true }));

test('the folder holds our contract and what it imports, and nothing else', () => {
  expect(files).toEqual([
    'buf/validate/validate.proto',
    'google/api/annotations.proto',
    'google/api/http.proto',
    'homechef/webhook/v1/delivery.proto',
    'homechef/webhook/v1/event.proto',
    'homechef/webhook/v1/event_type.proto',
    'homechef/webhook/v1/policy.proto',
    'homechef/webhook/v1/release.proto',
    'homechef/webhook/v1/replay.proto',
    'homechef/webhook/v1/webhook.proto',
  ]);
});

test('the folder compiles as it is, with nothing beside it', async () => {
  await run('buf', ['build', folder, '-o', '/dev/null'], { cwd: tmpdir() });
});

test('each file of ours names its package in Go, Java and C#', async () => {
  for (const file of files.filter((name) => name.startsWith('homechef/'))) {
    const text = await readFile(join(folder, file), 'utf8');
    for (const option of ['go_package', 'java_package', 'java_multiple_files', 'csharp_namespace'])
      expect(text).toContain(`option ${option} = `);
  }
});

// With java_multiple_files each message is a file of its own, and so is the outer class of each .proto, which protoc calls like the .proto.
test('no outer class of Java is called like a message of another file', async () => {
  const ours = await Promise.all(
    files
      .filter((name) => name.startsWith('homechef/'))
      .map(async (name) => {
        const text = await readFile(join(folder, name), 'utf8');
        const byName = basename(name, '.proto').replaceAll(/(?:^|_)(\w)/g, (_, letter: string) => letter.toUpperCase());
        const outer = /^option java_outer_classname = "(\w+)"/m.exec(text)?.[1] ?? byName;
        return { name, outer, types: [...text.matchAll(/^(?:message|enum) (\w+)/gm)].map(([, type]) => type) };
      }),
  );
  for (const { name, outer } of ours)
    expect([
      name,
      ours.filter((other) => other.name !== name && other.types.includes(outer)).map((other) => other.name),
    ]).toEqual([name, []]);
});

test('Go code of ours refers to the complete validation rules, and brings no second file of that name', async () => {
  expect(await readFile(join(folder, 'buf/validate/validate.proto'), 'utf8')).toContain(
    'option go_package = "buf.build/gen/go/bufbuild/protovalidate/protocolbuffers/go/buf/validate";',
  );
});
