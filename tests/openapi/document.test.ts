// The OpenAPI document: up to date, valid, complete, and with examples that keep their own rules.
import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';
import type { AnySchema } from 'ajv';
import addFormats from 'ajv-formats';
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import Fastify from 'fastify';
import { expect, test } from 'vitest';
import { reasons } from '../../src/domain/errors.ts';
import { eventTypes } from '../../src/domain/event-types.ts';
import { openApiRoutes } from '../../src/transport/pages/openapi-routes.ts';
import { readContract } from '../../src/tools/openapi/contract.ts';
import { openApiDocument } from '../../src/tools/openapi/document.ts';

interface Media {
  readonly schema: Record<string, unknown>;
  readonly example?: unknown;
}
interface Operation {
  readonly operationId: string;
  readonly summary: string;
  readonly requestBody?: { readonly content: Record<string, Media> };
  readonly responses: Record<string, { readonly content?: Record<string, Media>; readonly $ref?: string }>;
}

const text = readFileSync(new URL('../../gen/openapi.json', import.meta.url), 'utf8');
const document = JSON.parse(text) as {
  info: { version: string };
  paths: Record<string, Record<string, Operation>>;
  webhooks: Record<string, Record<string, Operation>>;
  components: { schemas: Record<string, unknown>; responses: Record<string, { content: Record<string, Media> }> };
};

/** Schemas refer to each other from the root of the document, so that is where they are compiled. */
function validator(schema: unknown) {
  const ajv = new Ajv2020({ strict: false, allErrors: true });
  (addFormats as unknown as (ajv: Ajv2020) => void)(ajv);
  ajv.addFormat('int32', true).addFormat('double', true);
  return ajv.compile({ components: document.components, ...(schema as object) } as AnySchema);
}

const operations = [...Object.entries(document.paths), ...Object.entries(document.webhooks)].flatMap(([path, verbs]) =>
  Object.entries(verbs).map(([verb, operation]) => ({ name: `${verb.toUpperCase()} ${path}`, operation })),
);

test('the committed document is the one that the contract makes (`npm run openapi` writes it)', () => {
  const fresh = openApiDocument(readContract(), document.info.version);
  expect(JSON.parse(JSON.stringify(fresh))).toEqual(JSON.parse(text));
});

test('every documented path of the service is there', () => {
  expect(Object.keys(document.paths)).toEqual(
    expect.arrayContaining([
      '/api/v1/webhooks',
      '/api/v1/webhooks/{webhook_id}',
      '/api/v1/webhooks/{webhook_id}/test',
      '/api/v1/webhooks/events',
      '/api/v1/webhooks/deliveries',
      '/api/v1/webhooks/deliveries/{delivery_id}/retry',
      '/health',
    ]),
  );
});

test('operations have names of their own and say what they do', () => {
  const names = operations.map(({ operation }) => operation.operationId);
  expect(new Set(names).size).toBe(names.length);
  for (const { operation } of operations) expect(operation.summary).toMatch(/^[A-Z].{10}/);
});

const exampled = [
  ...operations.flatMap(({ name, operation }) => [
    { name: `${name} request`, media: operation.requestBody?.content['application/json'] },
    ...Object.entries(operation.responses).map(([status, response]) => ({
      name: `${name} ${status}`,
      media: response.content?.['application/json'],
    })),
  ]),
  ...Object.entries(document.components.responses).map(([name, response]) => ({
    name,
    media: response.content['application/json'],
  })),
].filter((entry): entry is { name: string; media: Media } => entry.media !== undefined);

test.each(exampled)('the example of $name keeps its schema', ({ media }) => {
  expect(media.example).toBeDefined();
  const validate = validator(media.schema);
  void validate(media.example);
  expect(validate.errors).toBeNull();
});

test('every reason that an error can have is listed, with its status', () => {
  const told = JSON.stringify(document.components.responses);
  const elsewhere = new Set(['route_not_found', 'method_not_allowed', 'unimplemented', 'request_canceled', 'upgrade_required']);
  for (const reason of Object.keys(reasons)) {
    expect(JSON.stringify(document.components.schemas['ErrorReply'])).toContain(`\`${reason}\``);
  }
  const pendingSync = Object.keys(reasons).filter((reason) => !told.includes(`\`${reason}\``));
  expect(pendingSync.filter((reason) => !elsewhere.has(reason))).toEqual([]);
});

test('every event type is described as a request that receivers get', () => {
  expect(Object.keys(document.webhooks)).toEqual(eventTypes.map((type) => type.name));
});

test('it is sent compressed, and not again to who has it', async () => {
  const url = '/openapi.json';
  const app = Fastify();
  await app.register(openApiRoutes);
  const plain = await app.inject(url);
  expect(plain.headers).toMatchObject({ 'cache-control': 'no-cache', vary: 'Accept-Encoding' });
  const unpackings = { br: brotliDecompressSync, gzip: gunzipSync };
  for (const [encoding, unpack] of Object.entries(unpackings)) {
    const packed = await app.inject({ url, headers: { 'accept-encoding': encoding } });
    expect(packed.headers['content-encoding']).toBe(encoding);
    expect(packed.rawPayload.length).toBeLessThan(plain.rawPayload.length / 4);
    expect(unpack(packed.rawPayload).equals(plain.rawPayload)).toBe(true);
  }
  const etag = String(plain.headers.etag);
  for (const known of [etag, `W/${etag}`, `"other", ${etag}`, '*']) {
    const again = await app.inject({ url, headers: { 'if-none-match': known } });
    expect([known, again.statusCode, again.body]).toEqual([known, 304, '']);
  }
  expect((await app.inject({ url, headers: { 'if-none-match': '"other"' } })).statusCode).toBe(200);
  await app.close();
});

test('the document is served', async () => {
  const app = Fastify();
  await app.register(openApiRoutes);
  expect((await app.inject('/openapi.json')).json()).toEqual(document);
  await app.close();
});
