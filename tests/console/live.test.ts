// The live page when changes come faster than they can be read, and when some were dropped.
import { create, toBinary } from '@bufbuild/protobuf';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { WatchDeliveriesResponseSchema } from '../../gen/homechef/webhook/v1/delivery_pb.ts';
import type { Receiver } from '../fixtures/receiver.ts';
import { createWebhook } from '../fixtures/scenario.ts';
import { chromiumPath, signIn, type Visit } from './browser.ts';
import { DEVELOPER, type ConsoleService } from './service.ts';
import { openStage, type Stage } from './stage.ts';

const BATCHES = 4;
const EVENTS_OF_BATCH = 100;

describe.skipIf(chromiumPath === null)('the live page under load', () => {
  let stage: Stage;
  let service: ConsoleService;
  let receiver: Receiver;
  let tab: Visit;
  let page: Page;

  beforeAll(async () => {
    stage = await openStage();
    ({ service, receiver, tab, page } = stage);
    receiver.script('/busy', 200);
    await createWebhook(service.developer, receiver.url('/busy'));
    await signIn(page, 'developer', '/live');
    await page.locator('.stream-state.live').waitFor();
  }, 90_000);

  afterAll(() => stage?.close());

  test('a crowd is counted by what it is, freezes to rows at one click, and ends by itself', { timeout: 90_000 }, async () => {
    await burst();
    const crowd = page.getByLabel('Changes, grouped');
    await crowd.getByText('changes a second').waitFor();
    await crowd.getByText('Delivered').waitFor();
    expect(await page.locator('.rows tbody tr').count()).toBe(0);
    await page.getByRole('button', { name: 'Freeze and read them' }).click();
    await page.locator('.rows tbody tr').first().waitFor();
    expect(await page.locator('.rows tbody tr').count()).toBeLessThanOrEqual(200);
    await page.getByRole('button', { name: /^Resume/ }).click();

    await burst();
    await crowd.waitFor();
    await crowd.waitFor({ state: 'detached' });
    await page.locator('.rows tbody tr').first().waitFor();
    await page.getByText(/\d{3} changes/).waitFor();
    expect(tab.complaints).toEqual([]);
  });

  test('a gap is shown as a gap, with its size, and the stream stays live', async () => {
    const stream = /DeliveryService\/WatchDeliveries$/;
    let isFirst = true;
    await page.route(stream, async (route) => {
      if (!isFirst) return route.continue();
      isFirst = false;
      const gap = create(WatchDeliveriesResponseSchema, { message: { case: 'gap', value: { dropped: 1234 } } });
      const body = toBinary(WatchDeliveriesResponseSchema, gap);
      const end = Buffer.from('{}');
      await route.fulfill({
        contentType: 'application/connect+proto',
        body: Buffer.concat([frame(0, body), frame(2, end)]),
      });
    });
    await page.reload();
    await page.getByText(/A gap at .*1,234 changes came faster than they were read/).waitFor();
    await page.locator('.stream-state.live').waitFor();
    await page.getByText(/A gap at/).waitFor();
    await page.unroute(stream);
  });

  async function burst(): Promise<void> {
    const event = { event_type: 'order.created', data: { order_id: 'order_1' }, audience: { user_ids: [DEVELOPER] } };
    for (let batch = 0; batch < BATCHES; batch += 1) {
      const { status } = await service.publisher('POST', '/api/v1/events/batch', {
        events: Array.from({ length: EVENTS_OF_BATCH }, () => event),
      });
      expect(status).toBeLessThan(300);
    }
  }
});

/** A message as Connect streams it: a flag, its length, its bytes. */
function frame(flag: number, body: Uint8Array): Buffer {
  const head = Buffer.alloc(5);
  head[0] = flag;
  head.writeUInt32BE(body.length, 1);
  return Buffer.concat([head, body]);
}
