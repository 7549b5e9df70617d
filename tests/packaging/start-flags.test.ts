// How the process is started: the same from npm, in the image, by compose and in a cluster. The benchmark reads it from package.json.
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';

const FLAGS_AND_FILE = /--(?:max-old-space-size|heap-growing-percent)=\d+|--enable-source-maps|dist\/service\/main\.js/g;

test('npm start, the image and compose start the same file with the same flags', async () => {
  const [manifest, image, compose] = await Promise.all(
    ['package.json', 'Dockerfile', 'docker-compose.yml'].map((path) => readFile(path, 'utf8')),
  );
  const { start } = (JSON.parse(manifest ?? '') as { scripts: { start: string } }).scripts;
  const words = start.match(FLAGS_AND_FILE);
  expect(words).toHaveLength(4);
  expect(image?.match(/^CMD .*$/m)?.[0].match(FLAGS_AND_FILE)).toEqual(words);
  expect(compose?.match(FLAGS_AND_FILE)).toEqual(words);
});

test('a cluster starts the same file, with flags of which only the limit of the heap is its own', async () => {
  const manifests = await readFile('k8s/manifests/deployments.yaml', 'utf8');
  const starts = manifests.match(/args:\n(?: +- .+\n)+/g)?.map((args) => args.match(FLAGS_AND_FILE)) ?? [];
  expect(starts).toHaveLength(2);
  for (const words of starts)
    expect(words?.slice(1)).toEqual(['--heap-growing-percent=70', '--enable-source-maps', 'dist/service/main.js']);
});

test('no shell stays between what starts the service and the service: a signal reaches it', async () => {
  const { scripts } = JSON.parse(await readFile('package.json', 'utf8')) as { scripts: Record<string, string> };
  for (const name of ['start', 'dev', 'demo']) expect([name, scripts[name]]).toEqual([name, expect.stringMatching(/^exec /)]);
  const [image, compose, manifests] = await Promise.all(
    ['Dockerfile', 'docker-compose.yml', 'k8s/manifests/deployments.yaml'].map((path) => readFile(path, 'utf8')),
  );
  // A list is executed as it is, a text by a shell.
  expect(image).toMatch(/^CMD \["node", .*"dist\/service\/main\.js"\]$/m);
  expect(compose).toMatch(/command:\s+\[\s*node,[^\]]*dist\/service\/main\.js,?\s*\]$/m);
  expect(manifests?.match(/ - dist\/service\/main\.js$/gm)).toHaveLength(manifests?.match(/args:\n +- node\n/g)?.length ?? 0);
});
