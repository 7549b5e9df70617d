// What the rows say of what was claimed.
import { expect, test } from 'vitest';
import { sortClaimed } from '../../src/delivery/sort-claimed.ts';
import type { LoadedDelivery } from '../../src/persistence/queries/load-deliveries.ts';
import type { Leased } from '../../src/schedule/scheduler.ts';

const NOW = 1_000_000;

function leaseOf(deliveryId: string, expirations = 0): Leased {
  return { deliveryId, webhookId: 'w', leasedIn: 'index', token: 7, expirations, expiresAt: 0 };
}

function rowOf(id: string, of: Partial<LoadedDelivery> = {}): LoadedDelivery {
  return { id, webhookId: 'w', userId: 'u', waitMs: 0, rowExpirations: 0, ...of } as LoadedDelivery;
}

test('what is due becomes a task, in the order of the claim', () => {
  const { tasks, settlements } = sortClaimed([leaseOf('a'), leaseOf('b')], [rowOf('b'), rowOf('a')], NOW);
  expect(tasks.map(({ deliveryId }) => deliveryId)).toEqual(['a', 'b']);
  expect(settlements).toEqual([]);
});

test('leases that ran out in the row are added to those that the schedule has counted', () => {
  const { tasks, expiredInRows } = sortClaimed([leaseOf('a', 2)], [rowOf('a', { rowExpirations: 3 })], NOW);
  expect([tasks[0]?.lease.expirations, expiredInRows]).toEqual([5, 1]);
});

test('what has ended leaves the schedule, and what is not due yet goes back until it is', () => {
  const { tasks, settlements } = sortClaimed(
    [leaseOf('ended'), leaseOf('early')],
    [rowOf('ended', { waitMs: null }), rowOf('early', { waitMs: 12.2 })],
    NOW,
  );
  expect(tasks).toEqual([]);
  expect(settlements.map(({ deliveryId, dueAtMs }) => [deliveryId, dueAtMs])).toEqual([
    ['ended', null],
    ['early', NOW + 13],
  ]);
});

test('an entry without a row, or of another webhook, is counted and leaves the schedule', () => {
  const { settlements, unknownMembers } = sortClaimed(
    [leaseOf('lost'), leaseOf('moved')],
    [rowOf('moved', { webhookId: 'other' })],
    NOW,
  );
  expect(unknownMembers).toBe(2);
  expect(settlements.map(({ dueAtMs }) => dueAtMs)).toEqual([null, null]);
});
