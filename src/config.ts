// The environment, read once: readEnv() takes the variables, toConfig() checks them. Nothing else reads process.env.
import { readFileSync } from 'node:fs';
import { isIP } from 'node:net';
import type { RetryPolicy } from './domain/retry-policy.ts';

export type Environment = 'development' | 'test' | 'production';
export type Role = 'all' | 'api' | 'worker';

export interface Config {
  readonly environment: Environment;
  readonly version: string;
  readonly role: Role;
  readonly host: string;
  readonly httpPort: number;
  readonly grpcPort: number;
  readonly metricsPort: number;
  readonly dataDir: string;
  /** Null: the embedded PostgreSQL under `dataDir`. */
  readonly database: DatabaseConfig | null;
  /** Null: PostgreSQL serves the schedule. */
  readonly redis: RedisConfig | null;
  readonly tokens: TokenConfig;
  readonly delivery: DeliveryConfig;
  readonly egress: EgressConfig;
  /** `id:base64` AES-256 keys, newest first; empty: generated into `dataDir` (development only). */
  readonly secretKeys: readonly string[];
  /** Of an event's data, as it is delivered. */
  readonly maxPayloadBytes: number;
  /** Of what carries one event to this service, in whatever encoding. */
  readonly maxMessageBytes: number;
  /** Of what carries a batch of events. */
  readonly maxBatchBytes: number;
  readonly corsOrigins: readonly string[];
  /** Variables with our prefix that mean nothing: their names are mistyped, or of another version. */
  readonly unknownVariables: readonly string[];
  readonly trustProxy: TrustProxy;
  readonly reflection: boolean;
  readonly retentionDays: number;
  readonly statsDays: number;
  readonly reconcileIntervalMs: number;
  readonly shutdownGraceMs: number;
  readonly rateLimitPerMinute: number;
  readonly diagnosesPerMinute: number;
  readonly maxWebhooksPerUser: number;
  /** Deliveries that are held for one webhook. */
  readonly maxHeldPerWebhook: number;
  /** Streams and WebSockets of one user on one process. */
  readonly maxWatchersPerUser: number;
  /** Null: both listeners speak plain text. */
  readonly tls: ListenerTls | null;
  readonly dependencies: { readonly user: string | null; readonly order: string | null; readonly payment: string | null };
  readonly notificationUrl: string | null;
  readonly logLevel: string;
  readonly telemetry: TelemetryConfig;
}

export interface ListenerTls {
  readonly certFile: string;
  readonly keyFile: string;
  /** Whose certificates callers must show. Null: none are asked for. */
  readonly clientCaFile: string | null;
  /** Whether the HTTPS listener asks for them, too, and not gRPC's alone. */
  readonly httpsAsksClients: boolean;
}

/** How many proxies stand in front of the service, 0 for none; or the networks that they have addresses in. */
export type TrustProxy = number | readonly string[];

export interface DatabaseConfig {
  readonly host: string;
  readonly port: number;
  readonly user: string;
  readonly password: string;
  readonly name: string;
  /** Set: a pooler is at `host` and `port`, and PostgreSQL itself here. Absent: `host` and `port` are PostgreSQL's own. */
  readonly direct?: { readonly host: string; readonly port: number };
  readonly ssl: 'disable' | 'require' | 'verify-full';
  /** Absent: the authorities of the system, and no certificate of ours. */
  readonly certificates?: CertificateFiles;
}

/** PEM files for connections to one server. */
export interface CertificateFiles {
  /** Null: the authorities of the system. */
  readonly ca: CertificateFile | null;
  /** What this service shows when the server asks for a certificate. */
  readonly client: { readonly cert: CertificateFile; readonly key: CertificateFile } | null;
}

export interface CertificateFile {
  /** What an operator changes when the file is wrong. */
  readonly variable: string;
  readonly path: string;
}

