// The leader's jobs, and the leadership that they ask for.
import type { Config } from '../config.ts';
import type { LongRunning } from '../lifecycle/long-running.ts';
import { InsertLeaseExpiry } from '../maintenance/insert-lease-expiry.ts';
import { Backlog } from '../maintenance/backlog.ts';
import { Deadlines } from '../maintenance/deadlines.ts';
import { HeldLimit } from '../maintenance/held-limit.ts';
import { Housekeeper } from '../maintenance/housekeeper.ts';
import { Leader } from '../maintenance/leader.ts';
import { Probes } from '../maintenance/probes.ts';
import { Reconciler } from '../maintenance/reconciler.ts';
import { Releases } from '../maintenance/releases.ts';
import { Rescue } from '../maintenance/rescue.ts';
import { Summing } from '../maintenance/summing.ts';
import { connectionOptions, directly } from '../persistence/pool.ts';
import { toStatusUpdates } from '../service/delivery-view.ts';
import type { Telemetry } from '../telemetry/telemetry.ts';
import type { Stores } from './stores.ts';
import type { Engine } from './engine.ts';

export type Maintenance = ReturnType<typeof createMaintenance>;

export function createMaintenance(config: Config, stores: Stores, engine: Engine, { log, events }: Telemetry) {
  const leader = new Leader(connectionOptions(directly(stores.database)), (error) =>
    log.warn({ err: error }, 'leadership was lost or not decided'),
  );
  const housekeeper = new Housekeeper({
    pool: stores.pool,
    isLeading: () => leader.isLeading,
    retentionDays: config.retentionDays,
    statsDays: config.statsDays,
    onWrongSums: (day) => events.sumsWrong(day),
    onHeldExpired: (rows) => {
      events.heldExpired(rows.length);
      engine.publishUpdates(toStatusUpdates(rows));
    },
    endWaiting: (webhookId) => engine.closing.endWaiting(webhookId),
    now: () => stores.clock.now(),
    log,
  });
  const reconciler =
    engine.index === null
      ? null
      : new Reconciler({
          pool: stores.batchPool,
          index: engine.index,
          isLeading: () => leader.isLeading,
          intervalMs: config.reconcileIntervalMs,
          leaseMs: config.delivery.leaseMs,
          now: () => stores.clock.now(),
          onRequeued: (count) => events.reconcileRequeued(count),
          onError: (error) => log.warn({ err: error }, 'the schedule could not be reconciled; trying again'),
        });
  const backlog = new Backlog({
    pool: stores.pool,
    isLeading: () => leader.isLeading,
    onError: (error) => events.storeFailed('database', error),
  });
  const insertLeaseExpiry = new InsertLeaseExpiry({
    pool: stores.batchPool,
    scheduler: engine.scheduler,
    isLeading: () => leader.isLeading,
    intervalMs: config.reconcileIntervalMs,
    leaseMs: config.delivery.leaseMs,
    now: () => stores.clock.now(),
    onScheduled: (count) => log.warn({ count }, 'deliveries of a process that died are due'),
    onBroughtForward: (count) =>
      log.warn({ count }, 'deliveries were put off by a clock that was ahead; they are due when they were meant to be'),
    onOldTransaction: (transaction) =>
      log.warn(
        { ...transaction },
        'a transaction has been open for a minute: what it locks is not tried; pg_terminate_backend(pid) ends it',
      ),
    onError: (error) => events.storeFailed('database', error),
  });
  const summing = new Summing({
    pool: stores.pool,
    isLeading: () => leader.isLeading,
    onError: (error) => events.storeFailed('database', error),
  });
  const rescue = new Rescue({
    pool: stores.batchPool,
    scheduler: engine.scheduler,
    index: engine.index,
    isLeading: () => leader.isLeading,
    leaseMs: config.delivery.leaseMs,
    sessionLostAgoMs: () => leader.sessionLostAgoMs,
    onRescued: (holder, count) => log.warn({ holder, count }, 'what a dead process had leased is due'),
    onError: (store, error) => events.storeFailed(store, error),
  });
  const releases = new Releases({
    pool: stores.batchPool,
    scheduler: engine.scheduler,
    isLeading: () => leader.isLeading,
    onWebhookChanged: (webhookId) => engine.bus.announceWebhook(webhookId),
    onHeld: (count) => events.deliveriesHeld(count),
    onReleased: (count) => events.heldReleased(count),
    onError: (error) => events.storeFailed('database', error),
  });
  const heldLimit = new HeldLimit({
    pool: stores.pool,
    maxHeldPerWebhook: config.maxHeldPerWebhook,
    isLeading: () => leader.isLeading,
    onTrimmed: (rows) => {
      events.heldTrimmed(rows.length);
      engine.publishUpdates(toStatusUpdates(rows));
    },
    onError: (error) => events.storeFailed('database', error),
  });
  const deadlines = new Deadlines({
    isLeading: () => leader.isLeading,
    endBatch: () => engine.expiry.endBatch(),
    onError: (error) => events.storeFailed('database', error),
  });
  const probes = new Probes({
    pool: stores.pool,
    probe: engine.probe,
    intervalMs: config.delivery.probeIntervalMs,
    days: config.delivery.probeDays,
    isLeading: () => leader.isLeading,
    onProbed: (result) => events.endpointProbed(result),
    onBack: engine.onBack,
    onGone: engine.onDisabled,
    onEnded: (webhook) => events.probingEnded(webhook),
    onError: (error) => events.storeFailed('database', error),
  });
  const parts: LongRunning[] = [
    leader,
    housekeeper,
    backlog,
    insertLeaseExpiry,
    rescue,
    summing,
    releases,
    heldLimit,
    deadlines,
    probes,
    ...(reconciler === null ? [] : [reconciler]),
  ];
  return { parts, backlog, heldLimit, releases };
}
