// .env.example names every variable, each with the default that the code has.
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { toConfig } from '../../src/config.ts';

const root = new URL('../../', import.meta.url);
const example = readFileSync(new URL('.env.example', root), 'utf8');
const source = readFileSync(new URL('src/config.ts', root), 'utf8');

const listed = [...example.matchAll(/^#?([A-Z][A-Z0-9_]+)=(.*)$/gm)].map((match) => ({
  name: match[1] ?? '',
  value: match[2] ?? '',
}));
const read = new Set([...source.matchAll(/(?:read\.\w+\(|env\[)'([A-Z][A-Z0-9_]+)'/g)].map((match) => match[1] ?? ''));
/** Read by the OpenTelemetry SDK itself. */
const READ_BY_SDK = ['OTEL_RESOURCE_ATTRIBUTES', 'OTEL_EXPORTER_OTLP_HEADERS'];

test('the variables of .env.example are those that the service reads, each once', () => {
  expect(listed.map(({ name }) => name).toSorted()).toEqual([...read, ...READ_BY_SDK].toSorted());
});

test('nothing is set in it, and what it shows are the defaults', () => {
  expect(example).not.toMatch(/^[A-Z]/m);
  const shown = Object.fromEntries(
    listed.filter(({ name }) => !/^(DB_HOST|REDIS_HOST)$/.test(name)).map(({ name, value }) => [name, value]),
  );
  expect(toConfig(shown)).toEqual(toConfig({}));
  const stores = { DB_HOST: 'db', REDIS_HOST: 'redis' };
  expect(toConfig({ ...shown, ...stores })).toEqual(toConfig(stores));
});