export interface RedisConfig {
  readonly host: string;
  readonly port: number;
  readonly username: string | null;
  readonly password: string | null;
  readonly db: number;
  readonly tls: boolean;
  /** Absent: the authorities of the system, and no certificate of ours. */
  readonly certificates?: CertificateFiles;
  /** Set: a Redis Cluster, reached through these `host:port` nodes; an IPv6 address stands in brackets. */
  readonly clusterNodes: readonly string[];
  /** Absent: no sentinel is asked, and the master is at `host` and `port`, or the cluster's nodes. */
  readonly sentinel?: SentinelConfig;
  /** In front of every key, so that several services can share one Redis. */
  readonly keyPrefix: string;
  /** Over how many hash slots the schedule spreads. One suffices for one Redis; a cluster spreads by them. */
  readonly shards: number;
}

/** Redis Sentinel: which of several servers is the master, and what is promoted when it fails. */
export interface SentinelConfig {
  /** `host:port` of each sentinel; an IPv6 address stands in brackets. */
  readonly nodes: readonly string[];
  /** What the sentinels call the master. */
  readonly master: string;
  /** For the sentinels themselves, which have users of their own. */
  readonly username: string | null;
  readonly password: string | null;
}

export interface TokenConfig {
  readonly secret: string;
  /** Lifetime of tokens minted by `npm run token`, in seconds. */
  readonly expirationSeconds: number;
  readonly issuer: string | null;
  readonly audience: string | null;
  readonly jwksUrl: string | null;
}

export interface DeliveryConfig {
  readonly retry: RetryPolicy;
  readonly signatureHeader: string;
  readonly leaseMs: number;
  /** Requests in flight, in all. */
  readonly maxConcurrency: number;
  /** Requests in flight to one webhook. */
  readonly endpointConcurrency: number;
  /** A webhook that failed without a success for so long, and so often, is disabled. */
  readonly disableAfterMs: number;
  readonly disableAfterFailures: number;
  /** Between two probes of a webhook that was stopped for failing. */
  readonly probeIntervalMs: number;
  /** How long it is probed. 0: not at all. */
  readonly probeDays: number;
}

export const tracesSamplers = [
  'always_on',
  'always_off',
  'traceidratio',
  'parentbased_always_on',
  'parentbased_always_off',
  'parentbased_traceidratio',
] as const;
export type TracesSampler = (typeof tracesSamplers)[number];

/** Which parts of OpenTelemetry are on. Where to and how is read from the other OTEL_EXPORTER_OTLP_* variables by the SDK. */
export interface TelemetryConfig {
  readonly serviceName: string;
  readonly exportTraces: boolean;
  readonly exportMetrics: boolean;
  readonly sampler: TracesSampler;
  readonly samplerRatio: number;
  /** How long spans are collected before they are sent. */
  readonly batchDelayMs: number;
  /** Between two exports of metrics. */
  readonly metricIntervalMs: number;
  /** How long one may take. */
  readonly metricTimeoutMs: number;
}

export interface EgressConfig {
  /** Private ranges that a webhook may reach all the same. */
  readonly allowedCidrs: readonly string[];
  readonly allowHttp: boolean;
}

/** Where Redis is, for people: what the operator has named, and no password. */
export function redisLocation({ host, port, db, clusterNodes, sentinel }: RedisConfig): string {
  if (sentinel !== undefined) return `master ${sentinel.master} of the sentinels ${sentinel.nodes.join(', ')}`;
  return clusterNodes.length > 0 ? `cluster ${clusterNodes.join(', ')}` : `${host}:${port}/${db}`;
}

/** A variable that does not parse; the message is one line that names it. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(message: string) {
    // The value that is quoted in it may hold line ends.
    super(message.replaceAll(/\p{Cc}/gu, ' '));
  }
}

/** Ours alone: other prefixes are shared with other programs. */
const OWN_PREFIX = 'WEBHOOK_';
/** What Kubernetes sets in every pod for a Service whose name begins like our variables. */
const SERVICE_LINK = /_(SERVICE_HOST|SERVICE_PORT|PORT)(_[A-Z0-9_]+)?$/;

type Env = Readonly<Record<string, string | undefined>>;

export function readEnv(): Env {
  return process.env;
}

