// A real browser for the console's tests: Debian's Chromium, driven by playwright-core.
import { existsSync } from 'node:fs';
import { chromium, type Browser, type BrowserContext, type Page } from 'playwright-core';

const CANDIDATES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Null where there is none: the tests that need it are skipped, and say so. */
export const chromiumPath = CANDIDATES.find((path) => existsSync(path)) ?? null;

if (chromiumPath === null) {
  process.stderr.write('No Chromium found, so the console is not tested: `apt-get install -y chromium` brings one.\n');
}

const ARGUMENTS = [
  '--no-sandbox',
  '--disable-gpu',
  '--disable-quic',
  '--no-first-run',
  '--disable-background-networking',
  '--disable-component-update',
  '--disable-sync',
];

export function launchBrowser(): Promise<Browser> {
  return chromium.launch({ executablePath: chromiumPath ?? '', args: ARGUMENTS });
}

export interface Look {
  readonly name: string;
  readonly scheme: 'light' | 'dark';
  readonly width: number;
  readonly height: number;
}

export const desktop: Look = { name: 'light', scheme: 'light', width: 1280, height: 900 };

export interface Visit {
  readonly context: BrowserContext;
  readonly page: Page;
  /** What the browser complained about: errors thrown, errors logged, violations of the page's own policy. */
  readonly complaints: string[];
}

export async function visit(browser: Browser, http: string, look: Look = desktop): Promise<Visit> {
  const context = await browser.newContext({
    baseURL: http,
    viewport: { width: look.width, height: look.height },
    colorScheme: look.scheme,
    reducedMotion: 'reduce',
    locale: 'en-GB',
    permissions: ['clipboard-read', 'clipboard-write'],
  });
  const page = await context.newPage();
  const complaints: string[] = [];
  page.on('pageerror', (error) => complaints.push(String(error)));
  page.on('console', (message) => {
    if (message.type() === 'error') complaints.push(message.text());
  });
  return { context, page, complaints };
}

/** Signs in with the one click that development offers. */
export async function signIn(page: Page, as: 'developer' | 'operator', path = '/'): Promise<void> {
  await page.goto(path);
  await page.getByRole('button', { name: as === 'developer' ? 'As a developer' : 'As an operator' }).click();
  await page.getByRole('navigation', { name: 'Main' }).waitFor();
}
