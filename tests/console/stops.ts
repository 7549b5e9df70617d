// Every page of the console that a signed-in developer can come to, in the scene that the tests of pages play.
import type { Page } from 'playwright-core';
import type { Scene } from './scene.ts';

export interface Stop {
  readonly name: string;
  readonly path: (scene: Scene) => string;
  /** Waits until the page has what it came for. */
  readonly ready: (page: Page) => Promise<void>;
}

const shows = (text: string | RegExp) => (page: Page) => page.getByText(text).first().waitFor();
const heads = (name: string) => (page: Page) => page.getByRole('heading', { name, exact: true }).waitFor();
const chart = (page: Page) => page.locator('.chart-canvas canvas').waitFor();

export const stops: readonly Stop[] = [
  { name: 'overview', path: () => '/', ready: chart },
  { name: 'live', path: () => '/live', ready: (page) => page.locator('.rows tbody tr').first().waitFor() },
  { name: 'webhooks', path: () => '/webhooks', ready: shows('Kitchen display') },
  { name: 'webhook-new', path: () => '/webhooks/new', ready: shows('order.created') },
  { name: 'webhook', path: (scene) => `/webhooks/${scene.failingId}`, ready: chart },
  { name: 'webhook-edit', path: (scene) => `/webhooks/${scene.failingId}/edit`, ready: shows('order.created') },
  { name: 'deliveries', path: () => '/deliveries', ready: shows('Older') },
  { name: 'deliveries-failed', path: () => '/deliveries?status=failed', ready: shows('Older') },
  { name: 'deliveries-none', path: () => '/deliveries?event_type=chef.approved', ready: shows('No delivery matches') },
  { name: 'delivery-retrying', path: (scene) => `/deliveries/${scene.retryingDeliveryId}`, ready: heads('Request') },
  { name: 'delivery-delivered', path: (scene) => `/deliveries/${scene.deliveredDeliveryId}`, ready: heads('Request') },
  { name: 'delivery-missing', path: () => `/deliveries/delivery_${'0'.repeat(26)}`, ready: shows('Not found') },
  { name: 'event-types', path: () => '/event-types', ready: shows('order.created') },
  { name: 'verify', path: () => '/verify?language=python', ready: shows('receiver.py') },
];