/** setTimeout's longest delay, 2^31 - 1 ms: anything above fires at once. */
const MAX_TIMER_MS = 2_147_483_647;
const MAX_PORT = 65_535;
const POSTGRES_PORT = 5432;
/** Where a sentinel listens by default. */
const SENTINEL_PORT = 26_379;
/** How much longer than an attempt a lease must be, so that a live worker never loses one. */
const MIN_LEASE_SLACK_MS = 2000;
const PRODUCTION_LEASE_SLACK_MS = 5000;
/** HS256 keys shorter than the hash can be guessed faster than the hash can be broken (RFC 7518, 3.2). */
const MIN_JWT_SECRET_BYTES = 32;
/** What development uses when nothing is set, and what documentation and copy-paste leave behind: refused in production. */
export const DEVELOPMENT_JWT_SECRET = 'homechef-development-secret-do-not-use-in-production';
const KNOWN_SECRETS = new Set([DEVELOPMENT_JWT_SECRET, 'your-jwt-secret-key', 'changeme', 'secret']);
const MIN_DISTINCT_CHARACTERS = 10;

/** Throws a ConfigError, which names the variable, when a value is not what it must be. */
export function toConfig(env: Env): Config {
  const known = new Set<string>();
  const config = readConfig(reader(env, known));
  const isUnknown = (name: string): boolean => name.startsWith(OWN_PREFIX) && !known.has(name) && !SERVICE_LINK.test(name);
  return { ...config, unknownVariables: Object.keys(env).filter(isUnknown).toSorted() };
}

