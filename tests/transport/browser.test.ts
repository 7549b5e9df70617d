// README's snippet for browsers, in a real Chromium, on a page of another origin.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Browser, Page } from 'playwright-core';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chromiumPath, launchBrowser } from '../console/browser.ts';
import { startApp, type TestApp } from '../fixtures/app.ts';
import { eventually } from '../fixtures/eventually.ts';
import { startReceiver, type Receiver } from '../fixtures/receiver.ts';

const readme = readFileSync(new URL('../../README.md', import.meta.url), 'utf8');
const snippet = /<!-- browser snippet:[^>]*-->\s*```js\n([\s\S]*?)```/.exec(readme)?.[1] ?? '';

describe.skipIf(chromiumPath === null)('README’s snippet', () => {
  let service: TestApp;
  let receiver: Receiver;
  let browser: Browser;
  let pages: Server;
  let foreignPages: Server;

  beforeAll(async () => {
    [pages, foreignPages, receiver, browser] = await Promise.all([
      servePages(),
      servePages(),
      startReceiver(),
      launchBrowser(),
    ]);
    service = await startApp({ env: { CORS_ORIGINS: originOf(pages) } });
    const developer = await service.as('user123');
    await developer('POST', '/api/v1/webhooks', { url: receiver.url('/ok'), events: ['order.created'] });
  });
  afterAll(async () => {
    await browser.close();
    pages.close();
    foreignPages.close();
    await service.close();
    await receiver.close();
  });

  async function publish(): Promise<void> {
    const publisher = await service.as('orders', 'service');
    const event = { event_type: 'order.created', data: { order_id: 'o1' }, audience: { user_ids: ['user123'] } };
    expect((await publisher('POST', '/api/v1/events', event)).status).toBe(202);
  }

  async function pageWithSnippet(origin: string): Promise<Page> {
    const page = await browser.newPage();
    await page.goto(origin);
    const token = JSON.stringify(await service.token('user123'));
    const script = snippet.replace('ws://localhost:8080', service.http.replace('http', 'ws'));
    await page.addScriptTag({
      content: `const token = ${token}; window.shown = []; const show = (type, data) => shown.push([type, data.status]); ${script}`,
    });
    return page;
  }

  const shownOn = (page: Page) => page.evaluate<[string, string][]>('shown');
  const connections = async (): Promise<number> =>
    (await (await service.as('root', 'admin'))('GET', '/ws/status')).body.connections;

  test('shows deliveries as they happen', async () => {
    expect(snippet).toContain('new WebSocket(');
    const page = await pageWithSnippet(originOf(pages));
    await eventually(async () => (await connections()) === 1);
    await publish();
    await eventually(async () => (await shownOn(page)).length === 1);
    await publish();
    await eventually(async () => (await shownOn(page)).length === 2);
    expect(await shownOn(page)).toEqual([
      ['webhook_delivery', 'delivered'],
      ['webhook_delivery', 'delivered'],
    ]);
    await page.close();
    await eventually(async () => (await connections()) === 0);
  });

  test('gets nothing on a page whose origin is not allowed', async () => {
    const page = await pageWithSnippet(originOf(foreignPages));
    const refused = page.waitForEvent('console', (message) => message.text().includes('403'));
    await page.evaluate('connect()');
    await refused;
    expect(await connections()).toBe(0);
    await page.close();
  });
});

async function servePages(): Promise<Server> {
  const server = createServer((_request, response) => {
    response.setHeader('content-type', 'text/html');
    response.end('<!doctype html><title>A page</title>');
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  return server;
}

function originOf(server: Server): string {
  return `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
}
