// One host is down: an operator sees that it is one outage, holds what leads there, lets it go once the host is back, and the page is calm again.
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { createWebhook, publish } from '../fixtures/scenario.ts';
import { chromiumPath, signIn } from './browser.ts';
import type { ConsoleService } from './service.ts';
import { openStage, type Stage } from './stage.ts';

const USERS = ['kitchen-one', 'kitchen-two'];
const PATHS = ['/till', '/printer'];
const WIDTHS = [
  { name: 'at a desk', width: 1440, height: 900 },
  { name: 'on a phone', width: 390, height: 844 },
];

describe.skipIf(chromiumPath === null).each(WIDTHS)('an outage of one host, $name', ({ width, height }) => {
  let stage: Stage;
  let service: ConsoleService;
  let down: Receiver;
  let page: Page;
  let host: string;

  beforeAll(async () => {
    stage = await openStage();
    ({ service, page } = stage);
    await page.setViewportSize({ width, height });
    down = await startReceiver();
    host = new URL(down.url('/')).host;
    // The first attempt fails, and the next is far away: what waits is sent when the operator says so.
    const fields = { retry_policy: { max_retries: 5, retry_delay: 600 } };
    for (const user_id of USERS) {
      for (const path of PATHS) {
        down.script(`${path}-${user_id}`, 503);
        await createWebhook(service.publisher, down.url(`${path}-${user_id}`), { ...fields, user_id });
      }
      await createWebhook(service.publisher, stage.receiver.url(`/well-${user_id}`), { user_id });
    }
    await publish(service.publisher, USERS);
    await eventually(async () => (await counts()).retrying === 4, { what: 'an outage', deadlineMs: 30_000 });
    await signIn(page, 'operator');
  }, 120_000);

  afterAll(async () => {
    await stage?.close();
    await down?.close();
  });

  const counts = async () => (await service.publisher('GET', '/api/v1/webhooks/overview')).body.counts;
  const dialog = () => page.getByRole('dialog');
  const press = (name: string) => page.getByRole('button', { name, exact: true }).click();

  test('is one line, held at one click, let go at another, and over without a reload', { timeout: 120_000 }, async () => {
    const group = page.locator('[aria-labelledby=overview-failures] li');
    await group.getByText(`Answered 503: 4 webhooks at ${host} of 2 users`).waitFor();
    expect(await group.count()).toBe(1);
    await group.getByRole('link', { name: '4 webhooks' }).click();

    await press('Pause 4 webhooks');
    await dialog()
      .getByText(`${down.url('/till-kitchen-one')} of kitchen-one`)
      .waitFor();
    await dialog().getByText('what they would get is kept').waitFor();
    await press('Pause them');
    await page.getByText('4 webhooks paused.').waitFor();
    await expect.poll(() => page.locator('.rows .badge').allInnerTexts()).toEqual(['Paused', 'Paused', 'Paused', 'Paused']);
    await publish(service.publisher, USERS);
    await eventually(async () => (await counts()).delivered === 4, { what: 'the others go on' });
    // One attempt each, before they were paused.
    expect(down.requests).toHaveLength(4);

    for (const user of USERS) for (const path of PATHS) down.script(`${path}-${user}`, 200);
    await press('Resume 4 webhooks');
    await dialog().getByLabel('Pace').fill('100');
    await press('Resume them');
    await page.getByText('4 webhooks resumed.').waitFor();

    await page.getByRole('link', { name: 'Overview', exact: true }).click();
    await page.getByText('Nothing failed in this time.').waitFor({ timeout: 60_000 });
    await page.getByText('everything arrived').waitFor({ timeout: 60_000 });
    expect(await counts()).toMatchObject({ delivered: 12, retrying: 0, failed: 0, cancelled: 0 });
    expect(await page.evaluate('document.documentElement.scrollWidth - document.documentElement.clientWidth')).toBe(0);
    expect(stage.tab.complaints).toEqual([]);
  });
});
