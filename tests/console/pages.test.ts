// Every page, in light, dark and on a phone: accessible, within its width, and without a complaint from the browser.
import { mkdirSync } from 'node:fs';
import axe from 'axe-core';
import type { Browser, Page } from 'playwright-core';
import { afterAll, afterEach, beforeAll, describe, expect, test } from 'vitest';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { chromiumPath, desktop, launchBrowser, signIn, visit, type Look, type Visit } from './browser.ts';
import { playScene, type Scene } from './scene.ts';
import { startConsoleService, type ConsoleService } from './service.ts';
import { stops } from './stops.ts';

const looks: readonly Look[] = [
  desktop,
  { ...desktop, name: 'dark', scheme: 'dark' },
  { name: 'phone', scheme: 'light', width: 390, height: 844 },
];

/** Set by `npm run console:screens`: where pictures of all pages go. */
const pictures = process.env['CONSOLE_SCREENS'];
/** Of a picture: letters stay sharp, and a page takes some 60 kB. */
const JPEG_QUALITY = 85;

/** From a phone to a wall, and 640 as 1280 are at 200 % zoom: no page is wider than its window. */
const WIDTHS = [390, 640, 768, 1024, 1440, 2560];

describe.skipIf(chromiumPath === null)('the pages', () => {
  let service: ConsoleService;
  let receiver: Receiver;
  let browser: Browser;
  let scene: Scene;

  beforeAll(async () => {
    service = await startConsoleService();
    receiver = await startReceiver();
    scene = await playScene(service, receiver);
    browser = await launchBrowser();
    if (pictures !== undefined) mkdirSync(pictures, { recursive: true });
  }, 120_000);

  afterAll(async () => {
    await browser?.close();
    await service?.close();
    await receiver?.close();
  });

  describe.each(looks)('$name', (look) => {
    // One tab for all pages: what a page leaves behind must not harm the next.
    let tab: Visit;

    beforeAll(async () => {
      tab = await visit(browser, service.http, look);
    });

    afterEach(() => {
      tab.complaints.length = 0;
    });

    afterAll(() => tab?.context.close());

    test('sign-in', async () => {
      await tab.page.goto('/');
      await tab.page.getByRole('heading', { name: 'Sign in' }).waitFor();
      await judge(tab, 'sign-in', look);
      await signIn(tab.page, 'developer');
    });

    test.each(stops)('$name', { timeout: 90_000 }, async (stop) => {
      await tab.page.goto(stop.path(scene));
      if (stop.name === 'live') await publish(service);
      await stop.ready(tab.page);
      await judge(tab, stop.name, look);
    });
  });
});

async function judge({ page, complaints }: Visit, name: string, look: Look): Promise<void> {
  await page.evaluate('document.fonts.ready');
  // Away from whatever would light up under it.
  await page.mouse.move(0, 0);
  if (pictures !== undefined)
    await page.screenshot({ path: `${pictures}/${name}-${look.name}.jpg`, type: 'jpeg', quality: JPEG_QUALITY });
  expect(await overflows(page, look), 'pixels beyond the right edge, by width').toEqual({});
  // The page's own policy forbids scripts that are not its own; the driver's evaluate is not bound by it.
  await page.evaluate(axe.source);
  const findings = await page.evaluate(async () => {
    const { axe: engine } = globalThis as unknown as { axe: { run(): Promise<AxeResult> } };
    const result = await engine.run();
    return result.violations.map((each) => `${each.id}: ${each.nodes.map((node) => node.html).join(' ')}`);
  });
  expect(findings).toEqual([]);
  // The browser logs every 404 as an error; on one page that is what was asked for.
  expect(complaints.filter((complaint) => name !== 'delivery-missing' || !complaint.includes('404'))).toEqual([]);
}

interface AxeResult {
  readonly violations: readonly { id: string; impact: string; nodes: readonly { html: string }[] }[];
}

async function publish(service: ConsoleService): Promise<void> {
  for (let n = 0; n < 3; n += 1) {
    await service.publisher('POST', '/api/v1/events', {
      event_type: 'tip.received',
      data: { tip_id: `tip_live_${n}`, amount: 4 },
      audience: { user_ids: ['user123'] },
    });
  }
}

async function overflows(page: Page, look: Look): Promise<Record<number, number>> {
  const found: Record<number, number> = {};
  for (const width of look === desktop ? WIDTHS : [look.width]) {
    await page.setViewportSize({ width, height: look.height });
    const beyond = await page.evaluate<number>('document.documentElement.scrollWidth - document.documentElement.clientWidth');
    if (beyond > 0) found[width] = beyond;
  }
  await page.setViewportSize({ width: look.width, height: look.height });
  return found;
}
