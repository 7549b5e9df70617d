// How a test event is sent: the engine implements it, TestWebhook asks for it.
import type { NotBegun, Outcome } from '../domain/delivery.ts';

export interface TestDelivery {
  readonly eventId: string;
  readonly deliveryId: string;
  readonly webhookId: string;
  readonly eventType: string;
  /** Canonical JSON text. */
  readonly data: string;
  /** Of the schema of its type; null: the type has none. */
  readonly schemaVersion: number | null;
  readonly occurredAtMs: number;
}

export interface TestSender {
  /**
   * Makes one signed attempt at once. Null when the webhook does not exist or is disabled. Writes nothing. Rejects with
   * `test_limit_reached` while too many are under way; whatever goes wrong with the attempt itself is an outcome,
   * but what could not begin has none.
   */
  send(delivery: TestDelivery): Promise<Outcome | NotBegun | null>;
}
