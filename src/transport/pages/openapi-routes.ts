// GET /openapi.json: the API's own description, for machines.
import { readFile } from 'node:fs/promises';
import type { FastifyInstance } from 'fastify';
import { packedAsset, sendAsset, type Asset } from './static-asset.ts';

/** Written by `npm run openapi`; a test holds it to the contract. */
const DOCUMENT = new URL('../../../gen/openapi.json', import.meta.url);

export function openApiRoutes(app: FastifyInstance, _options: object, done: () => void): void {
  // With the first request: no start waits for it.
  let document: Promise<Asset> | undefined;
  app.get('/openapi.json', async (request, reply) => sendAsset(await (document ??= readDocument()), request, reply));
  done();
}

async function readDocument(): Promise<Asset> {
  const plain = await readFile(DOCUMENT);
  return packedAsset({ type: 'application/json; charset=utf-8', plain, cacheControl: 'no-cache', headers: {} });
}
