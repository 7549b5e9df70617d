// Deliveries that are chosen are retried and ended, and what a webhook missed is sent once it is enabled.
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../fixtures/eventually.ts';
import type { Receiver } from '../fixtures/receiver.ts';
import { createWebhook, publish } from '../fixtures/scenario.ts';
import { chromiumPath, signIn, type Visit } from './browser.ts';
import { DEVELOPER, type ConsoleService } from './service.ts';
import { openStage, type Stage } from './stage.ts';

describe.skipIf(chromiumPath === null)('a choice of deliveries', () => {
  let stage: Stage;
  let service: ConsoleService;
  let receiver: Receiver;
  let tab: Visit;
  let page: Page;

  beforeAll(async () => {
    stage = await openStage();
    ({ service, receiver, tab, page } = stage);
    await signIn(page, 'developer');
  }, 90_000);

  afterAll(() => stage?.close());

  const dialog = () => page.getByRole('dialog');
  const press = (name: string) => page.getByRole('button', { name, exact: true }).click();
  const list = async (query: string) =>
    (await service.developer('GET', `/api/v1/webhooks/deliveries?${query}`)).body.deliveries as { status: string }[];
  const statuses = async (query: string) => (await list(query)).map(({ status }) => status).toSorted();

  test(
    'deliveries that are chosen are retried at one click, and those that did not arrive are taken back',
    { timeout: 60_000 },
    async () => {
      receiver.script('/oven', 503);
      const { id } = await createWebhook(service.developer, receiver.url('/oven'), { retry_policy: { max_retries: 0 } });
      for (let number = 0; number < 3; number += 1) await publish(service.publisher, [DEVELOPER]);
      const query = `webhook_id=${id}`;
      await eventually(async () => (await statuses(query)).join() === 'failed,failed,failed', { what: 'three failures' });
      await page.goto(`/deliveries?${query}`);
      await page.getByRole('checkbox', { name: 'Select all on this page' }).check();
      await page.getByText('3 deliveries selected').waitFor();
      await page.locator('.rows tbody').getByRole('checkbox').first().uncheck();
      await page.getByText('2 deliveries selected').waitFor();
      receiver.script('/oven', 200);
      await press('Retry selected');
      await dialog().getByText('whatever its status').waitFor();
      await dialog().getByRole('button', { name: 'Retry', exact: true }).click();
      await page.getByTestId('marked-result').getByText('2 deliveries are sent again now.').waitFor();
      await eventually(async () => (await statuses(query)).join() === 'delivered,delivered,failed', { what: 'two arrivals' });
      expect(await page.getByText('selected', { exact: false }).count()).toBe(0);
      // What has arrived by then is refused, in the service's words.
      await press('Undo: cancel those not delivered yet');
      await page
        .getByTestId('marked-result')
        .getByText(/2 refused: /)
        .waitFor();
      expect(await statuses(query)).toEqual(['delivered', 'delivered', 'failed']);
      tab.complaints.length = 0;
    },
  );

  test(
    'one delivery is held, then ended after a question, and each of these is told by its colour',
    { timeout: 60_000 },
    async () => {
      const { id } = await createWebhook(service.developer, receiver.url('/bell'));
      await service.developer('POST', `/api/v1/webhooks/${id}/pause`, {});
      const eventId = await publish(service.publisher, [DEVELOPER]);
      await page.goto(`/deliveries?webhook_id=${id}&event_id=${eventId}`);
      await page.locator('.rows .status.tone-held').getByText('Held').waitFor();
      await page.locator('.row-link').click();
      await page.locator('.page-head .status.tone-held').waitFor();
      await page.getByText('it is sent once its webhook is resumed').waitFor();
      await press('Cancel delivery');
      await dialog().getByText('“Retry now” undoes it').waitFor();
      await dialog().getByRole('button', { name: 'Cancel delivery' }).click();
      await page.locator('.page-head .status.tone-cancelled').getByText('Cancelled').waitFor();
      await page.locator('.timeline').getByText('Cancelled: by a call.').waitFor();
      expect(await page.getByRole('button', { name: 'Cancel delivery' }).count()).toBe(0);

      const before = new Date(Date.now() + 1500).toISOString();
      const late = await publish(service.publisher, [DEVELOPER], { deliver_before: before });
      const query = `webhook_id=${id}&event_id=${late}`;
      await eventually(async () => (await statuses(query)).join() === 'cancelled', { what: 'the end of a late delivery' });
      await page.goto(`/deliveries?${query}`);
      await page.locator('.rows .status.tone-expired').getByText('Expired').waitFor();

      const older = await publish(service.publisher, [DEVELOPER], { collapse_key: 'courier' });
      await publish(service.publisher, [DEVELOPER], { collapse_key: 'courier' });
      await page.goto(`/deliveries?webhook_id=${id}&event_id=${older}`);
      await page.locator('.rows .status.tone-superseded').getByText('Superseded').waitFor();
      expect(tab.complaints).toEqual([]);
    },
  );

  test(
    'a webhook that is enabled is offered what it missed, cancelled or never made, and gets it',
    { timeout: 60_000 },
    async () => {
      receiver.script('/back', 503);
      const { id } = await createWebhook(service.developer, receiver.url('/back'), {
        events: ['chef.approved'],
        retry_policy: { max_retries: 3, retry_delay: 600 },
      });
      const approve = () => publish(service.publisher, [DEVELOPER], { event_type: 'chef.approved' });
      await approve();
      const query = `webhook_id=${id}`;
      await eventually(async () => (await statuses(query)).join() === 'retrying', { what: 'a failure' });
      await service.developer('PATCH', `/api/v1/webhooks/${id}`, { is_active: false });
      await approve();
      receiver.script('/back', 200);
      await page.goto(`/webhooks/${id}`);
      await press('Enable');
      await page.locator('[aria-labelledby=missed]').getByText('2 deliveries').waitFor();
      await press('Send 2 now');
      await page.locator('[aria-labelledby=missed]').waitFor({ state: 'detached' });
      await eventually(async () => (await statuses(query)).join() === 'delivered,delivered', {
        what: 'what was missed',
        deadlineMs: 30_000,
      });
      expect(tab.complaints).toEqual([]);
    },
  );
});
