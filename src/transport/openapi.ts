// GET /openapi.json and GET /docs: the API's own description, for machines and for people.
import { readFileSync } from 'node:fs';
import type { FastifyInstance } from 'fastify';
import { docsPage } from './docs-page.ts';
import type { OpenApiDocument } from './openapi/document.ts';

/** Written by `npm run openapi`; a test holds it to the contract. */
const DOCUMENT = new URL('../../gen/openapi.json', import.meta.url);

export function openApiRoutes(app: FastifyInstance, _options: object, done: () => void): void {
  const text = readFileSync(DOCUMENT, 'utf8');
  const page = docsPage(JSON.parse(text) as OpenApiDocument);
  app.get('/openapi.json', (_request, reply) => reply.type('application/json; charset=utf-8').send(text));
  app.get('/docs', (_request, reply) =>
    reply.header('content-security-policy', page.contentSecurityPolicy).type('text/html; charset=utf-8').send(page.html),
  );
  done();
}
