// The limits of both listeners, each with its reason. Tests shorten the times.

export interface ServerLimits {
  /** A request that is not complete by then is closed: slow senders hold a socket, not a worker. Before `maxCallMs`, so that they learn why. */
  readonly requestTimeoutMs: number;
  /** The same for its headers alone. */
  readonly headersTimeoutMs: number;
  /** How often Node looks for such requests. */
  readonly checkIntervalMs: number;
  /** Longer than the 60 s after which most load balancers drop an idle connection, so that they and not we decide. */
  readonly keepAliveTimeoutMs: number;
  /** Sockets of a listener: enough for 10,000 watching browsers. The descriptors of the process may allow fewer. */
  readonly maxConnections: number;
  /** A connection without a call is closed after so long, unless an authenticated call has come over it. */
  readonly strangerIdleMs: number;
  /** How long the rest of a body that was refused is read and dropped, so that the refusal reaches a caller who is still sending. */
  readonly leftoversMs: number;
  readonly maxCallMs: number;
  /** How often certificates are looked at: a renewed one is in use long before the old one ends. */
  readonly certificatePollMs: number;
}

export const DEFAULT_LIMITS: ServerLimits = {
  requestTimeoutMs: 25_000,
  headersTimeoutMs: 15_000,
  checkIntervalMs: 2000,
  keepAliveTimeoutMs: 65_000,
  maxConnections: 12_000,
  strangerIdleMs: 15_000,
  leftoversMs: 5000,
  maxCallMs: 30_000,
  certificatePollMs: 10_000,
};

/** Request line and headers in all; a bearer token of 8 KiB still fits. */
export const MAX_HEADER_BYTES = 16_384;
/** Watchers stay for hours; a deadline beyond a day means none. */
export const MAX_STREAM_MS = 86_400_000;
