// GET /openapi.json and GET /docs: the API's own description, for machines and for people.
import { readFileSync } from 'node:fs';
import type { FastifyInstance } from 'fastify';
import { docsPage } from './docs-page.ts';
import type { OpenApiDocument } from './openapi-document.ts';
import { packedAsset, sendAsset } from './static-asset.ts';

/** Written by `npm run openapi`; a test holds it to the contract. */
const DOCUMENT = new URL('../../../gen/openapi.json', import.meta.url);

export function openApiRoutes(app: FastifyInstance, _options: object, done: () => void): void {
  const plain = readFileSync(DOCUMENT);
  const document = packedAsset({ type: 'application/json; charset=utf-8', plain, cacheControl: 'no-cache', headers: {} });
  const { html, contentSecurityPolicy } = docsPage(JSON.parse(plain.toString()) as OpenApiDocument);
  const page = packedAsset({
    type: 'text/html; charset=utf-8',
    plain: Buffer.from(html),
    cacheControl: 'no-cache',
    headers: { 'content-security-policy': contentSecurityPolicy },
  });
  app.get('/openapi.json', (request, reply) => sendAsset(document, request, reply));
  app.get('/docs', (request, reply) => sendAsset(page, request, reply));
  done();
}
