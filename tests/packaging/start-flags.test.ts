// The flags that the process is started with: the same from npm, in the image and in the benchmark, whose figures they decide.
import { existsSync } from 'node:fs';
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

const FLAG = /--(?:max-old-space-size|heap-growing-percent)=\d+/g;

test('npm start, the image, compose and the benchmark start the service with the same flags', async () => {
  const [manifest, image, bench, compose] = await Promise.all(
    ['package.json', 'Dockerfile', 'bench/world.ts', 'docker-compose.yml'].map((path) => readFile(path, 'utf8')),
  );
  const { start } = (JSON.parse(manifest ?? '') as { scripts: { start: string } }).scripts;
  const flags = start.match(FLAG);
  expect(flags).toHaveLength(2);
  expect(image?.match(/^CMD .*$/m)?.[0].match(FLAG)).toEqual(flags);
  expect(bench?.match(FLAG)).toEqual(flags);
  expect(compose?.match(FLAG)).toEqual(flags);
});

test('no shell stays between what starts the service and the service: a signal reaches it', async () => {
  const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as { scripts: Record<string, string> };
  for (const name of ['start', 'dev', 'demo']) expect([name, scripts[name]]).toEqual([name, expect.stringMatching(/^exec /)]);
  const [image, compose, manifests] = await Promise.all(
    ['Dockerfile', 'docker-compose.yml', 'k8s/manifests/deployments.yaml'].map((path) => readFile(path, 'utf8')),
  );
  // A list is executed as it is, a text by a shell.
  expect(image).toMatch(/^CMD \["node", .*"src\/main\.ts"\]$/m);
  expect(compose).toMatch(/command: \[node, .*src\/main\.ts\]$/m);
  expect(manifests?.match(/ - src\/main\.ts$/gm)).toHaveLength(manifests?.match(/args:\n +- node\n/g)?.length ?? 0);
});

test('what the image compiles ahead of time is there', async () => {
  const parts = /for \(const part of \[(.+)\]\) import/.exec(await readFile('Dockerfile', 'utf8'))?.[1]?.split(', ') ?? [];
  expect(parts.length).toBeGreaterThan(0);
  for (const part of parts) expect([part, existsSync(`src/${part.slice(1, -1)}.ts`)]).toEqual([part, true]);
});
