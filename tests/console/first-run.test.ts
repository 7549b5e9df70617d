// The first minute of a developer who has nothing yet: no receiver, no public URL, no token.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chromiumPath, launchBrowser, signIn, visit } from './browser.ts';
import { DEVELOPER, startConsoleService, type ConsoleService } from './service.ts';

describe.skipIf(chromiumPath === null)('the first run of the console', () => {
  let service: ConsoleService;
  let browser: Browser;

  beforeAll(async () => {
    service = await startConsoleService();
    browser = await launchBrowser();
  }, 90_000);
  afterAll(async () => {
    await browser?.close();
    await service?.close();
  });

  test('two clicks lead from nothing to a delivered test event', async () => {
    const { page, complaints } = await visit(browser, service.http);
    page.setDefaultTimeout(30_000);
    await signIn(page, 'developer');
    await page.getByRole('button', { name: 'Try it without a receiver' }).click();
    await page.getByRole('heading', { name: 'Attempts' }).waitFor();
    const text = await page.locator('main').innerText();
    expect(text).toContain('Delivered');
    expect(text).toContain('{"received":"order.created"}');
    expect(complaints).toEqual([]);
    await page.context().close();
  });

  test('an id or a part of a URL leads to what it names, from the keyboard alone', async () => {
    const { page, complaints } = await visit(browser, service.http);
    page.setDefaultTimeout(30_000);
    const url = 'https://till.example.com/hooks/evening';
    const webhook = await service.developer('POST', '/api/v1/webhooks', { url, events: ['order.created'] });
    const event = await service.publisher('POST', '/api/v1/events', {
      event_type: 'order.created',
      data: { order_id: 'order_1' },
      audience: { user_ids: [DEVELOPER] },
    });
    await signIn(page, 'developer', '/live');
    const lookUp = async (keys: string, text: string): Promise<void> => {
      await page.keyboard.press(keys);
      await page.keyboard.type(text);
      await page.keyboard.press('Enter');
    };
    await lookUp('/', 'ill.example.com/hooks');
    await page
      .getByRole('link', { name: /till\.example\.com/ })
      .first()
      .waitFor();
    expect(await page.locator('main').innerText()).not.toContain('/try');
    await lookUp('Control+k', String(webhook.body.id));
    await page.waitForURL(`**/webhooks/${webhook.body.id}`);
    await lookUp('/', String(event.body.event_id));
    await page.waitForURL(`**/deliveries?event_id=${event.body.event_id}`);
    const { body } = await service.developer(
      'GET',
      `/api/v1/webhooks/deliveries?event_id=${event.body.event_id}&webhook_id=${webhook.body.id}`,
    );
    await lookUp('/', ` ${body.deliveries[0].id} `);
    await page.waitForURL(`**/deliveries/${body.deliveries[0].id}`);
    await lookUp('/', 'nowhere at all');
    await page.getByText('No webhook has “nowhere at all”').waitFor();
    expect(complaints).toEqual([]);
  });
});
