// How a test event is sent: the engine implements it, TestWebhook asks for it.
import type { Outcome } from '../domain/delivery.ts';

export interface TestDelivery {
  readonly eventId: string;
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly eventType: string;
  /** Canonical JSON text. */
  readonly data: string;
  readonly occurredAtMs: number;
}

export interface TestSender {
  /** Makes one signed attempt at once; never rejects. Null when the webhook does not exist or is disabled. Writes nothing. */
  send(delivery: TestDelivery): Promise<Outcome | null>;
}
