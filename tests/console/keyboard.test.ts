// Every page with the keyboard alone: the tab key comes to all that can be used, can be seen where it is, and comes out again.
import axe from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { chromiumPath, launchBrowser, signIn, visit, type Visit } from './browser.ts';
import { playScene, type Scene } from './scene.ts';
import { startConsoleService, type ConsoleService } from './service.ts';
import { stops } from './stops.ts';

/** Twice what the fullest page needs. */
const MAX_STEPS = 400;

describe.skipIf(chromiumPath === null)('with the keyboard alone', () => {
  let service: ConsoleService;
  let receiver: Receiver;
  let browser: Browser;
  let scene: Scene;
  let tab: Visit;
  let page: Page;

  beforeAll(async () => {
    service = await startConsoleService();
    receiver = await startReceiver();
    scene = await playScene(service, receiver);
    browser = await launchBrowser();
    tab = await visit(browser, service.http);
    ({ page } = tab);
    await signIn(page, 'developer');
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    await service?.close();
    await receiver?.close();
  });

  // Rows and attempts come while these two are walked through, before the place of the focus.
  test.each(stops.filter(({ name }) => name !== 'live' && name !== 'delivery-retrying'))(
    '$name',
    { timeout: 120_000 },
    async (stop) => {
      await page.goto(stop.path(scene));
      await stop.ready(page);
      await expect.poll(() => page.locator('.loading, .refreshing').count()).toBe(0);
      const unseen: string[] = [];
      let steps = 0;
      for (; steps < MAX_STEPS; steps += 1) {
        await page.keyboard.press('Tab');
        const step = await page.evaluate<Step>(STEP);
        if (step.kind === 'out') break;
        if (step.kind === 'unseen') unseen.push(step.html);
      }
      expect(steps, 'steps to the end of the page').toBeLessThan(MAX_STEPS);
      expect(unseen, 'had the focus, and a reader could not see it').toEqual([]);
      expect(await page.evaluate<string[]>(MISSED), 'can be used with a mouse alone').toEqual([]);
    },
  );

  test('a question over a page has the focus, keeps it, and has no fault that axe finds', async () => {
    await page.goto(`/webhooks/${scene.failingId}`);
    const disable = page.getByRole('button', { name: 'Disable', exact: true });
    await disable.focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').waitFor();
    for (let step = 0; step < 6; step += 1) {
      await page.keyboard.press('Tab');
      const isInside = `document.activeElement === document.body || document.querySelector('dialog').contains(document.activeElement)`;
      expect(await page.evaluate(isInside)).toBe(true);
    }
    expect(await faults(page)).toEqual([]);
    await page.keyboard.press('Escape');
    await page.getByRole('dialog').waitFor({ state: 'detached' });
    expect(await disable.evaluate((button) => button.ownerDocument.activeElement === button)).toBe(true);
  });

  test('deliveries are chosen, and a session that ended is gone on with, without a fault that axe finds', async () => {
    await page.goto('/deliveries?status=failed');
    await page.getByRole('checkbox', { name: 'Select all on this page' }).focus();
    await page.keyboard.press('Space');
    await page.getByText('deliveries selected').waitFor();
    expect(await faults(page)).toEqual([]);
    await tab.context.clearCookies();
    await page.getByRole('button', { name: 'Refresh' }).focus();
    await page.keyboard.press('Enter');
    await page.getByRole('dialog').getByRole('heading', { name: 'Your session has ended' }).waitFor();
    expect(await faults(page)).toEqual([]);
  });
});

interface Step {
  readonly kind: 'out' | 'seen' | 'unseen';
  readonly html: string;
}

/**
 * Where the focus is now, once it is in sight and marked, or has not been for a second. Back at what had it before is out of the page; a field
 * of several parts, as a date is, has it several times in a row, and the browser marks the part.
 */
const STEP = `new Promise((resolve) => {
  const at = document.activeElement;
  const isPart = at === window.lastWalked;
  if (at === null || at === document.body || (at.dataset.walked !== undefined && !isPart)) return resolve({ kind: 'out', html: '' });
  window.lastWalked = at;
  at.dataset.walked = '';
  const giveUpAt = performance.now() + 1000;
  const look = () => {
    const box = at.getBoundingClientRect();
    const isInSight = box.width > 0 && box.height > 0 && box.bottom > 0 && box.top < innerHeight && box.right > 0 && box.left < innerWidth;
    const marks = [at, at.parentElement, at.nextElementSibling].filter(Boolean).flatMap((one) => [getComputedStyle(one), getComputedStyle(one, '::after')]);
    const isMarked = marks.some((style) => (style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0) || style.boxShadow !== 'none');
    if (isInSight && (isMarked || isPart)) resolve({ kind: 'seen', html: '' });
    else if (performance.now() > giveUpAt) resolve({ kind: 'unseen', html: at.outerHTML.slice(0, 120) });
    else requestAnimationFrame(look);
  };
  look();
})`;

/** What can be used and never had the focus; of radio buttons of one name one has it for all. */
const MISSED = `[...document.querySelectorAll('a[href], button, input, select, textarea, summary, [tabindex="0"]')]
  .filter((one) => !one.disabled && one.type !== 'radio' && one.dataset.walked === undefined && one.checkVisibility())
  .map((one) => one.outerHTML.slice(0, 120))`;

async function faults(page: Page): Promise<string[]> {
  await page.evaluate(axe.source);
  return page.evaluate<string[]>(
    `axe.run().then(({ violations }) => violations.map(({ id, nodes }) => id + ': ' + nodes.map(({ html }) => html).join(' ')))`,
  );
}
