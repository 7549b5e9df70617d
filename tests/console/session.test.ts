// One session for all tabs of a browser: the token is out of reach of scripts, and what was typed outlives the session.
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chromiumPath, signIn } from './browser.ts';
import type { ConsoleService } from './service.ts';
import { openStage, type Stage } from './stage.ts';

/** ms. Of a session that is to end while its page is looked at. */
const SHORT_MS = 6000;

describe.skipIf(chromiumPath === null)('a session of the console', () => {
  let stage: Stage;
  let service: ConsoleService;
  let page: Page;
  let other: Page;

  beforeAll(async () => {
    stage = await openStage();
    ({ service, page } = stage);
    other = await stage.tab.context.newPage();
    await signIn(page, 'developer');
  }, 90_000);

  afterAll(() => stage?.close());

  const isSignedIn = (tab: Page) => tab.getByRole('navigation', { name: 'Main' }).waitFor();
  const isSignedOut = (tab: Page) => tab.getByRole('heading', { name: 'Sign in', exact: true }).waitFor();

  test('another tab needs no sign-in, and no script of either can read the token', async () => {
    await other.goto('/webhooks');
    await other.getByText('No webhooks yet').waitFor();
    for (const tab of [page, other]) {
      const readable = await tab.evaluate<string>(
        'document.cookie + JSON.stringify({ ...localStorage }) + JSON.stringify({ ...sessionStorage })',
      );
      expect(readable).not.toContain('eyJ');
    }
    const [cookie] = await stage.tab.context.cookies();
    expect(cookie).toMatchObject({ httpOnly: true, sameSite: 'Strict', path: '/' });
    expect(cookie?.value).toMatch(/^eyJ/);
  });

  test('a request without the header of the console is not spoken for by the cookie', async () => {
    const call = (headers: object) =>
      page.evaluate<number>(
        `fetch('/homechef.webhook.v1.WebhookService/ListWebhooks', {
          method: 'POST', body: '{}', headers: ${JSON.stringify({ 'Content-Type': 'application/json', ...headers })},
        }).then((reply) => reply.status)`,
      );
    expect(await call({})).toBe(401);
    expect(await call({ 'X-HomeChef-Console': '1' })).toBe(200);
  });

  test('signing out in one tab signs out the other, and signing in too', async () => {
    await page.getByRole('button', { name: 'Sign out' }).click();
    await isSignedOut(page);
    await isSignedOut(other);
    await expect.poll(() => stage.tab.context.cookies()).toEqual([]);
    await signIn(other, 'developer', '/deliveries');
    await isSignedIn(page);
  });

  test(
    'a session that ends says so, keeps what was typed, and goes on with it after a sign-in',
    { timeout: 60_000 },
    async () => {
      await page.goto('/webhooks/new');
      await page.getByLabel('Description').fill('Typed before the end');
      await page.getByRole('checkbox', { name: 'order.created' }).waitFor();
      // As a session looks that ends soon.
      await other.evaluate(`{
      const session = JSON.parse(localStorage.getItem('homechef.session'));
      localStorage.setItem('homechef.session', JSON.stringify({ ...session, expiresAtMs: Date.now() + ${SHORT_MS} }));
    }`);
      const dialog = page.getByRole('dialog');
      await dialog.getByRole('heading', { name: 'Your session has ended' }).waitFor();
      await page.keyboard.press('Escape');
      await dialog.getByRole('button', { name: 'As a developer' }).click();
      await dialog.waitFor({ state: 'detached' });
      expect(await page.getByLabel('Description').inputValue()).toBe('Typed before the end');
      await page.getByRole('checkbox', { name: 'order.created' }).check();
      await page.getByLabel('URL', { exact: true }).fill(stage.receiver.url('/typed'));
      await page.getByRole('button', { name: 'Create webhook' }).click();
      await page.getByText('Your signing secret').waitFor();
    },
  );

  test('a session that the service refuses ends the same way', { timeout: 60_000 }, async () => {
    await page.goto('/webhooks/new');
    await page.getByLabel('Description').fill('Typed before the refusal');
    await page.getByRole('checkbox', { name: 'order.created' }).check();
    await page.getByLabel('URL', { exact: true }).fill(stage.receiver.url('/refused'));
    const [cookie] = await stage.tab.context.cookies();
    await stage.tab.context.addCookies([{ ...cookie!, value: `${cookie?.value.slice(0, -4)}AAAA` }]);
    await page.getByRole('button', { name: 'Create webhook' }).click();
    const dialog = page.getByRole('dialog');
    await dialog.getByRole('heading', { name: 'Your session has ended' }).waitFor();
    await dialog.getByRole('button', { name: 'As a developer' }).click();
    await dialog.waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Create webhook' }).click();
    await page.locator('.webhook-lead').getByText('Typed before the refusal').waitFor();
    expect((await service.developer('GET', '/api/v1/webhooks')).body.total).toBe(2);
  });
});
