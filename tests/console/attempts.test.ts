// What the console shows of a receiver that fails: what went over the connection, when it is asked again, and until when its certificate is good.
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../fixtures/eventually.ts';
import type { Receiver } from '../fixtures/receiver.ts';
import { createWebhook, publish } from '../fixtures/scenario.ts';
import { chromiumPath, signIn } from './browser.ts';
import { DEVELOPER, type ConsoleService } from './service.ts';
import { openStage, type Stage } from './stage.ts';

describe.skipIf(chromiumPath === null)('a receiver that fails, in the console', () => {
  let stage: Stage;
  let service: ConsoleService;
  let receiver: Receiver;
  let page: Page;

  beforeAll(async () => {
    stage = await openStage();
    ({ service, receiver, page } = stage);
    await signIn(page, 'developer');
  }, 90_000);

  afterAll(() => stage?.close());

  test('each attempt shows where it went and the headers of both sides, secrets left out', async () => {
    receiver.script('/refuses', { status: 503, headers: { 'x-request-id': 'r-17', 'set-cookie': 'sid=hunter2' } });
    const { id } = await createWebhook(service.developer, receiver.url('/refuses'), {
      custom_headers: { 'x-till': 'hunter2' },
      retry_policy: { max_retries: 0 },
    });
    await publish(service.publisher, [DEVELOPER]);
    const failed = await eventually(async () => {
      const list = await service.developer('GET', `/api/v1/webhooks/deliveries?webhook_id=${id}&status=failed`);
      return list.body.deliveries[0];
    });
    await page.goto(`/deliveries/${failed.id}`);
    const attempts = page.getByRole('region', { name: 'Attempts' });
    await attempts.getByText('to 127.0.0.1').waitFor();
    await attempts.getByText('Headers', { exact: true }).click();
    const sent = await attempts.getByLabel('Headers: Sent').innerText();
    expect(sent).toMatch(new RegExp(`webhook-id\\s+${failed.id}`));
    expect(sent).toMatch(/x-till\s+not shown/);
    const back = await attempts.getByLabel('Headers: Came back').innerText();
    expect(back).toMatch(/x-request-id\s+r-17/i);
    expect(back).toMatch(/set-cookie\s+not shown/i);
    expect(await page.content()).not.toContain('hunter2');
  });

  test('a webhook that was stopped for failing says when its receiver is asked again', async () => {
    const { id } = await createWebhook(service.developer, receiver.url('/away'), { on_failing: 'hold' });
    await service.database.pool.query(
      `update webhook_endpoints set hold = 1, paused_reason = 'failing', paused_at = now(), next_probe_at = now() + interval '20 minutes' where id = $1`,
      [id],
    );
    await page.goto(`/webhooks/${id}`);
    const lead = page.locator('.webhook-lead');
    await lead.getByText(/It failed for too long, so the service keeps what it would get/).waitFor();
    expect(await lead.innerText()).toMatch(/is asked in \d+ min/);
  });

  test('a receiver whose certificate ends soon is named with the day, and one whose does not is not', async () => {
    const { id } = await createWebhook(service.developer, receiver.url('/ends'));
    await page.goto(`/webhooks/${id}`);
    await page.locator('.webhook-lead').waitFor();
    expect(await page.locator('.webhook-lead').innerText()).not.toContain('certificate');
    await service.database.pool.query(
      `update webhook_endpoints set certificate_expires_at = '2026-12-01T12:00:00Z' where id = $1`,
      [id],
    );
    await page.reload();
    await page.locator('.webhook-lead').getByText('The certificate of its receiver ends on 2026-12-01: renew it.').waitFor();
  });
});
