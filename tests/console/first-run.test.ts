// The first minute of a developer who has nothing yet: no receiver, no public URL, no token.
import type { Browser } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chromiumPath, launchBrowser, signIn, visit } from './browser.ts';
import { startConsoleService, type ConsoleService } from './service.ts';

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
  });
});