function readConfig(read: ReturnType<typeof reader>): Omit<Config, 'unknownVariables'> {
  const environment = read.oneOf('ENVIRONMENT', ['development', 'test', 'production'], 'development');
  const production = environment === 'production';
  const timeoutMs = read.seconds('WEBHOOK_TIMEOUT', 30, { min: 0.1, max: 60 });
  const leaseMs = read.seconds('WEBHOOK_LEASE', timeoutMs / 1000 + 15, { min: 0.1, max: 3600 });
  const slackMs = production ? PRODUCTION_LEASE_SLACK_MS : MIN_LEASE_SLACK_MS;
  if (leaseMs < timeoutMs + slackMs) {
    throw new ConfigError(
      `WEBHOOK_LEASE must be at least WEBHOOK_TIMEOUT + ${slackMs / 1000} s, else live attempts lose their lease`,
    );
  }
  const redisHost = read.text('REDIS_HOST');
  const redisPort = read.port('REDIS_PORT', 6379);
  const clusterNodes = read.nodes('REDIS_CLUSTER_NODES', redisPort);
  const redisDb = read.whole('REDIS_DB', 0, { min: 0, max: 1023 });
  if (clusterNodes.length > 0 && redisDb !== 0)
    throw new ConfigError('REDIS_DB must be 0 with REDIS_CLUSTER_NODES: a cluster has no other');
  const sentinel = redisSentinel(read);
  if (sentinel !== null && clusterNodes.length > 0)
    throw new ConfigError('REDIS_SENTINELS and REDIS_CLUSTER_NODES exclude each other: a cluster promotes its replicas itself');
  const databaseHost = read.text('DB_HOST');
  if (production && databaseHost === null)
    throw new ConfigError('DB_HOST must be set in production: the embedded database is for development');
  return {
    environment,
    version: packageVersion(),
    role: read.oneOf('ROLE', ['all', 'api', 'worker'], 'all'),
    // Development trusts every caller, so it listens on this machine alone.
    host: read.text('SERVER_HOST') ?? (environment === 'development' ? '127.0.0.1' : '0.0.0.0'),
    httpPort: read.port('SERVER_PORT', 8080),
    grpcPort: read.port('GRPC_PORT', 9090),
    metricsPort: read.port('METRICS_PORT', 9464),
    dataDir: read.text('DATA_DIR') ?? '.data',
    database:
      databaseHost === null
        ? null
        : {
            host: databaseHost,
            port: read.port('DB_PORT', POSTGRES_PORT),
            user: read.text('DB_USER') ?? 'postgres',
            password: read.secret('DB_PASSWORD') ?? '',
            name: read.text('DB_NAME') ?? 'webhook_service',
            ...directAddress(read),
            ...databaseTls(read),
          },
    redis:
      redisHost === null && clusterNodes.length === 0 && sentinel === null
        ? null
        : {
            host: sentinel === null ? (redisHost ?? '') : '',
            port: redisPort,
            username: read.text('REDIS_USERNAME'),
            password: read.secret('REDIS_PASSWORD'),
            db: redisDb,
            ...redisTls(read),
            clusterNodes,
            ...(sentinel === null ? {} : { sentinel }),
            keyPrefix: read.text('REDIS_KEY_PREFIX') ?? '',
            shards: read.whole('REDIS_SHARDS', clusterNodes.length > 0 ? 16 : 1, { min: 1, max: 1024 }),
          },
    tokens: {
      secret: jwtSecret(read, production),
      expirationSeconds: read.whole('JWT_EXPIRATION', 3600, { min: 1, max: 86_400 }),
      issuer: read.text('JWT_ISSUER'),
      audience: read.text('JWT_AUDIENCE'),
      jwksUrl: read.url('JWT_JWKS_URL'),
    },
    delivery: {
      retry: {
        maxRetries: read.whole('WEBHOOK_MAX_RETRIES', 3, { min: 0, max: 20 }),
        retryDelayMs: read.seconds('WEBHOOK_RETRY_DELAY', 60, { min: 0.001, max: 86_400 }),
        timeoutMs,
      },
      signatureHeader: read.headerName('WEBHOOK_SIGNATURE_HEADER', 'X-HomeChef-Signature'),
      leaseMs,
      maxConcurrency: read.whole('WEBHOOK_MAX_CONCURRENCY', 512, { min: 1, max: 10_000 }),
      endpointConcurrency: read.whole('WEBHOOK_ENDPOINT_CONCURRENCY', 16, { min: 1, max: 1000 }),
      disableAfterMs: read.seconds('WEBHOOK_DISABLE_AFTER', 259_200, { min: 0.1, max: 31_536_000 }),
      disableAfterFailures: read.whole('WEBHOOK_DISABLE_AFTER_FAILURES', 20, { min: 1, max: 1_000_000 }),
      probeIntervalMs: read.seconds('WEBHOOK_PROBE_INTERVAL', 1800, { min: 0.1, max: 86_400 }),
      probeDays: read.whole('WEBHOOK_PROBE_DAYS', 7, { min: 0, max: 365 }),
    },
    egress: {
      allowedCidrs:
        read.text('WEBHOOK_ALLOWED_CIDRS') === null && !production
          ? ['127.0.0.0/8', '::1/128']
          : read.networks('WEBHOOK_ALLOWED_CIDRS'),
      allowHttp: read.flag('WEBHOOK_ALLOW_HTTP', !production),
    },
    secretKeys: secretKeys(read.list('WEBHOOK_SECRET_KEYS'), production),
    ...sizes(read),
    corsOrigins: read.origins('CORS_ORIGINS'),
    trustProxy: trustProxy(read),
    reflection: read.flag('GRPC_REFLECTION', environment === 'development'),
    retentionDays: read.whole('WEBHOOK_RETENTION_DAYS', 30, { min: 1, max: 3650 }),
    statsDays: read.whole('WEBHOOK_STATS_DAYS', 400, { min: 1, max: 3650 }),
    reconcileIntervalMs: read.seconds('WEBHOOK_RECONCILE_INTERVAL', 30, { min: 0.1 }),
    shutdownGraceMs: read.seconds('WEBHOOK_SHUTDOWN_GRACE', 25, { min: 0 }),
    rateLimitPerMinute: read.whole('RATE_LIMIT_PER_MINUTE', 6000, { min: 1, max: 100_000_000 }),
    diagnosesPerMinute: read.whole('DIAGNOSES_PER_MINUTE', 6, { min: 1, max: 100_000 }),
    maxWebhooksPerUser: read.whole('MAX_WEBHOOKS_PER_USER', 100, { min: 1, max: 100_000 }),
    maxHeldPerWebhook: read.whole('WEBHOOK_MAX_HELD', 1_000_000, { min: 1, max: 1_000_000_000 }),
    maxWatchersPerUser: read.whole('MAX_WATCHERS_PER_USER', 100, { min: 1, max: 10_000 }),
    tls: listenerTls(read),
    dependencies: {
      user: read.url('USER_SERVICE_URL'),
      order: read.url('ORDER_SERVICE_URL'),
      payment: read.url('PAYMENT_SERVICE_URL'),
    },
    notificationUrl: read.url('NOTIFICATION_SERVICE_URL'),
    logLevel: read.oneOf('LOG_LEVEL', ['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'], 'info'),
    telemetry: telemetryConfig(read),
  };
}

