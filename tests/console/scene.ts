// A developer's webhooks as they are on an ordinary day: some well, one limping, one dead, one paused.
import type { Receiver } from '../fixtures/receiver.ts';
import { DAY_MS, HOUR_MS } from '../../src/domain/time-units.ts';
import { eventually } from '../fixtures/eventually.ts';
import { beginSums } from '../persistence/sums.ts';
import { writeHistory } from './history.ts';
import type { ConsoleService } from './service.ts';

export interface Scene {
  /** Answers at once. */
  readonly healthyId: string;
  /** Fails and is being retried. */
  readonly failingId: string;
  readonly retryingDeliveryId: string;
  readonly deliveredDeliveryId: string;
}

const ORDERS = ['order.created', 'order.completed', 'order.cancelled'];
const PAYMENTS = ['payment.success', 'payment.failed'];

export async function playScene(service: ConsoleService, receiver: Receiver): Promise<Scene> {
  receiver.script('/pos/inbox', { status: 503, body: '{"error":"till is restarting","retry":true}' });
  receiver.script('/crm/hooks', { status: 200, body: '{"received":true}' });
  const kitchen = await create(
    service,
    'https://kitchen.greentable.example/hooks/homechef',
    ORDERS,
    'Kitchen display, main branch',
  );
  const books = await create(service, 'https://books.greentable.example/api/homechef', PAYMENTS, 'Accounting');
  const paused = await create(
    service,
    'https://analytics.greentable.example/ingest',
    [...ORDERS, ...PAYMENTS],
    'Nightly reports',
  );
  const gone = await create(service, 'https://old-site.greentable.example/webhook.php', ORDERS, 'The website before the move');
  const healthyId = await create(service, receiver.url('/crm/hooks'), ['chef.approved', 'tip.received'], 'Customer relations');
  const failingId = await create(
    service,
    receiver.url('/pos/inbox'),
    ['tip.received', 'delivery.assigned'],
    'Till at the counter',
  );
  const { pool } = service.database;
  await writeHistory(pool, {
    webhookId: kitchen,
    eventTypes: ORDERS,
    amount: 1900,
    hours: 24,
    failing: 0.002,
    medianMs: 84,
    errors: [failed('http_status', 502, 'Bad gateway')],
  });
  await writeHistory(pool, {
    webhookId: books,
    eventTypes: PAYMENTS,
    amount: 640,
    hours: 24,
    failing: 0.06,
    medianMs: 310,
    errors: [failed('http_status', 500, '{"error":"duplicate invoice number"}'), failed('timeout', null, null)],
  });
  await writeHistory(pool, {
    webhookId: healthyId,
    eventTypes: ['tip.received'],
    amount: 240,
    hours: 24,
    failing: 0,
    medianMs: 41,
    errors: [failed('connection_reset', null, null)],
  });
  await writeHistory(pool, {
    webhookId: gone,
    eventTypes: ORDERS,
    amount: 160,
    hours: 24,
    failing: 0.7,
    medianMs: 120,
    errors: [failed('http_status', 410, 'Gone'), failed('dns_error', null, null)],
  });
  // The service has begun its sums already, at a moment after all of this.
  await beginSums(pool, Date.now() - DAY_MS - HOUR_MS);
  await service.developer('PUT', `/api/v1/webhooks/${paused}`, { is_active: false });
  await pool.query(
    `update webhook_endpoints set is_active = false, disabled_reason = 'gone', disabled_at = now() - interval '3 hours', revision = revision + 1 where id = $1`,
    [gone],
  );
  for (let tip = 1; tip <= 6; tip += 1) {
    await service.publisher('POST', '/api/v1/events', {
      event_type: 'tip.received',
      data: {
        tip_id: `tip_${tip}`,
        order_id: `order_81${tip}`,
        amount: 2.5 * tip,
        currency: 'USD',
        message: 'Best injera in town',
      },
      audience: { user_ids: ['user123'] },
    });
  }
  const { rows } = await eventually(
    async () => {
      const found = await pool.query<{ id: string; webhook_id: string }>(
        `select id, webhook_id from deliveries where (webhook_id = $1 and status = 'retrying' and attempt_count >= 2) or (webhook_id = $2 and status = 'delivered' and event_type = 'tip.received')
         order by id desc`,
        [failingId, healthyId],
      );
      return found.rows.some((row) => row.webhook_id === failingId) && found;
    },
    { what: 'a second attempt', deadlineMs: 20_000 },
  );
  return {
    healthyId,
    failingId,
    retryingDeliveryId: rows.find((row) => row.webhook_id === failingId)?.id ?? '',
    deliveredDeliveryId: rows.find((row) => row.webhook_id === healthyId)?.id ?? '',
  };
}

function failed(code: string, status: number | null, response: string | null) {
  return { code, status, response };
}

async function create(service: ConsoleService, url: string, events: readonly string[], description: string): Promise<string> {
  const answer = await service.developer('POST', '/api/v1/webhooks', {
    url,
    events,
    description,
    retry_policy: { max_retries: 6, retry_delay: 3 },
  });
  if (answer.status !== 201) throw new Error(`a webhook was not made: ${JSON.stringify(answer.body)}`);
  return (answer.body as { id: string }).id;
}
