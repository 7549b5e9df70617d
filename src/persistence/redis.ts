// Redis: one connection for commands and one for subscriptions, tuned so that a dead or stopped server fails fast.
import { isIP } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { Cluster, Redis, type RedisOptions } from 'ioredis';
import type { RedisConfig, SentinelConfig } from '../config.ts';
import { pause } from '../lifecycle/pause.ts';
import { explainRedisError, isForbidden, isRefusal, isTimeout } from './redis-refusal.ts';
import { listenForAllErrors } from './redis-sockets.ts';
import { readCertificates } from './server-certificates.ts';

/** ms. A command that takes longer has failed: Redis replies in a millisecond, and PostgreSQL can stand in for it. */
const COMMAND_TIMEOUT_MS = 500;
const CONNECT_TIMEOUT_MS = 2000;
const FIRST_RECONNECT_DELAY_MS = 50;
const MAX_RECONNECT_DELAY_MS = 1000;
/** ms. Between two tries to subscribe on one connection: a server that stopped for a moment serves again by then. */
const SUBSCRIBE_RETRY_MS = 1000;
/** What the keys of the limits of callers and of webhooks begin with, behind the prefix. */
const LIMITERS = ['wh-rate', 'wh-pace'] as const;
/** Between two new connections for the reason that the old one led to no master: a failover takes seconds. */
const LEAVE_SERVER_INTERVAL_MS = 500;
/** Slots move rarely and one hop follows a move; more would only prolong a failure. */
const MAX_CLUSTER_REDIRECTIONS = 4;
const CLUSTER_RETRY_DELAY_MS = 50;

listenForAllErrors();

export type RedisHealth = { readonly state: 'up' } | { readonly state: 'down'; readonly sinceMs: number };

/** Receives a sentence when something goes wrong without a caller: a connection that breaks, a command that is forbidden. */
export type OnRedisWarning = (message: string) => void;

/** What is reported apart, each as one sentence until it works again. */
type Topic = 'connection' | 'policy' | 'publish' | 'limits' | 'rescue' | `subscribe ${string}`;

/** The listener of a channel's broadcasts in this process. */
export interface BroadcastListener {
  onMessage(message: string): void;
  /** The server has taken the subscription, on this connection and on each new one: broadcasts reach it and count it. */
  onCounted?(): void;
}

/** A Lua script: its text, its SHA-1 in hex for EVALSHA, and how many keys it takes. */
export interface Script {
  readonly text: string;
  readonly sha: string;
  readonly keyCount: number;
}

export class RedisConnection {
  /** For commands. They reject at once while the server is away, and after half a second when it sends no reply. */
  readonly commands: Redis | Cluster;
  readonly #subscriber: Redis | Cluster;
  readonly #onWarning: OnRedisWarning;
  readonly #keyPrefix: string;
  /** Whose present connection the server did not accept: the user, or the database. */
  readonly #refused = new Set<Redis | Cluster>();
  /** Whether another server may have taken the place of one that hangs. Only sentinels have that information. */
  readonly #hasSentinels: boolean;
  #mayLeaveServerAt = 0;
  readonly #reported = new Map<Topic, string>();
  readonly #callbacks = new Map<string, Set<(message: string) => void>>();
  readonly #listeners = new Map<string, BroadcastListener>();
  #downSinceMs: number | null = Date.now();