function listenerTls(read: ReturnType<typeof reader>): ListenerTls | null {
  const certFile = read.text('TLS_CERT_FILE');
  const keyFile = read.text('TLS_KEY_FILE');
  const clientCaFile = read.text('TLS_CLIENT_CA_FILE');
  const httpsAsksClients = read.flag('TLS_CLIENT_CA_HTTPS', false);
  if ((certFile === null) !== (keyFile === null)) throw new ConfigError('TLS_CERT_FILE and TLS_KEY_FILE must be set together');
  if (clientCaFile !== null && certFile === null)
    throw new ConfigError('TLS_CLIENT_CA_FILE needs TLS_CERT_FILE and TLS_KEY_FILE: without TLS no client shows a certificate');
  if (httpsAsksClients && clientCaFile === null)
    throw new ConfigError('TLS_CLIENT_CA_HTTPS needs TLS_CLIENT_CA_FILE: it says whose certificates are good');
  return certFile === null || keyFile === null ? null : { certFile, keyFile, clientCaFile, httpsAsksClients };
}

function directAddress(read: ReturnType<typeof reader>): Pick<DatabaseConfig, 'direct'> {
  const host = read.text('DB_DIRECT_HOST');
  const port = read.port('DB_DIRECT_PORT', POSTGRES_PORT);
  return host === null ? {} : { direct: { host, port } };
}

// `require` checks no certificate, so an authority beside it would protect less than its operator believes.
function databaseTls(read: ReturnType<typeof reader>): Pick<DatabaseConfig, 'ssl' | 'certificates'> {
  const ssl = read.oneOf('DB_SSLMODE', ['disable', 'require', 'verify-full'], 'disable');
  const ca = read.file('DB_SSLROOTCERT');
  const client = clientCertificate(read.file('DB_SSLCERT'), read.file('DB_SSLKEY'), 'DB_SSLCERT and DB_SSLKEY');
  if (ca !== null && ssl !== 'verify-full')
    throw new ConfigError('DB_SSLROOTCERT needs DB_SSLMODE=verify-full: otherwise nothing is checked against it');
  if (client !== null && ssl === 'disable')
    throw new ConfigError('DB_SSLCERT needs DB_SSLMODE=require or verify-full: without TLS no certificate is shown');
  return ca === null && client === null ? { ssl } : { ssl, certificates: { ca, client } };
}

function redisTls(read: ReturnType<typeof reader>): Pick<RedisConfig, 'tls' | 'certificates'> {
  const tls = read.flag('REDIS_TLS', false);
  const ca = read.file('REDIS_TLS_CA_FILE');
  const pair = 'REDIS_TLS_CERT_FILE and REDIS_TLS_KEY_FILE';
  const client = clientCertificate(read.file('REDIS_TLS_CERT_FILE'), read.file('REDIS_TLS_KEY_FILE'), pair);
  if (ca === null && client === null) return { tls };
  if (!tls) throw new ConfigError('REDIS_TLS_CA_FILE and REDIS_TLS_CERT_FILE need REDIS_TLS=true');
  return { tls, certificates: { ca, client } };
}

