// /docs as a reader meets it: the reference from this service alone, under a strict policy, with authorization and a request that works.
import type { Browser, Response } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chromiumPath, desktop, launchBrowser, visit } from './browser.ts';
import { DEVELOPER, startConsoleService, type ConsoleService } from './service.ts';

/** Scalar asks whether `eval` is allowed, and writes some widths as attributes: the policy refuses both, and the page does without. */
const EXPECTED = /violates the following Content Security Policy directive '(style-src|script-src) /;

describe.skipIf(chromiumPath === null)('the reference at /docs', () => {
  let service: ConsoleService;
  let browser: Browser;

  beforeAll(async () => {
    [service, browser] = await Promise.all([startConsoleService(), launchBrowser()]);
  }, 90_000);

  afterAll(async () => {
    await browser?.close();
    await service?.close();
  });

  test('names the operations, asks no other host, and leads back to the console', async () => {
    const { context, page, complaints } = await visit(browser, service.http);
    const hosts = new Set<string>();
    page.on('request', (request) => hosts.add(new URL(request.url()).origin));
    await page.goto('/docs');
    await page.getByText('Registers a webhook').first().waitFor();
    expect([...hosts]).toEqual([service.http]);
    expect(await page.evaluate(`document.fonts.check('16px "Instrument Sans Variable"')`)).toBe(true);
    expect(complaints.filter((complaint) => !EXPECTED.test(complaint))).toEqual([]);
    await page.getByRole('link', { name: 'Console' }).click();
    await page.getByRole('button', { name: 'As a developer' }).click();
    await page.getByRole('link', { name: 'API reference' }).click();
    await page.getByText('Registers a webhook').first().waitFor();
    await context.close();
  });

  test('an address that leads nowhere is a page of the console, before and after the sign-in, and leads on', async () => {
    const { context, page } = await visit(browser, service.http);
    for (const role of ['nobody', 'a developer']) {
      const answer = await page.goto(`/nowhere/${role.length}`);
      expect(answer?.status()).toBe(404);
      await page.getByText('This address leads nowhere').waitFor();
      await page.getByText(`/nowhere/${role.length}`).waitFor();
      await page.getByRole('link', { name: 'Go to the overview' }).click();
      if (role === 'nobody') await page.getByRole('button', { name: 'As a developer' }).click();
      await page.getByRole('heading', { name: 'Overview' }).waitFor();
    }
    await context.close();
  });

  test.each(['light', 'dark'] as const)('has the colours of the console when the reader prefers %s', async (scheme) => {
    const { context, page } = await visit(browser, service.http, { ...desktop, scheme });
    await page.goto('/docs');
    await page.getByText('Registers a webhook').first().waitFor();
    const accent = await page.evaluate("getComputedStyle(document.body).getPropertyValue('--scalar-color-accent').trim()");
    expect(accent).toBe(scheme === 'light' ? '#6b2f66' : '#d8a5d2');
    await context.close();
  });

  test('a request can be tried with a token, and is answered', async () => {
    await service.developer('POST', '/api/v1/webhooks', { url: 'http://127.0.0.1:9/', events: ['order.created'] });
    const { token } = (await (await fetch(`${service.http}/console/dev-token?role=developer`)).json()) as { token: string };
    const { context, page } = await visit(browser, service.http);
    await page.goto('/docs');
    await page.getByPlaceholder('Token').first().fill(token);
    await page.goto('/docs#tag/webhooks/GET/api/v1/webhooks');
    const operation = page.locator('section[id$="tag/webhooks/GET/api/v1/webhooks"]');
    await operation.getByRole('button', { name: /Test Request/ }).click();
    const isAnswer = (response: Response): boolean => response.url().includes('/api/v1/webhooks') && response.status() === 200;
    const [answer] = await Promise.all([
      page.waitForResponse(isAnswer),
      page.getByRole('button', { name: /^Send/ }).first().click(),
    ]);
    expect(await answer.text()).toContain(`"user_id":"${DEVELOPER}"`);
    await context.close();
  });

  test('only what was built is sent, compressed and to be kept for ever', async () => {
    const html = await (await fetch(`${service.http}/docs`)).text();
    const script = /src="(\/docs\/[^"]+)"/.exec(html)?.[1] ?? '';
    const asset = await fetch(service.http + script, { headers: { 'accept-encoding': 'br' } });
    expect([asset.headers.get('content-encoding'), asset.headers.get('cache-control')]).toEqual([
      'br',
      'public, max-age=31536000, immutable',
    ]);
    for (const path of ['/docs/start.js', '/docs/..%2f..%2fpackage.json', `${script}.br`])
      expect([path, (await fetch(service.http + path)).status]).toEqual([path, 404]);
  });
});
