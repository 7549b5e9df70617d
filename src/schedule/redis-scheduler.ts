// The schedule in Redis: two levels of sorted sets a shard, every step one script, time by Redis' own clock.
import type { IndexState, ScheduleIndex } from './schedule-index.ts';
import { randomUUID } from 'node:crypto';
import { loadScript } from './redis-script.ts';
import type { RedisConnection, Script } from '../persistence/redis.ts';
import type { Claim, ClaimRequest, Leased, LeftAloneUntilMs, Scheduled, Settlement } from './scheduler.ts';
import { deliveryIdOf, deliveryKey, shardOf, webhookIdOf, webhookKey } from './shard.ts';

/** Deliveries of one script call: a millisecond or two in which Redis serves no other client. */
const MAX_SCRIPT_ITEMS = 1000;
/** More script calls at once would only wait in Redis' queue, where the clock of the command timeout runs. */
const MAX_SCRIPTS_IN_FLIGHT = 4;
/** Rounds of a claim over shards that had more than their share. Beyond this it leaves the rest to the next claim. */
const MAX_CLAIM_ROUNDS = 3;

// Measured with Redis 7.0.15, batches of 100 over 50 and 100 webhooks, with and without a million deliveries waiting behind them, on
// two cores that others kept busy (load 12). Redis' own time an item: enqueue 6-8 us, claim 7-9, settle 4-6.
// 320-340 claims of 100 a second there, 930-980 at a load of 9. Memory: 126 bytes a waiting delivery with a million waiting for 1 or
// 1000 webhooks; 46 where a webhook has at most 128, which Redis packs.
const enqueueScript = loadScript('enqueue-4');
const claimScript = loadScript('claim-6');
const settleScript = loadScript('settle-4');
const rescueScript = loadScript('rescue-4');
const suspendScript = loadScript('suspend-6');
const checkScript = loadScript('check-6');

/** Leases read by one command when a process has died; in all there are some thousands. */
const SCAN_PAGE = 1000;

/** s. The keys of a check are deleted at its end; should they be left behind, they expire. */
const PROBE_MS = 1000;

/** What the marks of an index that is being filled begin with; `complete:` is what gives out (shard.lua). */
const BUILDING = 'building:';
const OUTDATED = 'complete:outdated:';

/**
 * ms. Each check of a process that claims from PostgreSQL suspends claims from Redis for so long, unless that process resumes them. The
 * next check follows 250 ms after the reply, which may take the 500 ms of a command's timeout; the rest is for processes that are late.
 */
export const SUSPEND_MS = 2000;

export interface RedisClaim extends Claim {
  /** For how many ms no shard gives anything out: 0 when one does, infinite when one was emptied, null when not all were read. */
  readonly suspendedForMs: number | null;
}

interface ShardClaim extends RedisClaim {
  readonly shard: Shard;
  readonly nextDueInMs: number;
  readonly suspendedForMs: number;
}

export interface RedisSchedulerOptions {
  readonly keyPrefix: string;
  readonly shards: number;
  readonly leaseMs: number;
  /** The number of this process, which its leases carry; 0 when it has none. */
  readonly holder?: () => number;
  /**
   * PostgreSQL's clock, by which due times are given, in ms since 1970. The scripts compare it with Redis' clock: a difference of more than
   * 50 ms is added to every time, so that clocks that are apart neither delay nor hasten.
   */
  readonly now?: () => number;
  /** Called with how many members were removed that name no delivery. */
  readonly onUnknownMember?: (count: number) => void;
}

interface Shard {
  /** Of `ready`, `held`, `suspects` and `probing`; one hash tag, hence one Cluster slot. */
  readonly keys: readonly [string, string, string, string];
  /** The same, `epoch` and `shut`. */
  readonly givingKeys: readonly [string, string, string, string, string, string];
  /** What the keys of the webhooks' own zsets begin with. */
  readonly webhookPrefix: string;
  readonly suspectsKey: string;
  readonly epochKey: string;
  readonly suspendedKey: string;
  /** The rank where the last claim stopped, because no webhook that it saw had free places. */
  rank: number;
  takenSinceFirstRank: number;
  /** Whether that walk has left something so far, because its webhook had no free places. */
  isLimited: boolean;
}