function redisSentinel(read: ReturnType<typeof reader>): SentinelConfig | null {
  const nodes = read.nodes('REDIS_SENTINELS', SENTINEL_PORT);
  const master = read.text('REDIS_SENTINEL_NAME');
  const username = read.text('REDIS_SENTINEL_USERNAME');
  const password = read.secret('REDIS_SENTINEL_PASSWORD');
  if (nodes.length > 0 && master !== null) return { nodes, master, username, password };
  if (nodes.length > 0 || master !== null)
    throw new ConfigError('REDIS_SENTINELS and REDIS_SENTINEL_NAME must be set together');
  if (username !== null || password !== null)
    throw new ConfigError('REDIS_SENTINEL_USERNAME and REDIS_SENTINEL_PASSWORD need REDIS_SENTINELS');
  return null;
}

function clientCertificate(
  cert: CertificateFile | null,
  key: CertificateFile | null,
  pair: string,
): CertificateFiles['client'] {
  if ((cert === null) !== (key === null)) throw new ConfigError(`${pair} must be set together`);
  return cert === null || key === null ? null : { cert, key };
}

const DEFAULT_PAYLOAD_BYTES = 1_048_576;
const MAX_PAYLOAD_BYTES = 16_777_216;
/** Base64 of text in which every character is escaped takes eight bytes for each byte of payload; no encoding takes more. */
const LONGEST_ENCODING = 8;
/** Room for what stands around a payload: names, audience, keys. */
const ENVELOPE_BYTES = 65_536;
/** A thousand events of 16 KB. */
const DEFAULT_BATCH_BYTES = 16_777_216;

// Each is reachable: a payload in any encoding fits a message, and a message fits a batch.
function sizes(read: ReturnType<typeof reader>): Pick<Config, 'maxPayloadBytes' | 'maxMessageBytes' | 'maxBatchBytes'> {
  const maxPayloadBytes = read.whole('WEBHOOK_MAX_PAYLOAD_SIZE', DEFAULT_PAYLOAD_BYTES, { min: 64, max: MAX_PAYLOAD_BYTES });
  const longest = longestMessage(MAX_PAYLOAD_BYTES);
  const message = {
    usual: longestMessage(Math.max(DEFAULT_PAYLOAD_BYTES, maxPayloadBytes)),
    min: maxPayloadBytes + ENVELOPE_BYTES,
  };
  const maxMessageBytes = read.whole('WEBHOOK_MAX_MESSAGE_SIZE', message.usual, { min: message.min, max: longest });
  const batch = { usual: Math.max(DEFAULT_BATCH_BYTES, maxMessageBytes), min: maxMessageBytes };
  const maxBatchBytes = read.whole('WEBHOOK_MAX_BATCH_SIZE', batch.usual, { min: batch.min, max: longest });
  return { maxPayloadBytes, maxMessageBytes, maxBatchBytes };
}

function longestMessage(payloadBytes: number): number {
  return LONGEST_ENCODING * payloadBytes + ENVELOPE_BYTES;
}

/** More proxies than stand in a row anywhere. */
const MAX_HOPS = 16;

// `true` stood for "some proxy", so it is one.
function trustProxy(read: ReturnType<typeof reader>): TrustProxy {
  const value = read.text('TRUST_PROXY')?.toLowerCase() ?? 'false';
  if (value === 'false') return 0;
  if (value === 'true') return 1;
  if (/^\d+$/.test(value)) return read.whole('TRUST_PROXY', 0, { min: 0, max: MAX_HOPS });
  const networks = read.list('TRUST_PROXY');
  for (const network of networks) {
    if (isIP(network) === 0 && !isNetwork(network)) {
      throw new ConfigError(`TRUST_PROXY must be true, false, a number of proxies or their CIDRs, not "${network}"`);
    }
  }
  return networks;
}

