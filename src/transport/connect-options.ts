// What Connect needs to serve the same services on either listener.
import type { ConnectRouterOptions, Interceptor } from '@connectrpc/connect';

/** protobuf messages per level of a Struct: the Struct, its map entry, its Value. */
const RECURSION_PER_LEVEL = 3;
/** Beyond the 32 levels a payload may have, so that one that is too deep is told so by us and not by the decoder. */
const READABLE_DEPTH = 100;
export const READ_OPTIONS = { recursionLimit: READABLE_DEPTH * RECURSION_PER_LEVEL };

/** Answers are a few kilobytes; compressing those took a sixth of the time of a publish, and saved loopback bytes only. */
const COMPRESS_MIN_BYTES = 65_536;

export function connectOptions(interceptors: Interceptor[]): ConnectRouterOptions {
  return {
    interceptors,
    compressMinBytes: COMPRESS_MIN_BYTES,
  };
}
