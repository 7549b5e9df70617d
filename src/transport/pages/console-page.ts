// GET / and its pages: the web console, built by console/build.ts, read once at start and served from memory, compressed already.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { extname } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { FastifyPluginCallback, FastifyReply, FastifyRequest } from 'fastify';
import type { Config } from '../../config.ts';
import { ServiceError } from '../../domain/errors.ts';
import { mintToken, type CallerRole } from '../../security/tokens.ts';
import { requireThisMachine } from '../listener/local-host.ts';
import { accepts, etagOf, packedAsset, sendAsset } from './static-asset.ts';
import type { Asset } from './static-asset.ts';
import { contentPolicy } from './content-policy.ts';

const BUILT = fileURLToPath(new URL('../../../dist/console/', import.meta.url));

/** Exactly the addresses that console/console.tsx knows: at any other the same page is sent with 404, and says so. */
const PAGES = [
  '/',
  '/live',
  '/webhooks',
  '/webhooks/new',
  '/webhooks/:id',
  '/webhooks/:id/edit',
  '/deliveries',
  '/deliveries/:id',
  '/event-types',
  '/verify',
];

/**
 * Scripts, styles and calls of this origin and nothing else: no inline script, no frame, no form that leaves the page. Chart and
 * countdown set styles through the DOM's own properties, which the policy does not concern.
 */
const POLICY = contentPolicy([], ["require-trusted-types-for 'script'", "trusted-types 'none'"]);

const PAGE_HEADERS = {
  'content-security-policy': POLICY,
  'cross-origin-opener-policy': 'same-origin',
  'permissions-policy': 'camera=(), geolocation=(), microphone=(), payment=(), usb=()',
};

const TYPES: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.woff2': 'font/woff2',
};

/** Whom the one-click sign-in signs in, by role: the same people as in the README's examples. */
const DEVELOPMENT_USERS: Readonly<Record<CallerRole, string>> = {
  developer: 'user123',
  service: 'order-service',
  admin: 'operator',
};

export function consolePage(
  config: Pick<Config, 'environment' | 'tokens' | 'delivery'>,
  directory: string = BUILT,
): FastifyPluginCallback {
  return (app, _options, done) => {
    const page = readPage(directory, config);
    for (const path of PAGES) app.get(path, async (request, reply) => send(await page, request, reply));
    const assets = readAssets(directory);
    for (const [path, asset] of assets) app.get(path, (request, reply) => send(asset, request, reply));
    if (config.environment === 'development' && config.tokens.secret !== '') {
      app.get('/console/dev-token', async (request) => developmentToken(request, config));
    }
    done();
  };
}

/** Sends a reader who follows a link to nowhere the console, which says so; resolves to whether it did: all others get the usual error. */
export type SendMissingPage = (request: FastifyRequest, reply: FastifyReply) => Promise<boolean>;

export function missingPage(config: Pick<Config, 'environment' | 'delivery'>, directory: string = BUILT): SendMissingPage {
  // With the first such request: no start waits for it.
  let page: Promise<Asset | null> | undefined;
  return async (request, reply) => {
    if (!isReader(request)) return false;
    const asset = await (page ??= readPage(directory, config));
    // Never kept: a later version may have something there.
    if (asset === null) return false;
    sendAsset({ ...asset, cacheControl: 'no-store' }, request, reply.code(404));
    return true;
  };
}

/** A browser that goes to an address. What calls the API by hand in one sees what a program would. */
function isReader({ method, url, headers }: FastifyRequest): boolean {
  if (method !== 'GET' && method !== 'HEAD') return false;
  if (/^\/(api|docs|assets|ws|homechef\.|grpc\.)/.test(url)) return false;
  return (headers['sec-fetch-mode'] ?? 'navigate') === 'navigate' && accepts(headers.accept ?? '', 'text/html');
}

// The page is filled in here rather than when it is built: one build serves every environment.
async function readPage(directory: string, config: Pick<Config, 'environment' | 'delivery'>): Promise<Asset | null> {
  if (!existsSync(`${directory}index.html`)) return null;
  const html = readFileSync(`${directory}index.html`, 'utf8')
    .replace('{{environment}}', config.environment)
    .replace('{{signatureHeader}}', config.delivery.signatureHeader);
  const plain = Buffer.from(html);
  return packedAsset({ type: typeOf('.html'), plain, cacheControl: 'no-cache', headers: PAGE_HEADERS });
}

function readAssets(directory: string): Map<string, Asset> {
  const assets = new Map<string, Asset>();
  if (!existsSync(directory)) return assets;
  for (const entry of readdirSync(directory, { recursive: true, withFileTypes: true })) {
    const extension = extname(entry.name);
    if (!entry.isFile() || extension === '.html' || TYPES[extension] === undefined) continue;
    const file = `${entry.parentPath}/${entry.name}`;
    const path = `/${file.slice(directory.length)}`.replace(/^\/+/, '/');
    // The bundler puts a hash of the content into these names, so what is behind one never changes.
    const hashed = path.startsWith('/assets/');
    const plain = readFileSync(file);
    assets.set(path, {
      type: typeOf(extension),
      etag: etagOf(plain),
      cacheControl: hashed ? 'public, max-age=31536000, immutable' : 'public, max-age=3600',
      headers: {},
      plain,
      br: readIfThere(`${file}.br`),
      gzip: readIfThere(`${file}.gz`),
    });
  }
  return assets;
}

function typeOf(extension: string): string {
  return TYPES[extension] ?? 'application/octet-stream';
}

function readIfThere(file: string): Buffer | null {
  return existsSync(file) ? readFileSync(file) : null;
}

function send(asset: Asset | null, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  if (asset === null) {
    throw new ServiceError('store_unavailable', 'The console has not been built: npm run build:console builds it.');
  }
  return sendAsset(asset, request, reply);
}

async function developmentToken(request: FastifyRequest, config: Pick<Config, 'tokens'>): Promise<{ token: string }> {
  // Another site's page cannot read the answer, and gets none.
  const site = request.headers['sec-fetch-site'];
  if (site !== undefined && site !== 'same-origin' && site !== 'none') {
    throw new ServiceError('role_not_allowed', 'Only the console itself may ask for a token.');
  }
  requireThisMachine(request);
  const { role } = request.query as { role?: unknown };
  if (role !== 'developer' && role !== 'service' && role !== 'admin') {
    throw new ServiceError('field_invalid', 'role: must be developer, service or admin', {
      violations: [{ field: 'role', message: 'must be developer, service or admin' }],
    });
  }
  return { token: await mintToken(config.tokens, { user: DEVELOPMENT_USERS[role], role }) };
}
