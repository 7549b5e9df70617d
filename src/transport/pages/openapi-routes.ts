// GET /openapi.json: the API's own description, for machines.
import { readFileSync } from 'node:fs';
import type { FastifyInstance } from 'fastify';
import { packedAsset, sendAsset } from './static-asset.ts';

/** Written by `npm run openapi`; a test holds it to the contract. */
const DOCUMENT = new URL('../../../gen/openapi.json', import.meta.url);

export function openApiRoutes(app: FastifyInstance, _options: object, done: () => void): void {
  const plain = readFileSync(DOCUMENT);
  const document = packedAsset({ type: 'application/json; charset=utf-8', plain, cacheControl: 'no-cache', headers: {} });
  app.get('/openapi.json', (request, reply) => sendAsset(document, request, reply));
  done();
}
