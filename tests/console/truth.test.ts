// What an operator sees at a glance while one receiver is down: all that did not arrive, whose it is, and that it is one outage.
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../fixtures/eventually.ts';
import type { Receiver } from '../fixtures/receiver.ts';
import { createWebhook, publish } from '../fixtures/scenario.ts';
import { chromiumPath, signIn, type Visit } from './browser.ts';
import type { ConsoleService } from './service.ts';
import { openStage, type Stage } from './stage.ts';

const USERS = ['kitchen-one', 'kitchen-two'];
/** Never sent: its webhook is paused while they are made, and disabled before they are released. */
const NEVER_TRIED = 3;

describe.skipIf(chromiumPath === null)('the console while a receiver is down', () => {
  let stage: Stage;
  let service: ConsoleService;
  let receiver: Receiver;
  let tab: Visit;
  let page: Page;
  let host: string;

  beforeAll(async () => {
    stage = await openStage();
    ({ service, receiver, tab, page } = stage);
    host = new URL(receiver.url('/')).host;
    for (const [number, userId] of USERS.entries())
      for (const path of ['/till', '/printer']) {
        receiver.script(`${path}${number}`, 503);
        await create(userId, receiver.url(`${path}${number}`), 'order.created');
      }
    await create('kitchen-one', receiver.url('/well'), 'tip.received');
    const silent = await create('kitchen-two', receiver.url('/silent'), 'chef.approved');
    await service.publisher('POST', `/api/v1/webhooks/${silent}/pause`, {});
    for (let number = 0; number < NEVER_TRIED; number += 1)
      await publish(service.publisher, USERS, { event_type: 'chef.approved' });
    await service.publisher('PUT', `/api/v1/webhooks/${silent}`, { is_active: false });
    await publish(service.publisher, USERS);
    await publish(service.publisher, USERS, { event_type: 'tip.received' });
    const overview = async () => {
      const { counts, never_tried } = (await service.publisher('GET', '/api/v1/webhooks/overview')).body;
      return counts.failed === 4 && counts.delivered === 1 && counts.cancelled === NEVER_TRIED && never_tried === NEVER_TRIED;
    };
    await eventually(overview, { what: 'an outage', deadlineMs: 30_000 });
    await signIn(page, 'operator');
  }, 120_000);

  afterAll(() => stage?.close());

  const figure = (label: string) => page.locator('.figure', { has: page.getByText(label, { exact: true }) });

  test('the headline leaves out nothing that did not arrive', async () => {
    await figure('Arrived').getByText('1 of 8 that ended').waitFor();
    await figure('Did not arrive').getByText(`4 given up · ${NEVER_TRIED} cancelled · ${NEVER_TRIED} never tried`).waitFor();
    expect(await figure('Did not arrive').locator('.figure-value').innerText()).toBe('7');
  });

  test('failures of many webhooks at one host for one cause are one line', async () => {
    const groups = page.locator('[aria-labelledby=overview-failures] li');
    await groups.getByText(`Answered 503: 4 webhooks at ${host} of 2 users, failing since`).waitFor();
    expect(await groups.count()).toBe(1);
  });

  test('webhooks in trouble say whose they are, and are sorted by what the reader chooses', async () => {
    const owners = page.locator('.troubled .cell-user');
    await page.locator('.troubled').getByRole('link', { name: 'Owner' }).click();
    await page.locator('.troubled th[aria-sort=ascending]', { hasText: 'Owner' }).waitFor();
    expect(await owners.allInnerTexts()).toEqual(['kitchen-one', 'kitchen-one', 'kitchen-two', 'kitchen-two']);
    expect(page.url()).toContain('sort=owner');
  });

  test('nothing is green that did not deliver', async () => {
    await page.goto('/webhooks');
    const never = page.locator('tr', { hasText: '/silent' });
    await never.getByText('Disabled').waitFor();
    expect(await page.locator('main .tone-delivered').count()).toBe(0);
  });

  test('deliveries name their owner, and times that share a second show milliseconds', async () => {
    await page.goto('/deliveries?status=failed');
    const rows = page.locator('.rows tbody tr');
    await rows.first().getByText('kitchen-').waitFor();
    expect(new Set(await page.locator('.cell-user').allInnerTexts())).toEqual(new Set(USERS));
    // Four deliveries of one event.
    for (const text of await page.locator('.cell-when').allInnerTexts()) expect(text).toMatch(/\d\d:\d\d:\d\d\.\d{3}$/);
  });

  test('one click shows all times in UTC, and the choice stays', async () => {
    await page.getByText('UTC', { exact: true }).click();
    const moment = page.locator('.cell-when time').first();
    const iso = (await moment.getAttribute('datetime')) ?? '';
    expect(await moment.innerText()).toContain(iso.slice(11, 23));
    expect(await moment.getAttribute('title')).toContain('UTC');
    await page.reload();
    await page.locator('.cell-when time').first().waitFor();
    expect(await page.getByRole('radio', { name: 'UTC' }).isChecked()).toBe(true);
    expect(tab.complaints).toEqual([]);
  });

  async function create(userId: string, url: string, eventType: string): Promise<string> {
    const fields = { user_id: userId, events: [eventType], retry_policy: { max_retries: 0 } };
    return (await createWebhook(service.publisher, url, fields)).id;
  }
});