export class RedisScheduler implements ScheduleIndex {
  readonly name = 'redis-scheduler';
  readonly #redis: RedisConnection;
  readonly #leaseMs: number;
  readonly #holder: () => number;
  readonly #now: () => number;
  readonly #onUnknownMember: (count: number) => void;
  readonly #shards: readonly Shard[];
  readonly #channel: string;
  readonly #processId = randomUUID();
  readonly #wakeCallbacks: (() => void)[] = [];
  #nextShard = 0;
  #isPublishing = false;
  #mustPublishAgain = false;

  constructor(redis: RedisConnection, options: RedisSchedulerOptions) {
    this.#redis = redis;
    this.#leaseMs = options.leaseMs;
    this.#holder = options.holder ?? (() => 0);
    this.#now = options.now ?? Date.now;
    this.#onUnknownMember = options.onUnknownMember ?? (() => undefined);
    this.#channel = `${options.keyPrefix}wh:wake`;
    this.#shards = Array.from({ length: options.shards }, (_, index) => {
      const prefix = `${options.keyPrefix}{wh:${index}}`;
      const [suspects, epoch, shut] = [`${prefix}:suspects`, `${prefix}:epoch`, `${prefix}:shut`];
      const keys = [`${prefix}:ready`, `${prefix}:held`, suspects, `${prefix}:probing`] as const;
      return {
        keys,
        givingKeys: [...keys, epoch, shut],
        webhookPrefix: `${prefix}:ep:`,
        suspectsKey: suspects,
        epochKey: epoch,
        suspendedKey: shut,
        rank: 0,
        takenSinceFirstRank: 0,
        isLimited: false,
      };
    });
  }

  start(): Promise<void> {
    this.#redis.subscribe(this.#channel, () => this.#wake());
    return Promise.resolve();
  }

  drain(): Promise<void> {
    return Promise.resolve();
  }

  onWake(callback: () => void): void {
    this.#wakeCallbacks.push(callback);
  }

  enqueue(items: readonly Scheduled[]): Promise<number> {
    return this.#runGrouped(enqueueScript, items, (item) => [item.dueAtMs, deliveryKey(item.deliveryId)]);
  }

  async claim(request: ClaimRequest): Promise<RedisClaim> {
    const leased: Leased[] = [];
    const waits = new Map<Shard, number>();
    let isLimited = false;
    let suspendedForMs = Infinity;
    let isIncomplete = false;
    const room = new Map(request.room);
    let maxProbes = request.maxProbes ?? 0;
    let asked: readonly Shard[] = this.#inTurn();
    for (let round = 0; round < MAX_CLAIM_ROUNDS && asked.length > 0 && leased.length < request.max; round += 1) {
      // Every shard gets its share of what is left; with fewer places than shards, those whose turn it is.
      const left = request.max - leased.length;
      const shares = asked.slice(0, left).map((shard, index) => ({
        shard,
        max: Math.floor(left / asked.length) + (index < left % asked.length ? 1 : 0),
      }));
      const claims = await Promise.all(
        shares.map(({ shard, max }) => this.#claimFrom(shard, { ...request, room, max, maxProbes })),
      );
      maxProbes = 0;
      for (const claim of claims) {
        waits.set(claim.shard, Math.min(waits.get(claim.shard) ?? Infinity, claim.nextDueInMs));
        leased.push(...claim.leased);
        isLimited ||= claim.isLimited;
        suspendedForMs = Math.min(suspendedForMs, claim.suspendedForMs);
        isIncomplete ||= claim.suspendedForMs === Infinity;
        // A second round must not give a webhook more than one would.
        for (const { webhookId } of claim.leased) {
          room.set(webhookId, (room.get(webhookId) ?? request.perWebhook) - 1);
        }
      }
      const full = claims.filter((claim, index) => claim.leased.length === shares[index]?.max).map((claim) => claim.shard);
      asked = [...asked.slice(shares.length), ...full];
    }
    // Shards that were not read, for lack of places, may have something.
    const isWhole = waits.size === this.#shards.length;
    return {
      leased,
      nextDueInMs: isWhole ? Math.min(...waits.values()) : 0,
      isLimited,
      suspendedForMs: isIncomplete ? Infinity : isWhole || suspendedForMs === 0 ? suspendedForMs : null,
    };
  }

  async release(settlements: readonly Settlement[]): Promise<void> {
    await this.#runGrouped(settleScript, settlements, (settlement) => [
      deliveryKey(settlement.deliveryId),
      settlement.token,
      settlement.dueAtMs ?? '',
    ]);
  }

  /** Redis stores no outcomes: a settlement is the same there. */
  settle(settlements: readonly Settlement[]): Promise<void> {
    return this.release(settlements);
  }

  /** The deliveries that a process has leased here. */
  async leasedBy(holder: number): Promise<string[]> {
    const ending = `:${holder}`;
    const found = new Set<string>();
    for (const { keys } of this.#shards) {
      let cursor = '0';
      do {
        const [next, page] = await this.#redis.commands.hscan(keys[1], cursor, 'COUNT', SCAN_PAGE);
        for (let at = 0; at < page.length; at += 2) {
          if (page[at + 1]?.endsWith(ending) === true) found.add(deliveryIdOf(page[at] ?? ''));
        }
        cursor = next;
      } while (cursor !== '0');
    }
    return [...found];
  }

  /** Makes due at once those of these that a dead process has leased. Returns how many. */
  rescue(holder: number, leased: readonly Pick<Leased, 'deliveryId' | 'webhookId'>[]): Promise<number> {
    return this.#runGrouped(rescueScript, leased, ({ deliveryId }) => [deliveryKey(deliveryId), holder]);
  }

  /** Rejects while the schedule cannot do all it may have to: Redis is away, full, a replica, or forbids a command. */
  async checkWritable(): Promise<void> {
    await Promise.all(
      this.#shards.map(({ givingKeys, webhookPrefix }) => this.#redis.run(checkScript, givingKeys, [webhookPrefix, PROBE_MS])),
    );
  }

  /**
   * Suspends claims from Redis for SUSPEND_MS, for all processes: this one claims from PostgreSQL. Rejects as `checkWritable` does. Without
   * it, a process that is back already and one that is still away would claim the same deliveries.
   */
  async suspendClaims(): Promise<void> {
    await Promise.all(
      this.#shards.map(({ givingKeys, webhookPrefix }) =>
        this.#redis.run(suspendScript, givingKeys, [webhookPrefix, this.#processId, SUSPEND_MS]),
      ),
    );
  }

  /** Marks the receivers of these webhooks as away until a probe shows otherwise: an emptied index has lost that. */
  async suspect(webhookIds: readonly string[]): Promise<void> {
    for (const [shard, ofShard] of Map.groupBy(webhookIds, (webhookId) => this.#shardOf(webhookId))) {
      await this.#redis.commands.hset(shard.suspectsKey, new Map(ofShard.map((webhookId) => [webhookKey(webhookId), 0])));
    }
  }

  /** Ends the suspension of this process: every row that it claimed is committed. Suspensions of other processes stand. */
  async resumeClaims(): Promise<void> {
    await Promise.all(this.#shards.map(({ suspendedKey }) => this.#redis.commands.zrem(suspendedKey, this.#processId)));
  }

  /** Rejects while Redis is away. */
  async indexState(): Promise<IndexState> {
    const epochs = await Promise.all(this.#shards.map(({ epochKey }) => this.#redis.commands.get(epochKey)));
    if (epochs.includes(null)) return 'missing';
    if (!epochs.every((epoch) => epoch?.startsWith('complete:'))) return 'building';
    return epochs.some((epoch) => epoch?.startsWith(OUTDATED)) ? 'outdated' : 'complete';
  }

  /** Marks the index as being filled. `mark` shows afterwards whether it was emptied again meanwhile. */
  async beginBuild(mark: string): Promise<void> {
    await Promise.all(this.#shards.map(({ epochKey }) => this.#redis.commands.set(epochKey, `${BUILDING}${mark}`)));
  }

  /** The same for an index that has kept its keys. The mark stands until a leader has filled it. */
  async beginRefill(mark: string): Promise<void> {
    await Promise.all(this.#shards.map(({ epochKey }) => this.#redis.commands.set(epochKey, `${OUTDATED}${mark}`, 'XX')));
  }

  /** Marks the index as complete. Resolves to false when the mark it was begun with was lost. */
  async completeBuild(mark: string): Promise<boolean> {
    const epochs = await Promise.all(this.#shards.map(({ epochKey }) => this.#redis.commands.get(epochKey)));
    if (epochs.some((epoch) => epoch !== `${BUILDING}${mark}` && epoch !== `${OUTDATED}${mark}`)) return false;
    await Promise.all(this.#shards.map(({ epochKey }) => this.#redis.commands.set(epochKey, `complete:${mark}`)));
    return true;
  }

  async #claimFrom(shard: Shard, request: ClaimRequest): Promise<ShardClaim> {
    const room: (string | number)[] = [];
    for (const [webhookId, limit] of request.room) {
      if (this.#shardOf(webhookId) === shard) room.push(webhookKey(webhookId), limit);
    }
    const startRank = shard.rank;
    const expiresAt = performance.now() + this.#leaseMs;
    const reply = (await this.#redis.run(claimScript, shard.givingKeys, [
      shard.webhookPrefix,
      this.#leaseMs,
      request.max,
      request.perWebhook,
      startRank,
      request.maxProbes ?? 0,
      this.#holder(),
      ...room,
    ])) as ClaimReply;
    const [nextDueInMs, rank, unknownMembers, token, limited, probes] = reply;
    const suspendedForMs = token > 0 ? 0 : nextDueInMs < 0 ? Infinity : nextDueInMs;
    if (unknownMembers > 0) this.#onUnknownMember(unknownMembers);
    const leased = readGroups(reply, { leasedIn: 'index', token, expiresAt }, probes);
    shard.takenSinceFirstRank = (startRank === 0 ? 0 : shard.takenSinceFirstRank) + leased.length;
    shard.isLimited = limited === 1 || (startRank > 0 && shard.isLimited);
    shard.rank = rank;
    // A walk that began in the middle and came to the end says nothing of those before, unless it claimed nothing.
    const isPartial = startRank > 0 && rank === 0 && shard.takenSinceFirstRank > 0;
    return { shard, leased, nextDueInMs: isPartial ? 0 : Math.max(nextDueInMs, 0), isLimited: shard.isLimited, suspendedForMs };
  }

  /**
   * Runs a script over groups of one webhook. It replies with a count, and with 1 when a sleeper should wake. Resolves to the counts' sum.
   */
  async #runGrouped<Item extends OfWebhook>(
    script: Script,
    items: readonly Item[],
    encode: (item: Item) => (string | number)[],
  ): Promise<number> {
    const replies: number[][] = [];
    let calls: Promise<number[]>[] = [];
    for (const [shard, ofShard] of this.#byShard(items)) {
      for (let start = 0; start < ofShard.length; start += MAX_SCRIPT_ITEMS) {
        const parameters: (string | number)[] = [shard.webhookPrefix, this.#now()];
        for (const [webhookId, group] of Map.groupBy(
          ofShard.slice(start, start + MAX_SCRIPT_ITEMS),
          (item) => item.webhookId,
        )) {
          parameters.push(webhookKey(webhookId), group.length, lastLeftAlone(group));
          for (const item of group) parameters.push(...encode(item));
        }
        calls.push(this.#redis.run(script, shard.keys, parameters) as Promise<number[]>);
        if (calls.length === MAX_SCRIPTS_IN_FLIGHT) {
          replies.push(...(await Promise.all(calls)));
          calls = [];
        }
      }
    }
    replies.push(...(await Promise.all(calls)));
    if (replies.some(([, wake]) => wake === 1)) this.#publishWake();
    return replies.reduce((sum, [count]) => sum + (count ?? 0), 0);
  }

  #byShard<Item extends { readonly webhookId: string }>(items: readonly Item[]): Map<Shard, readonly Item[]> {
    const [only] = this.#shards;
    if (this.#shards.length === 1 && only !== undefined) return new Map(items.length > 0 ? [[only, items]] : []);
    return Map.groupBy(items, (item) => this.#shardOf(item.webhookId));
  }

  #shardOf(webhookId: string): Shard {
    const shard = this.#shards[shardOf(webhookId, this.#shards.length)];
    if (shard === undefined) throw new Error('a schedule has at least one shard');
    return shard;
  }

  #inTurn(): Shard[] {
    this.#nextShard = (this.#nextShard + 1) % this.#shards.length;
    return [...this.#shards.slice(this.#nextShard), ...this.#shards.slice(0, this.#nextShard)];
  }

  // One message on the way at a time: a burst of batches wakes sleepers once more at its end, not once a batch.
  #publishWake(): void {
    this.#mustPublishAgain = true;
    if (this.#isPublishing) return;
    this.#isPublishing = true;
    void this.#publishWakes().finally(() => {
      this.#isPublishing = false;
    });
  }

  async #publishWakes(): Promise<void> {
    while (this.#mustPublishAgain) {
      this.#mustPublishAgain = false;
      try {
        await this.#redis.commands.publish(this.#channel, '');
      } catch {
        // Sleepers of other processes look again by themselves; those of this one are woken directly.
        this.#wake();
      }
    }
  }

  #wake(): void {
    for (const callback of this.#wakeCallbacks) callback();
  }
}

/** A group of one delivery in the reply of a claim. */
const PROBE_LENGTH = 4;

type ClaimReply = [
  nextDueInMs: number,
  rank: number,
  unknownMembers: number,
  token: number,
  limited: number,
  probes: number,
  ...groups: (string | number)[],
];

interface OfWebhook {
  readonly webhookId: string;
  readonly leftAloneUntilMs?: LeftAloneUntilMs;
}

/** The last that is new of the webhook's receiver, as the scripts read it; empty: nothing. */
function lastLeftAlone(group: readonly OfWebhook[]): number | '' {
  return group.findLast(({ leftAloneUntilMs }) => leftAloneUntilMs !== undefined)?.leftAloneUntilMs ?? '';
}

/** @param probes so many at the end are probes, of one delivery each */
function readGroups(reply: ClaimReply, lease: Pick<Leased, 'leasedIn' | 'token' | 'expiresAt'>, probes: number): Leased[] {
  const leased: Leased[] = [];
  const firstProbe = reply.length - probes * PROBE_LENGTH;
  let at = 6;
  while (at < reply.length) {
    const webhookId = webhookIdOf(String(reply[at]));
    const isProbe = at >= firstProbe;
    const end = at + 2 + 2 * Number(reply[at + 1]);
    for (at += 2; at < end; at += 2) {
      leased.push({
        deliveryId: deliveryIdOf(String(reply[at])),
        webhookId,
        expirations: Number(reply[at + 1]),
        isProbe,
        ...lease,
      });
    }
  }
  return leased;
}