  constructor(config: RedisConfig, onWarning: OnRedisWarning) {
    this.#onWarning = onWarning;
    this.#keyPrefix = config.keyPrefix;
    this.#hasSentinels = config.sentinel !== undefined;
    this.commands = createClient(config, {
      subscribes: false,
      leavesReplica: () => this.#mayLeaveServer(),
      wasRefused: () => this.#refused.has(this.commands),
    });
    this.#subscriber = createClient(config, {
      subscribes: true,
      leavesReplica: () => false,
      wasRefused: () => this.#refused.has(this.#subscriber),
    });
    for (const client of [this.commands, this.#subscriber]) {
      client.on('error', (error: Error) => this.#down(client, error));
      client.on('close', () => {
        this.#refused.delete(client);
        this.#down(client);
      });
    }
    this.commands.on('ready', () => {
      if (this.#refused.has(this.commands)) return;
      this.#downSinceMs = null;
      this.#report('connection', null);
      void this.#checkExtras();
    });
    this.#subscriber.on('ready', () => {
      for (const channel of this.#callbacks.keys()) void this.#take(channel, false);
      for (const channel of this.#listeners.keys()) void this.#take(channel, true);
    });
    this.#subscriber.on('message', (channel: string, message: string) => {
      for (const callback of this.#callbacks.get(channel) ?? []) callback(message);
      this.#listeners.get(channel)?.onMessage(message);
    });
    this.#subscriber.on('smessage', (channel: string, message: string) => {
      this.#listeners.get(channel)?.onMessage(message);
    });
  }

  /** Connects, or rejects when the server sends no reply in time; either way it goes on trying. */
  async connect(): Promise<void> {
    await Promise.all([this.commands, this.#subscriber].map(becomesReady));
  }

  /** The state of the connection. A stopped server keeps its connections, and shows only in commands that time out. */
  health(): RedisHealth {
    return this.#downSinceMs === null ? { state: 'up' } : { state: 'down', sinceMs: this.#downSinceMs };
  }

  /** Runs a script by its hash; the text is sent only when the server lacks it (a restart, a node that joined). */
  async run(script: Script, keys: readonly string[], parameters: readonly (string | number)[]): Promise<unknown> {
    try {
      return await this.commands.evalsha(script.sha, keys.length, ...keys, ...parameters);
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      // A master that hangs keeps its connections as well, and sends nothing.
      if (this.#hasSentinels && isTimeout(error) && this.#mayLeaveServer()) leave(this.commands);
      if (!error.message.startsWith('NOSCRIPT')) throw error;
      return this.commands.eval(script.text, keys.length, ...keys, ...parameters);
    }
  }

  /** Calls back for every message on a channel, from now on and after every reconnect. Messages sent in between are lost. */
  subscribe(channel: string, callback: (message: string) => void): void {
    const callbacks = this.#callbacks.get(channel) ?? new Set();
    this.#callbacks.set(channel, callbacks.add(callback));
    void this.#take(channel, false);
  }

  /**
   * Sends to the one listener of each process, over sharded pub/sub on a cluster, where a plain message would go to every node.
   * Resolves to how many listeners there were, this process's own included.
   */
  async broadcast(channel: string, message: string): Promise<number> {
    const { commands } = this;
    return Number(
      await (commands instanceof Cluster ? commands.spublish(channel, message) : commands.publish(channel, message)),
    );
  }

  /** Receives every broadcast on a channel until the returned function is called. One listener a channel. */
  listen(channel: string, listener: BroadcastListener): () => void {
    this.#listeners.set(channel, listener);
    void this.#take(channel, true);
    return () => {
      this.#listeners.delete(channel);
      if (this.#subscriber.status !== 'ready') return;
      const left =
        this.#subscriber instanceof Cluster ? this.#subscriber.sunsubscribe(channel) : this.#subscriber.unsubscribe(channel);
      left.catch(() => {
        // The connection broke, and with it went the subscription.
      });
    };
  }

  close(): void {
    this.commands.disconnect();
    this.#subscriber.disconnect();
  }

  // A master that was demoted keeps its connections, and behind its address there may be another by now.
  #mayLeaveServer(): boolean {
    const nowMs = performance.now();
    if (nowMs < this.#mayLeaveServerAt) return false;
    this.#mayLeaveServerAt = nowMs + LEAVE_SERVER_INTERVAL_MS;
    leave(this.#subscriber);
    return true;
  }

  #down(client: Redis | Cluster, error?: Error): void {
    if (client instanceof Redis && client.status === 'connect' && isRefusal(error)) {
      // The client goes on with database 0 where the server refuses another: nothing may be sent over this connection.
      this.#refused.add(client);
      client.disconnect(true);
    }
    // Errors repeat with every attempt to reconnect.
    if (error !== undefined) this.#report('connection', explainRedisError(error));
    if (this.commands.status !== 'ready') this.#downSinceMs ??= Date.now();
  }

  /** Warns when this topic has another sentence than before; null: it works. */
  #report(topic: Topic, sentence: string | null): void {
    if (sentence === null) this.#reported.delete(topic);
    else if (this.#reported.get(topic) !== sentence) {
      this.#reported.set(topic, sentence);
      this.#onWarning(sentence);
    }
  }

  /** Repeats until the server has taken the subscription, the connection is another, or the channel has no listener left. */
  async #take(channel: string, isBroadcast: boolean): Promise<void> {
    const subscriber = this.#subscriber;
    const isWanted = (): boolean => (isBroadcast ? this.#listeners : this.#callbacks).has(channel);
    for (let tries = 1; subscriber.status === 'ready' && isWanted(); tries += 1) {
      try {
        const isSharded = isBroadcast && subscriber instanceof Cluster;
        await (isSharded ? subscriber.ssubscribe(channel) : subscriber.subscribe(channel));
        this.#report(`subscribe ${channel}`, null);
        if (isBroadcast) this.#listeners.get(channel)?.onCounted?.();
        return;
      } catch (error) {
        // The first may have timed out because this process got no processor while it loaded its code.
        if (tries > 1 || !isTimeout(error)) {
          this.#report(
            `subscribe ${channel}`,
            `${explainRedisError(error)}. Without the subscription to ${channel} this process reads changes of others from PostgreSQL, later`,
          );
        }
        await pause(SUBSCRIBE_RETRY_MS);
      }
    }
  }

  // Deliveries go on without any of these, so only a line of the log shows that they are missing.
  async #checkExtras(): Promise<void> {
    const { commands } = this;
    const channel = `${this.#keyPrefix}wh:probe`;
    await this.#checkExtra('policy', 'Its memory policy is not checked', () => this.#checkPolicy());
    await this.#checkExtra('publish', 'Processes do not wake each other, and watchers see changes of others later', () =>
      commands instanceof Cluster ? commands.spublish(channel, '') : commands.publish(channel, ''),
    );
    await this.#checkExtra('rescue', 'What a dead process holds in Redis waits until its leases run out', () =>
      commands.hscan(`${this.#keyPrefix}{wh:0}:held`, '0'),
    );
    await this.#checkExtra('limits', 'Each process counts calls and requests for itself', () => this.#checkLimits());
  }

  async #checkExtra(topic: Topic, without: string, call: () => Promise<unknown>): Promise<void> {
    try {
      await call();
      this.#report(topic, null);
    } catch (error) {
      // A caller of Redis reports anything but a refusal. This check is repeated with the next connection.
      if (isForbidden(error)) this.#report(topic, `${explainRedisError(error)}. ${without}`);
    }
  }

  // Evicted members are found by the reconciler alone, as late as its sweep comes to them.
  async #checkPolicy(): Promise<void> {
    const policy = /^maxmemory_policy:(\S+)/m.exec(await this.commands.info('memory'))?.[1];
    if (policy !== undefined && policy !== 'noeviction') {
      this.#onWarning(`Redis may evict the schedule: maxmemory-policy is ${policy}, and should be noeviction`);
    }
  }

  // What the limiters' script does (rate-limiter-flexible), one command at a time: a refusal within a script does not name its command.
  async #checkLimits(): Promise<void> {
    for (const limiter of LIMITERS) {
      const key = `${this.#keyPrefix}${limiter}:probe`;
      await this.commands.set(key, '0', 'EX', 1);
      await this.commands.incrby(key, 1);
      await this.commands.pttl(key);
      // Which ends it, too.
      await this.commands.expire(key, 0);
    }
  }
}

