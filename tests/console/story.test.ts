// A developer's first day with the console, played against the real service: from the first webhook to a rotated secret.
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import type { Page } from 'playwright-core';
import { Webhook } from 'standardwebhooks';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { Receiver } from '../fixtures/receiver.ts';
import { chromiumPath, signIn, type Visit } from './browser.ts';
import { DEVELOPER, type ConsoleService } from './service.ts';
import { openStage, type Stage } from './stage.ts';

describe.skipIf(chromiumPath === null)('a day with the console', () => {
  let stage: Stage;
  let service: ConsoleService;
  let receiver: Receiver;
  let tab: Visit;
  let page: Page;
  let webhookUrl = '';
  let secret = '';

  beforeAll(async () => {
    stage = await openStage();
    ({ service, receiver, tab, page } = stage);
  }, 90_000);

  afterAll(() => stage?.close());

  // One story: what follows a step that failed would fail for want of it, and hide which one that was.
  let broken = false;
  beforeEach(({ skip, onTestFailed }) => {
    skip(broken, 'an earlier step of the story failed');
    onTestFailed(async () => {
      broken = true;
      process.stderr.write(`The page then, ${page.url()}:\n${await page.locator('body').innerText()}\n`);
    });
  });

  test('a token that is not one is refused on the spot, and one click signs in', async () => {
    await page.goto('/');
    await page.getByLabel('Access token').fill('not a token');
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByText('This is not a HomeChef token').waitFor();
    await signIn(page, 'developer');
    await page.getByText('No webhooks yet').waitFor();
  });

  test('a field that is focused the moment its page is drawn keeps the focus', async () => {
    const isKept = await page.evaluate(`new Promise((resolve) => {
      new MutationObserver((_, observer) => {
        const field = document.querySelector('input[type=url]');
        if (field === null) return;
        observer.disconnect();
        field.focus();
        setTimeout(() => resolve(document.activeElement === field), 500);
      }).observe(document.body, { childList: true, subtree: true });
      document.querySelector('a[href="/webhooks/new"]').click();
    })`);
    expect(isKept).toBe(true);
    await page.goBack();
  });

  test('a webhook is made with the keyboard alone, its URL judged as it is typed, its secret shown once', async () => {
    await page.getByRole('link', { name: 'Create a webhook' }).focus();
    await page.keyboard.press('Enter');
    await page.getByLabel('URL', { exact: true }).focus();
    await page.keyboard.type('ftp://example.com');
    await page.getByText('Begin with https://').waitFor();
    await page.keyboard.press('ControlOrMeta+a');
    await page.keyboard.type(receiver.url('/inbox'));
    await page.getByText('unencrypted').waitFor();
    await page.keyboard.press('Tab');
    await page.keyboard.type('My kitchen');
    await page.getByRole('checkbox', { name: 'order.created' }).focus();
    await page.keyboard.press('Space');
    await page.getByText('Retries, limits and headers').focus();
    await page.keyboard.press('Enter');
    await page.getByLabel('Retries').focus();
    await page.keyboard.type('8');
    await page.getByLabel('First delay').focus();
    await page.keyboard.type('1');
    await page.getByRole('button', { name: 'Create webhook' }).focus();
    await page.keyboard.press('Enter');
    secret = (await page.getByTestId('secret').textContent()) ?? '';
    expect(secret).toMatch(/^whsec_/);
    webhookUrl = page.url();
    await page.getByRole('button', { name: 'Copy secret' }).click();
    expect(await page.evaluate('navigator.clipboard.readText()')).toBe(secret);
    await page.reload();
    await page.getByText('Set-up').waitFor();
    expect(await page.getByTestId('secret').count()).toBe(0);
  });

  test('what the service refuses is said at the field it refuses', async () => {
    await page.goto('/webhooks/new');
    await page.getByLabel('URL', { exact: true }).fill('https://169.254.169.254/latest');
    await page.getByRole('checkbox', { name: 'order.created' }).check();
    await page.getByRole('button', { name: 'Create webhook' }).click();
    await expect.poll(() => page.locator('.field-error').first().textContent()).toContain('metadata');
  });

  test('a test shows at once what the receiver answered', async () => {
    await page.goto(webhookUrl);
    await page.getByRole('button', { name: 'Send test' }).click();
    await page.getByTestId('test-result').getByText('Answered 200').waitFor();
    const [request] = receiver.at('/inbox');
    expect(() => new Webhook(secret).verify(request?.body.toString() ?? '', request?.headers ?? {})).not.toThrow();
  });

  test(
    'what others publish arrives live, with its retries, and the stream survives a restart of the service',
    { timeout: 150_000 },
    async () => {
      await page.getByRole('link', { name: 'Live', exact: true }).click();
      await page.locator('.stream-state.live').waitFor();
      await publish('order_1');
      await page.locator('.rows').getByText('Delivered').waitFor();
      receiver.script('/inbox', { status: 500, body: 'the oven is cold' });
      await publish('order_2');
      await page.locator('.rows').getByText('Answered 500').waitFor();
      await page.getByRole('button', { name: 'Freeze', exact: true }).click();
      await page.getByText(/\(\d+ waiting\)/).waitFor();
      await page.getByRole('button', { name: /^Resume/ }).click();
      await breakStream();
      // The longer the service is away, the rarer it is asked for: up to every 19 seconds.
      await page.getByText(/Live, resumed from/).waitFor({ timeout: 60_000 });
      await page.locator('.rows').getByText('tip.received').waitFor();
    },
  );

  test(
    'a delivery shows its attempts and counts down to the next, until the receiver is mended',
    { timeout: 60_000 },
    async () => {
      // A delivery of its own: delays double, and the one before may be tried next when this test is over.
      const eventId = await publish('order_3');
      const retrying = page.locator('.rows tbody tr', { hasText: 'Retrying' });
      const { body } = await service.developer('GET', `/api/v1/webhooks/deliveries?event_id=${eventId}`);
      await retrying
        .and(page.locator(`[data-delivery="${body.deliveries[0].id}"]`))
        .getByRole('link', { name: 'order.created' })
        .click();
      await page.getByTestId('countdown').waitFor();
      await page.locator('.attempt.bad').last().getByText('the oven is cold').waitFor();
      // The last of them was made a moment ago; attempts are added as they are made, without a reload.
      const before = await page.locator('.attempt.bad').count();
      await expect.poll(() => page.locator('.attempt.bad').count(), { timeout: 20_000 }).toBeGreaterThan(before);
      receiver.script('/inbox', 200);
      await page.getByRole('button', { name: 'Retry now' }).click();
      await page.getByText('asked for by hand').waitFor();
      await page.locator('.page-head').getByText('Delivered').waitFor();
      await endRetries();
    },
  );

  test('the signatures worked out on the page are those that were sent, and the copied script sends it again, signed', async () => {
    const sent = receiver.at('/inbox').findLast((request) => request.headers['webhook-id'] === page.url().split('/').at(-1));
    await page.getByText('Work out the signatures').click();
    await page.getByLabel('Signing secret').fill(secret);
    await page.getByText(sent?.headers['webhook-signature'] ?? '').waitFor();
    await page.getByText(sent?.headers['x-homechef-signature'] ?? '').waitFor();
    await page.getByRole('button', { name: 'Copy as curl' }).click();
    const script = await page.evaluate<string>('navigator.clipboard.readText()');
    const received = receiver.requests.length;
    await promisify(execFile)('bash', ['-c', script.replace('whsec_…', secret)]);
    const again = receiver.requests[received];
    expect(again?.body).toEqual(sent?.body);
    expect(again?.headers['x-homechef-signature']).toBe(sent?.headers['x-homechef-signature']);
    expect(() => new Webhook(secret).verify(again?.body.toString() ?? '', again?.headers ?? {})).not.toThrow();
  });

  test('a pasted request is checked in the browser, and the page says what is wrong with it', async () => {
    const sent = receiver.requests.at(-1);
    const headers = ['webhook-id', 'webhook-timestamp', 'webhook-signature', 'x-homechef-signature'];
    await page.getByRole('link', { name: 'Verify', exact: true }).click();
    await page.getByLabel('Signing secret').fill(secret);
    await page.getByLabel('Headers').fill(headers.map((name) => `${name}: ${sent?.headers[name]}`).join('\n'));
    const body = page.getByLabel('Body, exactly as it arrived');
    await body.fill(sent?.body.toString() ?? '');
    await page.getByRole('button', { name: 'Check', exact: true }).click();
    await page.getByText('webhook-signature fits this secret and this body.').waitFor();
    await page.getByText('webhook-timestamp is recent.').waitFor();
    await body.fill(JSON.stringify(JSON.parse(sent?.body.toString() ?? ''), null, 1));
    await page.getByRole('button', { name: 'Check', exact: true }).click();
    await page.getByText('the body was parsed and printed again').waitFor();
  });

  test('filters live in the address: a filtered view opens again from its link', async () => {
    await page.getByRole('link', { name: 'Deliveries', exact: true }).click();
    await page.getByRole('navigation', { name: 'Status' }).getByRole('link', { name: 'Delivered', exact: true }).click();
    await page.getByLabel('Event type').selectOption('order.created');
    await expect.poll(() => page.url()).toContain('status=delivered&event_type=order.created');
    await page.reload();
    await page.locator('.rows tbody tr').first().waitFor();
    expect(await page.locator('.rows tbody tr').getByText('Delivered').count()).toBe(
      await page.locator('.rows tbody tr').count(),
    );
  });

  test('a rotated secret signs beside the earlier one, can be shown again, and signs alone once the change is finished', async () => {
    await page.goto(webhookUrl);
    await page.getByRole('button', { name: 'Rotate secret' }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Rotate secret' }).click();
    const rotated = (await page.getByTestId('secret').textContent()) ?? '';
    expect(rotated).not.toBe(secret);
    await page.getByRole('button', { name: 'Send test' }).click();
    await page.getByTestId('test-result').waitFor();
    const sent = receiver.requests.at(-1);
    expect(() => new Webhook(rotated).verify(sent?.body.toString() ?? '', sent?.headers ?? {})).not.toThrow();
    expect(() => new Webhook(secret).verify(sent?.body.toString() ?? '', sent?.headers ?? {})).not.toThrow();
    await page.getByRole('button', { name: 'I have stored it' }).click();
    await page.getByTestId('secret').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Show secret' }).click();
    expect(await page.getByTestId('secret').textContent()).toBe(rotated);
    await page.getByRole('button', { name: 'Finish now' }).click();
    await page.getByRole('heading', { name: 'The secret is being changed' }).waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Send test' }).click();
    await expect.poll(() => receiver.requests.at(-1)).not.toBe(sent);
    const alone = receiver.requests.at(-1);
    expect(() => new Webhook(secret).verify(alone?.body.toString() ?? '', alone?.headers ?? {})).toThrow(
      'No matching signature found',
    );
  });

  test('a webhook is paused and resumed, disabled only after a question and enabled again, edited, and deleted only after a question', async () => {
    await page.getByRole('button', { name: 'Pause', exact: true }).click();
    await page.getByText('Nothing is sent to it: 0 deliveries held.').waitFor();
    await page.locator('.history').getByText('Paused', { exact: true }).waitFor();
    await page.locator('.history').getByText('paused false → true').waitFor();
    await page.getByRole('button', { name: 'Resume', exact: true }).click();
    await page.locator('.badge').getByText('Active').waitFor();
    await page.getByRole('button', { name: 'Disable', exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Disable', exact: true }).click();
    await page.getByText('Nothing is sent to it, and nothing is kept for it.').waitFor();
    await page.getByRole('button', { name: 'Enable', exact: true }).click();
    await page.locator('.badge').getByText('Active').waitFor();
    await page.getByRole('link', { name: 'Edit', exact: true }).click();
    await page.getByLabel('Description').fill('Somebody else’s kitchen');
    await page.getByRole('textbox', { name: 'Filter' }).fill('$.amount > 5');
    await page.getByLabel('Try it on').fill('{"amount": 6}');
    await page.getByRole('button', { name: 'Try', exact: true }).click();
    await page.getByTestId('filter-result').getByText('Match', { exact: true }).waitFor();
    await page.getByRole('textbox', { name: 'Filter' }).fill('$.amount = 5');
    await page.getByRole('button', { name: 'Save changes' }).click();
    await page.getByText('at character 10: equality is written ==').waitFor();
    await page.getByRole('textbox', { name: 'Filter' }).fill('$.amount > 5');
    await page.getByRole('button', { name: 'Save changes' }).click();
    // The history names it too, once it is read.
    await page.locator('.webhook-lead').getByText('Somebody else’s kitchen').waitFor();
    await page.locator('.facts').getByText('$.amount > 5').waitFor();
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await page.getByRole('dialog').waitFor();
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    await page.getByRole('button', { name: 'Delete', exact: true }).click();
    await page.getByRole('dialog').getByRole('button', { name: 'Delete webhook' }).click();
    await page.getByText('No webhooks yet').waitFor();
  });

  test('signing out forgets the token, and the browser never complained about the page itself', async () => {
    await page.getByRole('button', { name: 'Sign out' }).click();
    await page.getByRole('heading', { name: 'Sign in' }).waitFor();
    expect(await tab.context.cookies()).toEqual([]);
    expect(await page.evaluate(`localStorage.getItem('homechef.session')`)).toBe(null);
    // Refused requests and the service's own death are logged by the browser as failed loads.
    expect(tab.complaints.filter((complaint) => !complaint.startsWith('Failed to load resource'))).toEqual([]);
  });

  /** The service dies; once it is back, something is delivered, once and for all, before the page can reach it again. */
  async function breakStream(): Promise<void> {
    const quiet = { url: receiver.url('/quiet'), events: ['tip.received'] };
    const { id } = (await service.developer('POST', '/api/v1/webhooks', quiet)).body as { id: string };
    const stream = /DeliveryService\/WatchDeliveries$/;
    await page.route(stream, (route) => route.abort());
    await service.kill();
    await page.getByText(/Reconnecting.*will resume from/).waitFor();
    await service.restart();
    await service.publisher('POST', '/api/v1/events', {
      event_type: 'tip.received',
      data: { amount: 3 },
      audience: { user_ids: [DEVELOPER] },
    });
    const delivered = `select 1 from deliveries where webhook_id = $1 and status = 'delivered'`;
    await expect.poll(async () => (await service.database.pool.query(delivered, [id])).rowCount, { timeout: 15_000 }).toBe(1);
    await page.unroute(stream);
    await service.developer('DELETE', `/api/v1/webhooks/${id}`);
  }

  /** What the receiver refused earlier is tried again at a moment that depends on the machine: nothing of it is left for the steps that follow. */
  async function endRetries(): Promise<void> {
    const open = async () => (await service.developer('GET', '/api/v1/webhooks/deliveries?status=retrying')).body.deliveries;
    for (const { id } of await open()) await service.developer('POST', `/api/v1/webhooks/deliveries/${id}/retry`, {});
    await expect.poll(open, { timeout: 15_000 }).toEqual([]);
  }

  async function publish(orderId: string): Promise<string> {
    const answer = await service.publisher('POST', '/api/v1/events', {
      event_type: 'order.created',
      data: { order_id: orderId, note: "don't ring" },
      audience: { user_ids: [DEVELOPER] },
    });
    expect(answer.status).toBe(202);
    return answer.body.event_id;
  }
});
