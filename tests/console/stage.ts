// What a story in the console begins with: the service, a receiver, and a browser with one tab.
import type { Page } from 'playwright-core';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';
import { launchBrowser, visit, type Visit } from './browser.ts';
import { startConsoleService, type ConsoleService } from './service.ts';

/** ms. Several test files share two cores, and a browser is the slowest of all. Less than a test has: the step that waits in vain is named. */
const PATIENCE_MS = 20_000;

export interface Stage {
  readonly service: ConsoleService;
  readonly receiver: Receiver;
  readonly tab: Visit;
  /** That of the tab. */
  readonly page: Page;
  close(): Promise<void>;
}

export async function openStage(): Promise<Stage> {
  const opened: { close(): Promise<void> }[] = [];
  const close = async (): Promise<void> => {
    for (const each of opened.toReversed()) await each.close();
  };
  try {
    const receiver = await startReceiver();
    opened.push(receiver);
    const service = await startConsoleService();
    opened.push(service);
    const browser = await launchBrowser();
    opened.push(browser);
    const tab = await visit(browser, service.http);
    tab.page.setDefaultTimeout(PATIENCE_MS);
    return { service, receiver, tab, page: tab.page, close };
  } catch (error) {
    await close();
    throw error;
  }
}
