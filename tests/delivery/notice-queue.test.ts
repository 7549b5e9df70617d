// Which notice is sent next, and which goes when too many wait.
import { expect, test } from 'vitest';
import { MAX_WAITING, NoticeQueue, type TimedNotice } from '../../src/delivery/notice-queue.ts';

function givenUpOf(userId: string, webhookId: string, deliveryId = 'delivery_1'): TimedNotice {
  const data = {
    delivery_id: deliveryId,
    webhook_id: webhookId,
    user_id: userId,
    event_id: 'event_1',
    event_type: 'order.created',
    error_code: 'http_status',
    attempts: 1,
    count: 1,
  };
  return { type: 'delivery.given_up', data, timestamp: '2026-11-28T00:00:00.000Z' };
}

function disabledOf(userId: string, webhookId: string): TimedNotice {
  const data = { webhook_id: webhookId, user_id: userId, reason: 'gone' };
  return { type: 'webhook.disabled', data, timestamp: '2026-11-28T00:00:00.000Z' };
}

function takeAll(queue: NoticeQueue): TimedNotice[] {
  const all: TimedNotice[] = [];
  for (let notice = queue.next(); notice !== undefined; notice = queue.next()) all.push(notice);
  return all;
}

test('users are served in turn, and of each user a disabled webhook before deliveries given up', () => {
  const queue = new NoticeQueue();
  for (let n = 0; n < 3; n += 1) queue.add(givenUpOf('alice', `a${n}`));
  queue.add(disabledOf('alice', 'a1'));
  queue.add(givenUpOf('bob', 'b0'));
  expect(takeAll(queue).map(({ type, data }) => [type, data.webhook_id])).toEqual([
    ['webhook.disabled', 'a1'],
    ['delivery.given_up', 'b0'],
    ['delivery.given_up', 'a0'],
    ['delivery.given_up', 'a1'],
    ['delivery.given_up', 'a2'],
  ]);
  expect(queue.size).toBe(0);
});

test('deliveries of one webhook that are given up make one notice, which counts them and describes the newest', () => {
  const queue = new NoticeQueue();
  for (let n = 0; n < 1700; n += 1) expect(queue.add(givenUpOf('alice', 'a0', `delivery_${n}`))).toBe(0);
  expect(takeAll(queue).map(({ data }) => data)).toMatchObject([{ delivery_id: 'delivery_1699', count: 1700 }]);
  queue.add(givenUpOf('alice', 'a0'));
  expect(takeAll(queue).map(({ data }) => data)).toMatchObject([{ count: 1 }]);
});

test('however many notices one user has, no other loses one', () => {
  const queue = new NoticeQueue();
  queue.add(disabledOf('bob', 'b0'));
  queue.add(givenUpOf('carol', 'c0'));
  let dropped = 0;
  for (let n = 0; n < 2 * MAX_WAITING; n += 1) dropped += queue.add(givenUpOf('alice', `a${n}`));
  dropped += queue.add(disabledOf('alice', 'a1'));
  expect(queue.size).toBe(MAX_WAITING);
  expect(dropped).toBe(MAX_WAITING + 3);
  const left = takeAll(queue);
  expect(left.slice(0, 3).map(({ type, data }) => [type, data.webhook_id])).toEqual([
    ['webhook.disabled', 'b0'],
    ['delivery.given_up', 'c0'],
    ['webhook.disabled', 'a1'],
  ]);
  expect(left).toHaveLength(MAX_WAITING);
});
