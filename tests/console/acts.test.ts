// What can be done from the console, each act with the question that it deserves, and nothing that was typed lost by a slip.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { Receiver } from '../fixtures/receiver.ts';
import { createWebhook, publish } from '../fixtures/scenario.ts';
import { chromiumPath, signIn, type Visit } from './browser.ts';
import { DEVELOPER, type ConsoleService } from './service.ts';
import { openStage, type Stage } from './stage.ts';

const CLI = fileURLToPath(new URL('../../src/cli/main.ts', import.meta.url));

describe.skipIf(chromiumPath === null)('acts in the console', () => {
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

  test('a form that was typed into asks before it is left, by a link and by the way back', { timeout: 60_000 }, async () => {
    await page.goto('/webhooks');
    await page.getByRole('link', { name: 'New webhook' }).click();
    // Nothing was typed yet.
    await page.getByRole('link', { name: 'Verify', exact: true }).click();
    await page.waitForURL('**/verify');
    await page.goBack();
    await page.getByLabel('Description').fill('The till');
    await page.getByRole('link', { name: 'Deliveries', exact: true }).click();
    await dialog().getByText('What you typed here is lost.').waitFor();
    await dialog().getByRole('button', { name: 'Stay' }).click();
    expect([new URL(page.url()).pathname, await page.getByLabel('Description').inputValue()]).toEqual([
      '/webhooks/new',
      'The till',
    ]);
    await page.goBack();
    await dialog().getByRole('button', { name: 'Stay' }).click();
    expect(await page.getByLabel('Description').inputValue()).toBe('The till');
    await page.getByRole('link', { name: 'Deliveries', exact: true }).click();
    await dialog().getByRole('button', { name: 'Leave' }).click();
    await page.getByRole('heading', { name: 'Deliveries' }).waitFor();
  });

  test('after a refused submit the first field in error has the focus', async () => {
    await page.goto('/webhooks/new');
    await page.getByLabel('URL', { exact: true }).fill('https://example.com/');
    await press('Create webhook');
    await page.getByText('Choose at least one event type.').waitFor();
    expect(await page.evaluate('document.activeElement.type')).toBe('checkbox');
    await page.getByRole('checkbox', { name: 'order.created' }).check();
    await page.getByLabel('URL', { exact: true }).fill('https://169.254.169.254/latest');
    await press('Create webhook');
    await page.locator('.field-error').getByText('metadata').waitFor();
    expect(await page.evaluate('document.activeElement.name')).toBe('url');
    tab.complaints.length = 0;
  });

  test('a disabled webhook is tested before it is enabled', async () => {
    const { id } = await createWebhook(service.developer, receiver.url('/mended'));
    await service.developer('PATCH', `/api/v1/webhooks/${id}`, { is_active: false });
    await page.goto(`/webhooks/${id}`);
    await press('Send test');
    await page.getByTestId('test-result').getByText('Answered 200').waitFor();
    expect(receiver.at('/mended')).toHaveLength(1);
    await press('Enable');
    await page.locator('.badge').getByText('Active').waitFor();
  });

  test('the console says why an event did not arrive, at its webhook and beside each delivery', async () => {
    receiver.script('/till', 503);
    const policy = { retry_policy: { max_retries: 0 } };
    const till = await createWebhook(service.developer, receiver.url('/till'), policy);
    const tips = await publish(service.publisher, [DEVELOPER], { event_type: 'tip.received' });
    await page.goto(`/webhooks/${till.id}`);
    await page.getByLabel('Event', { exact: true }).fill(tips);
    await press('Explain');
    await page.getByTestId('explanation').getByText('It was not for this webhook.').waitFor();
    await page.getByTestId('explanation').getByText('event_type').first().waitFor();
    // Where a search for the event finds nothing, it is asked there.
    await page.goto(`/deliveries?event_id=${tips}`);
    await page.getByLabel('Webhook', { exact: true }).last().fill(till.id);
    await press('Explain');
    await page.getByTestId('explanation').getByText('It was not for this webhook.').waitFor();

    const order = await publish(service.publisher, [DEVELOPER]);
    await page.goto(`/deliveries?event_id=${order}&webhook_id=${till.id}`);
    await page.locator('.row-link').click();
    await page.locator('[aria-labelledby=explanation]').getByText('It came to an end.').waitFor();
    await page.getByText(/^All \d+ rules$/).click();
    expect(await page.locator('.rules li').count()).toBeGreaterThan(5);
  });

  test('what is held is resumed at a pace, and disabling says how much it would end', { timeout: 60_000 }, async () => {
    const { id } = await createWebhook(service.developer, receiver.url('/held'), { events: ['chef.approved'] });
    const approve = () => publish(service.publisher, [DEVELOPER], { event_type: 'chef.approved' });
    await service.developer('POST', `/api/v1/webhooks/${id}/pause`, {});
    for (let number = 0; number < 3; number += 1) await approve();
    await page.goto(`/webhooks/${id}`);
    await page.getByText('3 deliveries held').waitFor();
    await press('Disable');
    await dialog().getByText(receiver.url('/held')).waitFor();
    await dialog().getByText('3 deliveries wait for it.').waitFor();
    await dialog().getByRole('button', { name: 'Cancel' }).click();
    await press('Resume');
    await dialog().getByLabel('Pace').fill('100');
    await dialog().getByRole('button', { name: 'Resume' }).click();
    await expect.poll(() => receiver.at('/held').length, { timeout: 30_000 }).toBe(3);
  });

  test('a read that fails on the way leaves what was read and typed, and what is being sent is followed to its end', async () => {
    const { id } = await createWebhook(service.developer, receiver.url('/followed'), { events: ['chef.approved'] });
    await service.developer('POST', `/api/v1/webhooks/${id}/pause`, {});
    await page.goto(`/webhooks/${id}`);
    await page.getByText('0 deliveries held').waitFor();
    await page.getByLabel('Rate').fill('7');
    await press('Resume');
    await page.locator('.badge').getByText('Resuming').waitFor();
    const read = /WebhookService\/GetWebhook$/;
    let failed = 0;
    await page.route(read, (route) => {
      failed += 1;
      return failed === 1 ? route.abort() : route.continue();
    });
    await page.getByText('The service cannot be reached').waitFor();
    expect(await page.getByLabel('Rate').inputValue()).toBe('7');
    await page.locator('.badge').getByText('Active').waitFor();
    await page.unroute(read);
    await page.getByText('The service cannot be reached').waitFor({ state: 'detached' });
    expect(await page.getByLabel('Rate').inputValue()).toBe('7');
    tab.complaints.length = 0;
  });

  test('each page can be copied as a command that does the same', { timeout: 90_000 }, async () => {
    const { token } = (await (await fetch(`${service.http}/console/dev-token?role=developer`)).json()) as { token: string };
    const env = { ...process.env, TOKEN: token };
    const run = async (line: string) => (await promisify(execFile)('bash', ['-c', line], { env })).stdout;
    const copied = async (button: string) => {
      await press(button);
      return page.evaluate<string>('navigator.clipboard.readText()');
    };
    await page.goto('/deliveries?status=failed');
    const line = await copied('Copy curl');
    expect(line).not.toContain(token);
    const { deliveries } = JSON.parse(await run(line)) as { deliveries: { id: string; status: string }[] };
    expect(deliveries.map(({ status }) => status)).toEqual(['failed']);
    await page.goto(`/deliveries/${deliveries[0]?.id}`);
    const command = (await copied('Copy CLI line')).replace(/^homechef-webhooks/, `${process.execPath} ${CLI}`);
    expect(await run(command)).toContain('retries_left');
    for (const path of ['/', '/webhooks', '/event-types']) {
      await page.goto(path);
      expect({ path, ...(JSON.parse(await run(await copied('Copy curl'))) as object) }).not.toHaveProperty('error');
    }
    expect(tab.complaints).toEqual([]);
  });
});