// Only what is connected: a client that must leave while it queries the sentinels gives up.
function leave(client: Redis | Cluster): void {
  if (client instanceof Redis && client.status === 'ready') client.disconnect(true);
}

interface ClientOptions {
  /** Sharded channels need connections of their own in a cluster. */
  readonly subscribes: boolean;
  /** Whether to leave a server that replies that it is a replica. */
  readonly leavesReplica: () => boolean;
  /** Whether the connection that just ended was one that the server did not accept. */
  readonly wasRefused: () => boolean;
}

function createClient(config: RedisConfig, { subscribes, leavesReplica, wasRefused }: ClientOptions): Redis | Cluster {
  const retryStrategy = (times: number): number =>
    wasRefused()
      ? MAX_RECONNECT_DELAY_MS
      : Math.min(FIRST_RECONNECT_DELAY_MS * 2 ** Math.min(times, 10), MAX_RECONNECT_DELAY_MS);
  const options = {
    ...(config.username === null ? {} : { username: config.username }),
    ...(config.password === null ? {} : { password: config.password }),
    ...(config.tls ? { tls: tlsOptions(config) } : {}),
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    // The reply to a command must come over this connection, or the command fails: a later reply is of no use to its caller.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    lazyConnect: true,
    // A command more that a user would have to be granted, for a name in a list.
    disableClientInfo: true,
  } satisfies RedisOptions;
  if (config.clusterNodes.length === 0) {
    return new Redis({
      ...options,
      ...(config.sentinel === undefined
        ? { host: config.host, port: config.port }
        : sentinelOptions(config.sentinel, options.tls)),
      db: config.db,
      enableOfflineQueue: false,
      // It asks INFO, which a user may be forbidden; the schedule finds out by itself what the server can do.
      enableReadyCheck: false,
      retryStrategy,
      reconnectOnError: (error) => error.message.includes('READONLY') && leavesReplica(),
    });
  }
  return new Cluster(config.clusterNodes.map(hostAndPort), {
    shardedSubscribers: subscribes,
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: retryStrategy,
    slotsRefreshTimeout: CONNECT_TIMEOUT_MS,
    maxRedirections: MAX_CLUSTER_REDIRECTIONS,
    retryDelayOnFailover: CLUSTER_RETRY_DELAY_MS,
    retryDelayOnClusterDown: CLUSTER_RETRY_DELAY_MS,
    retryDelayOnTryAgain: CLUSTER_RETRY_DELAY_MS,
    redisOptions: options,
  });
}

