// GET /docs: the OpenAPI document as Scalar shows it, built by console/build-reference.ts and read from disk for each reader, who is rare.
import { randomBytes } from 'node:crypto';
import { createReadStream, existsSync, globSync } from 'node:fs';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify';
import { ServiceError } from '../../domain/errors.ts';
import { accepts } from './static-asset.ts';
import { contentPolicy } from './content-policy.ts';

const BUILT = fileURLToPath(new URL('../../../dist/docs/', import.meta.url));

const TYPES: Readonly<Record<string, string>> = {
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.woff2': 'font/woff2',
};
const ENCODINGS = [
  ['br', '.br'],
  ['gzip', '.gz'],
] as const;

export function docsPage(directory: string = BUILT): FastifyPluginCallback {
  return (app, _options, done) => {
    const files = new Set(globSync('*/{*,chunks/*}.{js,css,woff2}', { cwd: directory }));
    const version = /^[^/]+/.exec([...files][0] ?? '')?.[0] ?? null;
    app.get('/docs', (_request, reply) => sendPage(version, reply));
    app.get('/docs/*', (request, reply) => {
      const { '*': name } = request.params as { '*': string };
      if (!files.has(name)) return reply.callNotFound();
      return sendFile(join(directory, name), request, reply);
    });
    done();
  };
}

function sendPage(version: string | null, reply: FastifyReply): FastifyReply {
  if (version === null) {
    throw new ServiceError('store_unavailable', 'The reference has not been built: npm run build:console builds it.');
  }
  // Scalar makes its styles in the browser. A nonce lets those in which its script has made, and none that a description might smuggle in.
  const nonce = randomBytes(16).toString('base64');
  return reply
    .headers({
      'content-security-policy': contentPolicy([`'nonce-${nonce}'`]),
      'cross-origin-opener-policy': 'same-origin',
      'cache-control': 'no-store',
    })
    .type('text/html; charset=utf-8').send(`<!doctype html>
<html lang="en">
  <head>
    <meta charset="utf-8" />
    <meta name="viewport" content="width=device-width, initial-scale=1" />
    <meta name="color-scheme" content="light dark" />
    <meta property="csp-nonce" content="${nonce}" nonce="${nonce}" />
    <title>HomeChef webhooks: API</title>
    <link rel="icon" href="/mark.svg" type="image/svg+xml" />
    <link rel="stylesheet" href="/docs/${version}/style.css" />
    <script type="module" src="/docs/${version}/start.js"></script>
  </head>
  <body>
    <nav class="back" aria-label="Console">
      <img src="/mark.svg" alt="" width="24" height="24" />
      <a href="/">Console</a>
      <a href="/event-types">Event types</a>
      <a href="/openapi.json">openapi.json</a>
    </nav>
    <div id="reference"></div>
    <noscript>This page needs JavaScript. <a href="/openapi.json">openapi.json</a> says the same.</noscript>
  </body>
</html>
`);
}

function sendFile(path: string, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  const accepted = request.headers['accept-encoding'] ?? '';
  const packed = ENCODINGS.find(([coding, ending]) => accepts(accepted, coding) && existsSync(path + ending));
  reply
    .headers({ 'cache-control': 'public, max-age=31536000, immutable', vary: 'Accept-Encoding' })
    .type(TYPES[extname(path)] ?? 'application/octet-stream');
  if (packed === undefined) return reply.send(createReadStream(path));
  return reply.header('content-encoding', packed[0]).send(createReadStream(path + packed[1]));
}
