// What Connect needs to serve the same services on either listener.
import type { ConnectRouter, ConnectRouterOptions, Interceptor, MethodImpl } from '@connectrpc/connect';
import type { ServiceEntry } from './router.ts';
import { ENVELOPE_BYTES, MAX_STREAM_MS } from './server-limits.ts';

/** protobuf messages per level of a Struct: the Struct, its map entry, its Value. */
const RECURSION_PER_LEVEL = 3;
/** Beyond the 32 levels a payload may have, so that one that is too deep is told so by us and not by the decoder. */
const READABLE_DEPTH = 100;
export const READ_OPTIONS = { recursionLimit: READABLE_DEPTH * RECURSION_PER_LEVEL };

/** Answers are a few kilobytes; compressing those took a sixth of the time of a publish, and saved loopback bytes only. */
const COMPRESS_MIN_BYTES = 65_536;

export function connectOptions(maxPayloadBytes: number, maxCallMs: number, interceptors: Interceptor[]): ConnectRouterOptions {
  return {
    interceptors,
    // Counted after decompression, so a small bomb is refused while it unfolds.
    readMaxBytes: maxPayloadBytes + ENVELOPE_BYTES,
    maxTimeoutMs: maxCallMs,
    compressMinBytes: COMPRESS_MIN_BYTES,
  };
}

/** Registers every RPC by itself, because only streams may be asked to last for hours. */
export function connectRoutes(entries: readonly ServiceEntry[]): (router: ConnectRouter) => void {
  return (router) => {
    for (const { service, implementation } of entries) {
      for (const method of service.methods) {
        const options = method.methodKind === 'unary' ? undefined : { maxTimeoutMs: MAX_STREAM_MS };
        const run = implementation[method.localName];
        if (typeof run !== 'function') throw new Error(`${service.typeName}/${method.name} has no implementation`);
        router.rpc(method, run as MethodImpl<typeof method>, options);
      }
    }
  };
}
