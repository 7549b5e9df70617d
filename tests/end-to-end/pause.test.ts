// A paused webhook: nothing is sent to it and nothing is lost, and what was held is sent in its order once it is resumed.
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { eventually } from '../fixtures/eventually.ts';
import type { Rest } from '../fixtures/rest.ts';
import { createWebhook, publish as publishEvent, schedules, startScenario, type Scenario } from '../fixtures/scenario.ts';

const PATIENCE = { deadlineMs: 20_000 };

describe.each(schedules)('scheduled by $schedule', ({ redis }) => {
  let scenario: Scenario;
  let developer: Rest;

  beforeAll(async () => {
    scenario = await startScenario({ redis: redis() });
  });
  afterAll(() => scenario.close());

  let user = 0;
  beforeEach(async () => {
    user += 1;
    developer = await scenario.service.as(`user${user}`);
  });

  async function webhookAt(path: string, more: object = {}): Promise<string> {
    const fields = { retry_policy: { max_retries: 5, retry_delay: 1 }, ...more };
    const { id } = await createWebhook(developer, scenario.receiver.url(path), fields);
    return `/api/v1/webhooks/${id}`;
  }

  const publish = (number: number): Promise<string> => publishEvent(scenario.publisher, [`user${user}`], { data: { number } });

  const numbersAt = (path: string): number[] =>
    scenario.receiver.at(path).map(({ body }) => (JSON.parse(body.toString()) as { data: { number: number } }).data.number);
  const heldOf = async (webhook: string): Promise<number> => (await developer('GET', webhook)).body.health.held;
  const isReleased = async (webhook: string): Promise<boolean> => {
    const { body } = await developer('GET', webhook);
    return body.paused === false && body.release_id === '' && body.health.held === 0;
  };

  test('what is published meanwhile is held, pending and counted, and sent once it is resumed', async () => {
    const path = `/held-${user}`;
    const webhook = await webhookAt(path);
    const paused = await developer('POST', `${webhook}/pause`, {});
    expect(paused).toMatchObject({ status: 200, body: { paused: true, release_id: '', health: { held: 0 } } });
    for (let number = 0; number < 5; number += 1) await publish(number);
    const { body } = await developer('GET', webhook);
    expect(body).toMatchObject({ paused: true, is_active: true, health: { held: 5, oldest_held_at: expect.any(String) } });
    const log = await developer('GET', `/api/v1/webhooks/deliveries?webhook_id=${body.id}&status=pending`);
    expect(log.body.deliveries).toHaveLength(5);
    expect(scenario.receiver.at(path)).toEqual([]);

    const resumed = await developer('POST', `${webhook}/resume`, { rate: 100 });
    expect(resumed).toMatchObject({ status: 200, body: { paused: false, release_id: expect.stringMatching(/^release_/) } });
    await eventually(() => isReleased(webhook), { what: 'the end of the release', ...PATIENCE });
    await scenario.receiver.waitFor(() => scenario.receiver.at(path).length >= 5);
    expect(numbersAt(path).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4]);
    await publish(5);
    await scenario.receiver.waitFor(() => scenario.receiver.at(path).length >= 6);
  });

  test('a retry that was waiting is held, and comes after it is resumed', async () => {
    const path = `/retry-${user}`;
    scenario.receiver.script(path, 500, 200);
    const webhook = await webhookAt(path, { retry_policy: { max_retries: 5, retry_delay: 3 } });
    await publish(1);
    await scenario.receiver.waitFor(() => scenario.receiver.at(path).length === 1);
    await developer('POST', `${webhook}/pause`, {});
    const { rows } = await eventually(
      async () => {
        const found = await scenario.service.database.pool.query(
          `select status, attempt_count from deliveries where webhook_id = $1 and held_at is not null`,
          [webhook.slice('/api/v1/webhooks/'.length)],
        );
        return found.rowCount === 1 && found;
      },
      { what: 'the hold of the retry', ...PATIENCE },
    );
    expect(rows).toEqual([{ status: 'pending', attempt_count: 1 }]);
    expect(await heldOf(webhook)).toBe(1);
    await developer('POST', `${webhook}/resume`, {});
    await scenario.receiver.waitFor(() => scenario.receiver.at(path).length === 2, PATIENCE.deadlineMs);
    expect(scenario.receiver.at(path)[1]?.headers['x-homechef-attempt']).toBe('2');
    await eventually(() => isReleased(webhook), { what: 'the end of the release', ...PATIENCE });
  });

  test('a webhook created paused holds its first event', async () => {
    const path = `/paused-${user}`;
    const webhook = await webhookAt(path, { paused: true });
    await publish(1);
    expect(await heldOf(webhook)).toBe(1);
    await developer('POST', `${webhook}/resume`, {});
    await scenario.receiver.waitFor(() => scenario.receiver.at(path).length === 1, PATIENCE.deadlineMs);
  });

  test('what is published while a release runs comes behind what was held', async () => {
    const path = `/order-${user}`;
    const webhook = await webhookAt(path, { paused: true });
    for (let number = 0; number < 20; number += 1) await publish(number);
    await developer('POST', `${webhook}/resume`, { rate: 20 });
    for (let number = 20; number < 40; number += 1) await publish(number);
    expect((await developer('GET', webhook)).body.release_id).toMatch(/^release_/);
    await scenario.receiver.waitFor(() => scenario.receiver.at(path).length >= 40, PATIENCE.deadlineMs);
    // Deliveries that one step makes due leave side by side, so neighbours may change places.
    const order = numbersAt(path);
    expect(order.filter((number) => number < 20).length).toBe(20);
    expect(order.slice(0, 10).every((number) => number < 20)).toBe(true);
    expect(order.slice(30).every((number) => number >= 20)).toBe(true);
    expect(new Set(order).size).toBe(40);
    await eventually(() => isReleased(webhook), { what: 'the end of the release', ...PATIENCE });
  });

  test('pausing again while a release runs keeps the rest, and both calls can be repeated', async () => {
    const path = `/again-${user}`;
    const webhook = await webhookAt(path, { paused: true });
    for (let number = 0; number < 10; number += 1) await publish(number);
    const first = await developer('POST', `${webhook}/resume`, { rate: 1 });
    const second = await developer('POST', `${webhook}/resume`, { rate: 2 });
    expect(second.body.release_id).toBe(first.body.release_id);
    await scenario.receiver.waitFor(() => scenario.receiver.at(path).length >= 1, PATIENCE.deadlineMs);
    await developer('POST', `${webhook}/pause`, {});
    const { body } = await developer('POST', `${webhook}/pause`, {});
    expect(body).toMatchObject({ paused: true, release_id: '' });
    await eventually(async () => (await heldOf(webhook)) + scenario.receiver.at(path).length === 10, {
      what: 'all ten',
      ...PATIENCE,
    });
    expect(await heldOf(webhook)).toBeGreaterThan(0);
    await developer('POST', `${webhook}/resume`, { rate: 1000 });
    await scenario.receiver.waitFor(() => scenario.receiver.at(path).length >= 10, PATIENCE.deadlineMs);
    await eventually(() => isReleased(webhook), { what: 'the end of the release', ...PATIENCE });
    expect(numbersAt(path).toSorted((a, b) => a - b)).toEqual([0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
    expect((await developer('POST', `${webhook}/resume`, {})).body).toMatchObject({ paused: false, release_id: '' });
  });

  test('disabling a paused webhook cancels what is held', async () => {
    const path = `/closed-${user}`;
    const webhook = await webhookAt(path, { paused: true });
    await publish(1);
    const { body } = await developer('PUT', webhook, { is_active: false });
    expect(body).toMatchObject({ is_active: false, paused: true, health: { held: 0 } });
    const log = await developer('GET', `/api/v1/webhooks/deliveries?webhook_id=${body.id}&status=cancelled`);
    expect(log.body.deliveries).toHaveLength(1);
  });

  test('a rate that is none is refused with its field before anything changes, and so is another way to pause', async () => {
    const webhook = await webhookAt(`/refused-${user}`, { paused: true });
    const before = (await developer('GET', webhook)).body;
    for (const rate of [0, -1, 1001]) {
      const { status, body } = await developer('POST', `${webhook}/resume`, { rate });
      expect({ status, error: body.error }).toMatchObject({
        status: 400,
        error: { reason: 'field_invalid', details: [{ field: 'rate' }] },
      });
    }
    const put = await developer('PUT', webhook, { paused: false });
    expect(put).toMatchObject({ status: 400, body: { error: { reason: 'field_invalid' } } });
    expect((await developer('GET', webhook)).body).toEqual(before);
  });

  test('another user’s webhook is not found', async () => {
    const webhook = await webhookAt(`/foreign-${user}`);
    const stranger = await scenario.service.as('mallory');
    for (const action of ['pause', 'resume']) {
      expect((await stranger('POST', `${webhook}/${action}`, {})).status).toBe(404);
    }
    expect((await developer('GET', webhook)).body.paused).toBe(false);
  });
});