function sentinelOptions(sentinel: SentinelConfig, tls: ConnectionOptions | undefined) {
  return {
    sentinels: sentinel.nodes.map(hostAndPort),
    name: sentinel.master,
    ...(sentinel.username === null ? {} : { sentinelUsername: sentinel.username }),
    ...(sentinel.password === null ? {} : { sentinelPassword: sentinel.password }),
    ...(tls === undefined ? {} : { sentinelTLS: tls, enableTLSForSentinelMode: true }),
    sentinelCommandTimeout: COMMAND_TIMEOUT_MS,
    // Without a number the client would give up.
    sentinelRetryStrategy: () => MAX_RECONNECT_DELAY_MS,
    // Those that are named are asked. What a sentinel says of others may not be an address that this process reaches.
    updateSentinels: false,
  } satisfies RedisOptions;
}

function tlsOptions(config: RedisConfig): ConnectionOptions {
  // An address is no name that a client may send; the certificate is checked against it all the same.
  const hasName = config.host !== '' && isIP(config.host) === 0;
  return { ...(hasName ? { servername: config.host } : {}), ...readCertificates(config.certificates) };
}

function hostAndPort(address: string): { host: string; port: number } {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon).replace(/^\[|\]$/g, ''), port: Number(address.slice(colon + 1)) };
}

// connect() of the client itself rejects only when its first attempt fails; the client goes on trying by itself then.
async function becomesReady(client: Redis | Cluster): Promise<void> {
  const { promise: timedOut, reject } = Promise.withResolvers<never>();
  const timer = setTimeout(() => reject(new Error(`Redis did not answer within ${CONNECT_TIMEOUT_MS} ms`)), CONNECT_TIMEOUT_MS);
  try {
    await Promise.race([client.connect(), timedOut]);
  } finally {
    clearTimeout(timer);
  }
}
