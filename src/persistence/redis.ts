// Redis: one connection for commands and one for subscriptions, tuned so that a dead or stopped server fails fast.
import { Cluster, Redis, type ClusterNode, type ClusterOptions, type RedisOptions } from 'ioredis';
import type { RedisConfig } from '../config.ts';
import { pause } from '../lifecycle.ts';
import type { Script } from './redis-script.ts';

/** A command that takes longer has failed: Redis answers in a millisecond, and PostgreSQL can stand in for it. */
const COMMAND_TIMEOUT_MS = 500;
const CONNECT_TIMEOUT_MS = 2000;
const FIRST_RECONNECT_DELAY_MS = 50;
const MAX_RECONNECT_DELAY_MS = 1000;
/** Between two tries to subscribe on one connection: by then a server that stopped for a moment answers again. */
const SUBSCRIBE_RETRY_MS = 1000;
/** Slots move rarely and one hop follows a move; more would only prolong a failure. */
const MAX_CLUSTER_REDIRECTIONS = 4;
const CLUSTER_RETRY_DELAY_MS = 50;

export type RedisHealth = { readonly state: 'up' } | { readonly state: 'down'; readonly sinceMs: number };

/** Hears of what goes wrong without a caller: connections that break, a server set up to lose keys. */
export type OnRedisWarning = (message: string, error?: unknown) => void;

/** Who hears the broadcasts of a channel in this process. */
export interface BroadcastListener {
  onMessage(message: string): void;
  /** The server has taken the subscription, on this connection and on each new one: broadcasts reach it and count it. */
  onCounted?(): void;
}

export class RedisConnection {
  /** For commands. They reject at once while the server is away, and after half a second when it does not answer. */
  readonly commands: Redis | Cluster;
  readonly #subscriber: Redis | Cluster;
  readonly #onWarning: OnRedisWarning;
  readonly #callbacks = new Map<string, Set<(message: string) => void>>();
  readonly #listeners = new Map<string, BroadcastListener>();
  #downSinceMs: number | null = Date.now();

  constructor(config: RedisConfig, onWarning: OnRedisWarning) {
    this.#onWarning = onWarning;
    this.commands = createClient(config);
    this.#subscriber = createClient(config, { shardedSubscribers: true });
    for (const client of [this.commands, this.#subscriber]) {
      // Errors repeat with every attempt to reconnect: the first tells it, health() tells the rest.
      client.on('error', (error: Error) => this.#down(error));
      client.on('close', () => this.#down());
    }
    this.commands.on('ready', () => {
      this.#downSinceMs = null;
      void this.#checkPolicy();
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

  /** Connects, or rejects when the server does not answer in time; either way it goes on trying. */
  async connect(): Promise<void> {
    await Promise.all([this.commands, this.#subscriber].map(becomesReady));
  }

  /** What the connection itself knows. A stopped server keeps its connections: only commands that time out tell of it. */
  health(): RedisHealth {
    return this.#downSinceMs === null ? { state: 'up' } : { state: 'down', sinceMs: this.#downSinceMs };
  }

  /** Runs a script by its hash; the text travels only when the server does not know it (a restart, a node that joined). */
  async run(script: Script, keys: readonly string[], parameters: readonly (string | number)[]): Promise<unknown> {
    try {
      return await this.commands.evalsha(script.sha, keys.length, ...keys, ...parameters);
    } catch (error) {
      if (!(error instanceof Error) || !error.message.startsWith('NOSCRIPT')) throw error;
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

  /** Hears every broadcast on a channel until the returned function is called. One listener a channel. */
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

  #down(error?: Error): void {
    if (this.#downSinceMs === null && error !== undefined) this.#onWarning('the connection to Redis broke', error);
    if (this.commands.status !== 'ready') this.#downSinceMs ??= Date.now();
  }

  /** Asks until the server has taken the subscription, the connection is another, or nobody wants it any more. */
  async #take(channel: string, isBroadcast: boolean): Promise<void> {
    const subscriber = this.#subscriber;
    const isWanted = (): boolean => (isBroadcast ? this.#listeners : this.#callbacks).has(channel);
    while (subscriber.status === 'ready' && isWanted()) {
      try {
        const isSharded = isBroadcast && subscriber instanceof Cluster;
        await (isSharded ? subscriber.ssubscribe(channel) : subscriber.subscribe(channel));
        if (isBroadcast) this.#listeners.get(channel)?.onCounted?.();
        return;
      } catch (error) {
        this.#onWarning('Redis did not take a subscription; trying again', error);
        await pause(SUBSCRIBE_RETRY_MS);
      }
    }
  }

  // Evicted members are found by the reconciler alone, as late as its sweep comes to them.
  async #checkPolicy(): Promise<void> {
    try {
      const policy = /^maxmemory_policy:(\S+)/m.exec(await this.commands.info('memory'))?.[1];
      if (policy !== undefined && policy !== 'noeviction') {
        this.#onWarning(`Redis may evict the schedule: maxmemory-policy is ${policy}, and should be noeviction`);
      }
    } catch {
      // Asked again with the next connection.
    }
  }
}

function createClient(config: RedisConfig, forCluster: ClusterOptions = {}): Redis | Cluster {
  const retryStrategy = (times: number): number =>
    Math.min(FIRST_RECONNECT_DELAY_MS * 2 ** Math.min(times, 10), MAX_RECONNECT_DELAY_MS);
  const options = {
    ...(config.username === null ? {} : { username: config.username }),
    ...(config.password === null ? {} : { password: config.password }),
    ...(config.tls ? { tls: config.host === '' ? {} : { servername: config.host } } : {}),
    connectTimeout: CONNECT_TIMEOUT_MS,
    commandTimeout: COMMAND_TIMEOUT_MS,
    // What is sent must be answered by this connection or fail: a command that waits for the next one is of no use to its caller.
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: 0,
    autoResubscribe: false,
    lazyConnect: true,
  } satisfies RedisOptions;
  if (config.clusterNodes.length === 0) {
    return new Redis({
      ...options,
      host: config.host,
      port: config.port,
      db: config.db,
      enableOfflineQueue: false,
      retryStrategy,
    });
  }
  return new Cluster(config.clusterNodes.map(clusterNode), {
    ...forCluster,
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

function clusterNode(address: string): ClusterNode {
  const colon = address.lastIndexOf(':');
  return { host: address.slice(0, colon), port: Number(address.slice(colon + 1)) };
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
