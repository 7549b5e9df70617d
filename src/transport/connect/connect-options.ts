// What Connect needs to serve the same services on either listener.
import type { ConnectRouterOptions, Interceptor } from '@connectrpc/connect';

/** Answers are a few kilobytes; compressing those took a sixth of the time of a publish, and saved loopback bytes only. */
const COMPRESS_MIN_BYTES = 65_536;

export function connectOptions(interceptors: Interceptor[]): ConnectRouterOptions {
  return {
    interceptors,
    compressMinBytes: COMPRESS_MIN_BYTES,
  };
}
