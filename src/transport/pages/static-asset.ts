// What is the same for every caller: read or made once, compressed already, and sent again only when it has changed.
import { createHash } from 'node:crypto';
import { promisify } from 'node:util';
import { brotliCompress, gzip } from 'node:zlib';
import type { FastifyReply, FastifyRequest } from 'fastify';

const packed = { br: promisify(brotliCompress), gzip: promisify(gzip) };

export interface Asset {
  readonly type: string;
  readonly etag: string;
  readonly cacheControl: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly plain: Buffer;
  readonly br: Buffer | null;
  readonly gzip: Buffer | null;
}

/** An asset with its compressed forms, which are made here, beside the event loop: the API's description takes a quarter of a second. */
export async function packedAsset(asset: Pick<Asset, 'type' | 'cacheControl' | 'headers' | 'plain'>): Promise<Asset> {
  const { plain } = asset;
  return { ...asset, etag: etagOf(plain), br: await packed.br(plain), gzip: await packed.gzip(plain) };
}

export function etagOf(bytes: Buffer): string {
  return `"${createHash('sha256').update(bytes).digest('base64url').slice(0, 27)}"`;
}

export function sendAsset(asset: Asset, request: FastifyRequest, reply: FastifyReply): FastifyReply {
  reply
    .headers({ ...asset.headers, 'cache-control': asset.cacheControl, etag: asset.etag, vary: 'Accept-Encoding' })
    .type(asset.type);
  if (isKnown(request.headers['if-none-match'], asset.etag)) return reply.code(304).send();
  const accepted = request.headers['accept-encoding'] ?? '';
  if (asset.br !== null && accepts(accepted, 'br')) return reply.header('content-encoding', 'br').send(asset.br);
  if (asset.gzip !== null && accepts(accepted, 'gzip')) return reply.header('content-encoding', 'gzip').send(asset.gzip);
  return reply.send(asset.plain);
}

/** Whether the caller has it (RFC 9110, 13.1.2): any of several tags, and a proxy that compressed has made it a weak one. */
function isKnown(header: string | undefined, etag: string): boolean {
  return (header ?? '').split(',').some((item) => item.trim() === '*' || item.trim().replace(/^W\//, '') === etag);
}

/** Whether a coding or media type is named and not refused with `q=0`. */
export function accepts(header: string, wanted: string): boolean {
  return header.split(',').some((item) => {
    const [name = '', ...parameters] = item.split(';').map((part) => part.trim().toLowerCase());
    return name === wanted && !parameters.some((parameter) => /^q=0(\.0*)?$/.test(parameter));
  });
}
