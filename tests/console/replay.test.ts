// The morning after: a developer sends again what a till did not get, in the console, with the keyboard alone.
import type { Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { eventually } from '../fixtures/eventually.ts';
import type { Receiver } from '../fixtures/receiver.ts';
import { publish } from '../fixtures/scenario.ts';
import { chromiumPath, signIn, type Visit } from './browser.ts';
import { DEVELOPER, type ConsoleService } from './service.ts';
import { openStage, type Stage } from './stage.ts';

const FAILURES = 12;
const PATIENCE = { deadlineMs: 30_000 };

describe.skipIf(chromiumPath === null)('the console after a night of failures', () => {
  let stage: Stage;
  let service: ConsoleService;
  let receiver: Receiver;
  let tab: Visit;
  let page: Page;
  let webhookId: string;

  beforeAll(async () => {
    stage = await openStage();
    ({ service, receiver, tab, page } = stage);
    receiver.script('/till', ...Array.from({ length: FAILURES }, () => 503), 200);
    const till = { url: receiver.url('/till'), events: ['order.created'], retry_policy: { max_retries: 0 } };
    webhookId = ((await service.developer('POST', '/api/v1/webhooks', till)).body as { id: string }).id;
    for (let number = 0; number < FAILURES; number += 1) await publish(service.publisher, [DEVELOPER]);
    const failed = `/api/v1/webhooks/deliveries?webhook_id=${webhookId}&status=failed`;
    const isNight = async () => (await service.developer('GET', failed)).body.total === FAILURES;
    await eventually(isNight, { what: 'a night of failures', ...PATIENCE });
  }, 120_000);

  afterAll(() => stage?.close());

  async function press(name: string): Promise<void> {
    await page.getByRole('button', { name, exact: true }).focus();
    await page.keyboard.press('Enter');
  }

  test(
    'shows what would be sent before it is, follows it, pauses, resumes and cancels it, and lists what came of it',
    { timeout: 120_000 },
    async () => {
      await page.goto('/');
      await signIn(page, 'developer');
      await page.goto(`/webhooks/${webhookId}`);
      await page.getByLabel('Rate').focus();
      await page.keyboard.type('1');
      await page.keyboard.press('Enter');
      const preview = page.getByTestId('replay-preview');
      await preview.getByText(`${FAILURES} deliveries`).waitFor();
      expect(await preview.locator('tbody tr').count()).toBe(10);

      // Another choice is another preview.
      await page.getByRole('checkbox', { name: /^Cancelled/ }).focus();
      await page.keyboard.press('Space');
      await preview.waitFor({ state: 'detached' });
      await press('Look at what that is');
      await preview.getByText(`${FAILURES} deliveries`).waitFor();
      await press(`Send ${FAILURES} again`);

      const replay = page.locator('.replays > li').first();
      await replay.getByText('Failed, cancelled').waitFor();
      await replay.getByRole('progressbar').waitFor();
      await press('Pause the replay');
      await replay.getByText('Paused', { exact: true }).waitFor();
      await press('Resume the replay');
      await replay.getByText('Running', { exact: true }).waitFor();
      await press('Cancel the replay');
      await replay.getByText('Cancelled', { exact: true }).waitFor();

      await page.getByLabel('Rate').fill('');
      await press('Look at what that is');
      await preview.getByText(/deliver(y|ies)$/).waitFor();
      await page.getByRole('button', { name: /^Send \d+ again$/ }).focus();
      await page.keyboard.press('Enter');
      await replay.getByText('Completed', { exact: true }).waitFor();
      await expect
        .poll(() => page.locator('.replays > li').allInnerTexts(), { timeout: 30_000 })
        .toEqual([expect.stringMatching(/(\d+) of \1 sent · \1 delivered/), expect.stringMatching(/of 12 sent/)]);
      // The rest of the page follows once all of it has ended.
      await page.locator('[aria-labelledby=recent] tbody tr').first().getByText('Delivered').waitFor();
      await expect.poll(() => receiver.at('/till').length, { timeout: 30_000 }).toBe(2 * FAILURES);

      await press('Look at what that is');
      await page.getByText('Nothing matches. Nothing would be sent.').waitFor();
      expect(tab.complaints).toEqual([]);
      await page.getByLabel('Made since').fill('2100-01-01T00:00');
      await press('Look at what that is');
      await page.getByRole('alert').getByText('since in the past').waitFor();
    },
  );
});