// OTLP is on where an endpoint is named, unless the signal's exporter is `none`: the variables and their meaning are OpenTelemetry's.
function telemetryConfig(read: ReturnType<typeof reader>): TelemetryConfig {
  const on = !read.flag('OTEL_SDK_DISABLED', false);
  const everything = read.url('OTEL_EXPORTER_OTLP_ENDPOINT');
  const traces = read.url('OTEL_EXPORTER_OTLP_TRACES_ENDPOINT') ?? everything;
  const metrics = read.url('OTEL_EXPORTER_OTLP_METRICS_ENDPOINT') ?? everything;
  const metricIntervalMs = read.whole('OTEL_METRIC_EXPORT_INTERVAL', 60_000, { min: 1, max: 3_600_000 });
  return {
    serviceName: read.text('OTEL_SERVICE_NAME') ?? 'homechef-webhooks',
    exportTraces: on && traces !== null && read.oneOf('OTEL_TRACES_EXPORTER', ['otlp', 'none'], 'otlp') === 'otlp',
    exportMetrics: on && metrics !== null && read.oneOf('OTEL_METRICS_EXPORTER', ['otlp', 'none'], 'otlp') === 'otlp',
    sampler: read.oneOf('OTEL_TRACES_SAMPLER', tracesSamplers, 'parentbased_always_on'),
    samplerRatio: read.ratio('OTEL_TRACES_SAMPLER_ARG', 1),
    batchDelayMs: read.whole('OTEL_BSP_SCHEDULE_DELAY', 5000, { min: 1, max: 600_000 }),
    metricIntervalMs,
    // The SDK refuses one that is longer than the interval.
    metricTimeoutMs: Math.min(metricIntervalMs, read.whole('OTEL_METRIC_EXPORT_TIMEOUT', 30_000, { min: 1, max: 3_600_000 })),
  };
}

/** @param known gets the names that are read */
function reader(env: Env, known: Set<string>) {
  // A blank value means "not set": compose files and charts pass empty strings for what they leave out.
  const text = (name: string): string | null => {
    known.add(name);
    const value = env[name]?.trim();
    return value === undefined || value === '' ? null : value;
  };
  const number = (name: string, fallback: number, min: number, max: number, unit: string): number => {
    const value = text(name);
    if (value === null) return fallback;
    const parsed = /^\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN;
    if (!(parsed >= min && parsed <= max))
      throw new ConfigError(`${name} must be ${unit} from ${min} to ${max}, not "${value}"`);
    return parsed;
  };
  const whole = (name: string, fallback: number, range: { min: number; max: number }): number => {
    const value = number(name, fallback, range.min, range.max, 'a whole number');
    if (!Number.isInteger(value)) throw new ConfigError(`${name} must be a whole number, not "${value}"`);
    return value;
  };
  const list = (name: string): string[] =>
    (text(name) ?? '')
      .split(',')
      .map((item) => item.trim())
      .filter((item) => item !== '');
  return {
    text,
    whole,
    list,
    /** As it stands: blanks may be part of it. */
    secret: (name: string): string | null => (text(name) === null ? null : (env[name] ?? null)),
    file: (variable: string): CertificateFile | null => {
      const path = text(variable);
      return path === null ? null : { variable, path };
    },
    port: (name: string, fallback: number) => whole(name, fallback, { min: 0, max: MAX_PORT }),
    /** Seconds in the environment, milliseconds in the config. */
    seconds: (name: string, fallback: number, range: { min: number; max?: number }) =>
      Math.round(number(name, fallback, range.min, range.max ?? Math.floor(MAX_TIMER_MS / 1000), 'seconds') * 1000),
    ratio: (name: string, fallback: number) => number(name, fallback, 0, 1, 'a ratio'),
    flag(name: string, fallback: boolean): boolean {
      const value = text(name)?.toLowerCase();
      if (value === undefined) return fallback;
      if (value === 'true' || value === '1') return true;
      if (value === 'false' || value === '0') return false;
      throw new ConfigError(`${name} must be true or false, not "${value}"`);
    },
    networks(name: string): string[] {
      return list(name).map((item) => {
        if (!isNetwork(item)) throw new ConfigError(`${name} must be CIDR ranges, separated by commas, not "${item}"`);
        return item;
      });
    },
    origins(name: string): string[] {
      return list(name).map((item) => {
        if (!/^https?:/.test(item) || URL.parse(item)?.origin !== item)
          throw new ConfigError(`${name} must be origins such as https://app.example.com, separated by commas, not "${item}"`);
        return item;
      });
    },
    /** `host:port` of each; a port that is missing is the one given. */
    nodes(name: string, defaultPort: number): string[] {
      return list(name).map((item) => {
        const node = nodeOf(item, defaultPort);
        if (node === null) throw new ConfigError(`${name} must be host:port pairs, separated by commas, not "${item}"`);
        return node;
      });
    },
    oneOf<T extends string>(name: string, allowed: readonly T[], fallback: T): T {
      const value = text(name);
      if (value === null) return fallback;
      const found = allowed.find((item) => item === value);
      if (found === undefined) throw new ConfigError(`${name} must be one of ${allowed.join(', ')}, not "${value}"`);
      return found;
    },
    url(name: string): string | null {
      const value = text(name);
      if (value === null) return null;
      if (!URL.canParse(value) || !/^https?:$/.test(new URL(value).protocol)) {
        throw new ConfigError(`${name} must be an http or https URL, not "${value}"`);
      }
      return value;
    },
    headerName(name: string, fallback: string): string {
      const value = text(name) ?? fallback;
      if (!/^[A-Za-z0-9-]{1,64}$/.test(value)) throw new ConfigError(`${name} must be an HTTP header name, not "${value}"`);
      return value;
    },
  };
}

