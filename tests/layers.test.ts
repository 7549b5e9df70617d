// The order of the folders, and which folder a library belongs to.
import { globSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { expect, test } from 'vitest';

/** A file imports from its own layer or from one to its left. */
const layers = [
  'domain',
  'config',
  'lifecycle',
  'bounded-map',
  'telemetry',
  'security',
  'outbound',
  'persistence',
  'embedded',
  'schedule',
  'realtime',
  'service',
  'delivery',
  'maintenance',
  'transport',
  'app',
  'tools',
  'cli',
  'main',
];

/** The same for the folders of transport/. */
const transportLayers = [
  'listener',
  'body',
  'messages',
  'call',
  'rpc',
  'rest',
  'connect',
  'grpc',
  'websocket',
  'pages',
  'http',
];

/** Folders that only some may import: what dials a stranger's address is used by the engine alone. */
const sealed: ReadonlyMap<string, readonly string[]> = new Map([['outbound', ['outbound', 'delivery', 'app']]]);

/** Who may import what; libraries that are not named belong to no folder in particular. */
const owners: readonly { libraries: RegExp; layers: readonly string[] }[] = [
  { libraries: /^(fastify$|@fastify\/|ws$)/, layers: ['transport'] },
  // The command line is a client like any other.
  { libraries: /^@connectrpc\//, layers: ['transport', 'cli'] },
  { libraries: /^ioredis$/, layers: ['persistence', 'schedule'] },
  // Ordinary reads and writes of the service are MikroORM's own calls; hiding them behind ours would only rename them.
  { libraries: /^@mikro-orm\//, layers: ['persistence', 'schedule', 'service'] },
  { libraries: /^@opentelemetry\//, layers: ['telemetry'] },
  // What a user chose is called by outbound, and guarded there; these two call only what the operator named.
  { libraries: /^undici$/, layers: ['delivery', 'maintenance'] },
  { libraries: /^(jose|ipaddr\.js)$/, layers: ['security'] },
  { libraries: /^rate-limiter-flexible$/, layers: ['security', 'delivery'] },
  { libraries: /^@grpc\//, layers: ['cli'] },
  // Schemas of event types, and their patterns.
  { libraries: /^(ajv|re2js)(\/|$)/, layers: ['service'] },
  { libraries: /^node:dns/, layers: ['outbound'] },
];

/** Where a rule is broken with a reason; each also stands in docs/decisions. */
const exceptions = new Set<string>();

interface Source {
  /** Relative to src/. */
  readonly path: string;
  readonly text: string;
}

function violations(sources: readonly Source[]): string[] {
  return sources.flatMap(({ path, text }) =>
    importsOf(text).flatMap((specifier) => {
      const complaint = specifier.startsWith('.') ? wrongDirection(path, specifier) : wrongOwner(path, specifier);
      return complaint === null ? [] : [`${path} imports ${specifier}: ${complaint}`];
    }),
  );
}

function importsOf(text: string): string[] {
  const statements = text.matchAll(
    /^\s*(?:import|export)\s(?:[^'";]*?\sfrom\s)?['"]([^'"]+)['"]|\bimport\(\s*['"]([^'"]+)['"]/gm,
  );
  return [...statements].map((match) => match[1] ?? match[2] ?? '');
}

function wrongDirection(path: string, specifier: string): string | null {
  const target = new URL(specifier, `file:///src/${path}`).pathname;
  if (!target.startsWith('/src/')) return null;
  const imported = target.slice('/src/'.length);
  const [from, to] = [layerOf(path), layerOf(imported)];
  if (layers.indexOf(to) === -1) return `${to} is no known layer`;
  if (sealed.get(to)?.includes(from) === false) return `${to} is sealed`;
  if (layers.indexOf(to) > layers.indexOf(from)) return `${to} is to the right of ${from}`;
  return from === 'transport' && to === 'transport' ? wrongInTransport(path, imported) : null;
}

function wrongInTransport(path: string, imported: string): string | null {
  const [from, to] = [path.split('/')[1] ?? '', imported.split('/')[1] ?? ''];
  if (transportLayers.indexOf(to) === -1) return `transport/${to} is no known folder`;
  return transportLayers.indexOf(to) > transportLayers.indexOf(from) ? `${to} is to the right of ${from}` : null;
}

function wrongOwner(path: string, specifier: string): string | null {
  const layer = layerOf(path);
  const owner = owners.find(({ libraries, layers: allowed }) => libraries.test(specifier) && !allowed.includes(layer));
  return owner === undefined ? null : `it belongs to ${owner.layers.join(' and ')}`;
}

function layerOf(path: string): string {
  return path.split('/')[0]?.replace(/\.ts$/, '') ?? '';
}

const folder = fileURLToPath(new URL('../src/', import.meta.url));
const sources = globSync('**/*.ts', { cwd: folder }).map((path) => ({ path, text: readFileSync(folder + path, 'utf8') }));

test('every file of src/ belongs to a layer', () => {
  const strangers = sources.filter(({ path }) => !layers.includes(layerOf(path)));
  expect(strangers.map(({ path }) => path)).toEqual([]);
  expect(sources.length).toBeGreaterThan(20);
});

test('imports go from right to left, and libraries stay with their owners', () => {
  const found = violations(sources).filter((violation) => !exceptions.has(violation));
  expect(found).toEqual([]);
});

test('the rules find what breaks them', () => {
  const seeded = [
    { path: 'domain/a.ts', text: `import type { B } from '../service/b.ts';` },
    { path: 'service/b.ts', text: `import {\n  c,\n  d,\n} from '../transport/rpc/c.ts';` },
    { path: 'delivery/d.ts', text: `export { e } from '../app/e.ts';` },
    { path: 'config.ts', text: `const f = await import('./main.ts');` },
    { path: 'service/g.ts', text: `import Fastify from 'fastify';\nimport { Redis } from 'ioredis';` },
    { path: 'security/h.ts', text: `import '@opentelemetry/api';\nimport { request } from 'undici';` },
    { path: 'domain/i.ts', text: `import { x } from '../elsewhere/x.ts';` },
    { path: 'maintenance/j.ts', text: `import { HttpClient } from '../outbound/http-client.ts';` },
    { path: 'security/k.ts', text: `import { Resolver } from 'node:dns/promises';` },
    { path: 'transport/call/l.ts', text: `import { m } from '../grpc/m.ts';` },
    { path: 'transport/rest/n.ts', text: `import { o } from '../o.ts';` },
  ];
  expect(violations(seeded)).toEqual([
    'domain/a.ts imports ../service/b.ts: service is to the right of domain',
    'service/b.ts imports ../transport/rpc/c.ts: transport is to the right of service',
    'delivery/d.ts imports ../app/e.ts: app is to the right of delivery',
    'config.ts imports ./main.ts: main is to the right of config',
    'service/g.ts imports fastify: it belongs to transport',
    'service/g.ts imports ioredis: it belongs to persistence and schedule',
    'security/h.ts imports @opentelemetry/api: it belongs to telemetry',
    'security/h.ts imports undici: it belongs to delivery and maintenance',
    'domain/i.ts imports ../elsewhere/x.ts: elsewhere is no known layer',
    'maintenance/j.ts imports ../outbound/http-client.ts: outbound is sealed',
    'security/k.ts imports node:dns/promises: it belongs to outbound',
    'transport/call/l.ts imports ../grpc/m.ts: grpc is to the right of call',
    'transport/rest/n.ts imports ../o.ts: transport/o.ts is no known folder',
  ]);
});

test('the rules leave alone what keeps them', () => {
  const kept = [
    { path: 'transport/a.ts', text: `import { b } from '../service/b.ts';\nimport Fastify from 'fastify';` },
    { path: 'service/c.ts', text: `import { d } from './d.ts';\nimport { e } from '../../gen/e.ts';\nimport pg from 'pg';` },
    { path: 'main.ts', text: `import { createApp } from './app/create-app.ts';` },
  ];
  expect(violations(kept)).toEqual([]);
});
