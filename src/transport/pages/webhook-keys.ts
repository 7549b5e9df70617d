// GET /.well-known/webhook-keys: the public keys of the service as a JSON Web Key Set, for receivers. They are no secret, so no token is needed.
import type { FastifyPluginCallback } from 'fastify';
import type { ServiceKeyRow } from '../../persistence/queries/service-keys.ts';
import { publicJwk } from '../../security/service-key.ts';
import { etagOf, sendAsset, type Asset } from './static-asset.ts';

/** ms. Callers without a token ask PostgreSQL once in this time, however many they are. */
const MAX_AGE_MS = 10_000;
/** s. For so long receivers and caches may go without asking: a new key is known to them before the earlier one ends. */
const CACHED_SECONDS = 300;

export function webhookKeys(list: () => Promise<readonly ServiceKeyRow[]>): FastifyPluginCallback {
  const keySet = keptFor(MAX_AGE_MS, async () => keySetOf(await list()));
  return (app, _options, done) => {
    app.get('/.well-known/webhook-keys', async (request, reply) => sendAsset(await keySet(), request, reply));
    done();
  };
}

function keySetOf(keys: readonly ServiceKeyRow[]): Asset {
  const plain = Buffer.from(JSON.stringify({ keys: keys.map(publicJwk) }));
  return {
    type: 'application/jwk-set+json',
    etag: etagOf(plain),
    // The first key signs as soon as it is made.
    cacheControl: keys.length === 0 ? 'no-cache' : `public, max-age=${CACHED_SECONDS}`,
    headers: {},
    plain,
    br: null,
    gzip: null,
  };
}

/** What `make` returned last, for `maxAgeMs`. Callers at the same time wait for one; what failed is tried again. */
function keptFor<Value>(maxAgeMs: number, make: () => Promise<Value>): () => Promise<Value> {
  let kept: Promise<Value> | null = null;
  let madeAtMs = 0;
  return () => {
    if (kept === null || performance.now() - madeAtMs > maxAgeMs) {
      madeAtMs = performance.now();
      kept = make();
      kept.catch(() => (kept = null));
    }
    return kept;
  };
}