function isNetwork(text: string): boolean {
  const [address = '', bits = '', ...rest] = text.split('/');
  const family = isIP(address);
  return family !== 0 && rest.length === 0 && /^\d{1,3}$/.test(bits) && Number(bits) <= (family === 6 ? 128 : 32);
}

/** `host:port`, with an IPv6 address in brackets; null for what is neither a host nor one with a port. */
function nodeOf(text: string, defaultPort: number): string | null {
  if (isIP(text) === 6) return `[${text}]:${defaultPort}`;
  const [, host = '', port = String(defaultPort)] = /^(\[[\dA-Fa-f:.]+\]|[\w.-]+)(?::(\d{1,5}))?$/.exec(text) ?? [];
  const isHost = host.startsWith('[') ? isIP(host.slice(1, -1)) === 6 : host !== '';
  return isHost && Number(port) >= 1 && Number(port) <= MAX_PORT ? `${host}:${port}` : null;
}

// The value itself is never printed: a refused secret is often a real one with a typo.
function jwtSecret(read: ReturnType<typeof reader>, production: boolean): string {
  const secret = read.secret('JWT_SECRET') ?? '';
  if (!production) return secret === '' ? DEVELOPMENT_JWT_SECRET : secret;
  if (secret === '' && read.url('JWT_JWKS_URL') !== null) return '';
  if (Buffer.byteLength(secret) < MIN_JWT_SECRET_BYTES) {
    throw new ConfigError(`JWT_SECRET must be at least ${MIN_JWT_SECRET_BYTES} bytes in production`);
  }
  if (KNOWN_SECRETS.has(secret) || new Set(secret).size < MIN_DISTINCT_CHARACTERS) {
    throw new ConfigError('JWT_SECRET must be random in production, not a well-known or repetitive value');
  }
  return secret;
}

function secretKeys(keys: string[], production: boolean): string[] {
  if (keys.length === 0 && production)
    throw new ConfigError('WEBHOOK_SECRET_KEYS must be set in production: id:base64 of 32 random bytes');
  for (const key of keys) {
    const [id, encoded, ...rest] = key.split(':');
    const bytes = Buffer.from(encoded ?? '', 'base64');
    if (
      rest.length > 0 ||
      !/^[A-Za-z0-9_-]{1,32}$/.test(id ?? '') ||
      bytes.length !== 32 ||
      new Set(bytes).size < MIN_DISTINCT_CHARACTERS
    ) {
      throw new ConfigError('WEBHOOK_SECRET_KEYS must be id:base64 pairs of 32 random bytes, separated by commas');
    }
  }
  const ids = keys.map((key) => key.split(':')[0]);
  const twice = ids.find((id, index) => ids.indexOf(id) < index);
  if (twice !== undefined)
    throw new ConfigError(`WEBHOOK_SECRET_KEYS must be keys of different ids, but two are called "${twice}"`);
  return keys;
}

function packageVersion(): string {
  const manifest: unknown = JSON.parse(readFileSync(new URL('../package.json', import.meta.url), 'utf8'));
  return (manifest as { version: string }).version;
}
