// Subscriptions by pattern in the console: they can be made, are not lost by an edit, and can be tested.
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chromiumPath, launchBrowser, signIn, visit } from './browser.ts';
import { startConsoleService, type ConsoleService } from './service.ts';

describe.skipIf(chromiumPath === null)('subscriptions in the console', () => {
  let service: ConsoleService;
  let browser: Browser;
  let page: Page;

  beforeAll(async () => {
    service = await startConsoleService();
    browser = await launchBrowser();
    ({ page } = await visit(browser, service.http));
    page.setDefaultTimeout(30_000);
    await signIn(page, 'developer');
  }, 90_000);
  afterAll(async () => {
    await browser?.close();
    await service?.close();
  });

  const eventsOf = async (id: string): Promise<string[]> =>
    (await service.developer('GET', `/api/v1/webhooks/${id}`)).body.events;

  test('a pattern covers its types in the form, and an edit of something else keeps it', async () => {
    const url = `${service.http}/try`;
    const { body } = await service.developer('POST', '/api/v1/webhooks', { url, events: ['order.*', 'tip.received'] });
    await page.goto(`/webhooks/${body.id}/edit`);
    const covered = page.getByRole('checkbox', { name: 'order.created' });
    await covered.waitFor();
    expect([await covered.isChecked(), await covered.isDisabled()]).toEqual([true, true]);
    await page.getByLabel('Description').fill('Evening shift');
    await page.getByRole('button', { name: 'Save' }).click();
    await page.waitForURL(`**/webhooks/${body.id}`);
    expect(await eventsOf(body.id)).toEqual(['order.*', 'tip.received']);
  });

  test('everything is one choice, and gets a test event of a type', async () => {
    await page.goto('/webhooks/new');
    await page.getByRole('textbox', { name: 'URL' }).fill(`${service.http}/try`);
    await page.getByRole('checkbox', { name: 'Everything' }).check();
    await page.getByRole('button', { name: 'Create webhook' }).click();
    await page.getByTestId('secret').waitFor();
    expect(await eventsOf(page.url().split('/').at(-1) ?? '')).toEqual(['*']);
    await page.getByRole('button', { name: 'Send test' }).click();
    expect(await page.getByTestId('test-result').innerText()).toContain('200');
  });
});
